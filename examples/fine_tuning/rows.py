"""Rows as the files of tasks have them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Rows of a task.

    Attributes:
        sentences: For each column with sentences, its cells. A text has one, its lines.
        labels: Classes as int32, or numbers from 0 to 1 as float32. Those of a text are 0.
    """

    sentences: tuple[list[str], ...]
    labels: np.ndarray

    def chosen(self, places: np.ndarray) -> "Rows":
        """Return the rows at some places."""
        cells = tuple([column[place] for place in places] for column in self.sentences)
        return Rows(cells, self.labels[places])
