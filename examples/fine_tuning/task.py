"""What the commands ask of a task, whether it is about sentences or a text."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import keras
import numpy as np

from examples.fine_tuning.rows import Rows


class Examples(Protocol):
    """What batches are made of.

    Attributes:
        labels: An array whose first dimension is the number of examples.
    """

    labels: np.ndarray

    def chosen(self, places: np.ndarray) -> Self:
        """Return the examples at some places."""


class Task(ABC):
    """A task: its data, its model, and what that is judged by.

    Attributes:
        batch: Examples a step, if the user names no number.
        unit: What its examples are called.
        head: The new layers, which are trained beside adapters. Without any, the pretrained model
            can do the task already, and is scored as well.
    """

    batch: ClassVar[int] = 32
    unit: ClassVar[str] = "rows"
    head: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def check(self, preset: str | None, method: str) -> None:
        """Check what can be known before anything is loaded.

        Args:
            preset: Name or folder of a preset, `None` for the default of the task.
            method: The value of `--method`.

        Raises:
            ValueError: If the task has no such preset or method.
            ImportError: If the preset is the default and its package is not installed.
        """

    @abstractmethod
    def load(self, folder: str | Path, part: str) -> Rows:
        """Read a part of the data, as `load_rows` does."""

    @abstractmethod
    def examples(self, preset: str | None, rows: Rows, length: int) -> Examples:
        """Return what batches are made of.

        Args:
            preset: As for `check`.
            rows: Rows of `load`.
            length: The most tokens of an example.
        """

    @abstractmethod
    def encode(self, preset: str | None, examples: Any, length: int) -> dict[str, np.ndarray]:
        """Return the inputs of the model for examples, int32 of shape (examples, tokens)."""

    @abstractmethod
    def model(self, preset: str | None, precision: str = "float32") -> keras.Model:
        """Return the pretrained model, with a new head if the task needs one.

        Args:
            preset: As for `check`.
            precision: Its dtype policy.
        """

    def loss(self) -> keras.losses.Loss:
        """Return the loss of the model's outputs."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def judged(self, outputs: Any, labels: Any) -> np.ndarray:
        """Return what the scores are made of: here the outputs themselves.

        Args:
            outputs: Outputs of the model for examples.
            labels: Their labels.
        """
        return np.asarray(outputs)

    def sample(self, examples: Any) -> Any:
        """Return the examples whose outputs a converted file can give all at once: here all."""
        return examples

    @abstractmethod
    def scores(self, rows: Any, outputs: np.ndarray) -> dict[str, float]:
        """Return the scores by name, the main one first.

        Args:
            rows: The rows, or examples.
            outputs: What `judged` has returned for them.
        """
