"""Tasks of sentences or pairs of them, with a class or a number for each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np

from examples.fine_tuning.encoder import HEAD, build_classifier, encode, preset_or_default
from examples.fine_tuning.rows import Rows
from examples.fine_tuning.task import Task
from examples.language_model.corpus import find_file, read_lines

Metric = Callable[[np.ndarray, np.ndarray], float]

# What the column with the labels may be called.
_LABELS = ("label", "score")


@dataclass(frozen=True)
class SentenceTask(Task):
    """A task of GLUE: what its tab-separated files are like, and what it is judged by.

    Attributes:
        source: Its name at GLUE.
        sentences: The columns with sentences.
        metrics: The metrics by name, the main one first.
        classes: How many classes there are; 1 to predict a number.
        largest: The largest label, if it is a number. Models predict a share of it.
        header: The columns of a file without a first line that names them.
        words: The classes that files may name by a word.
    """

    head: ClassVar[tuple[str, ...]] = (HEAD,)

    source: str
    sentences: tuple[str, ...]
    metrics: Mapping[str, Metric]
    classes: int = 2
    largest: float = 1.0
    header: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)

    def check(self, preset: str | None, method: str) -> None:
        preset_or_default(preset)

    def load(self, folder: str | Path, part: str) -> Rows:
        source = (
            f"GLUE's {self.source} (gluebenchmark.com/tasks), tab-separated, with the columns "
            f"{', '.join(self.sentences)} and label"
        )
        path = find_file(folder, [f"{part}.tsv"], source)
        lines = _cells(path)
        first = next(lines, [])
        places = _places(self, first, path)
        rows = [*([first] if first and not _is_header(self, first) else []), *lines]
        columns: list[list[str]] = [[] for _ in places]
        for number, row in enumerate(rows, start=1):
            if len(row) <= max(places):
                raise ValueError(
                    f"Expected rows of at least {max(places) + 1} columns in {path}. "
                    f"Received: row {number} with {len(row)}"
                )
            for column, place in zip(columns, places, strict=True):
                column.append(row[place])
        if not rows:
            raise ValueError(f"Expected rows in {path}. Received: none")
        *sentences, labels = columns
        return Rows(tuple(sentences), _numbers(self, labels, path))

    def examples(self, preset: str | None, rows: Rows, length: int) -> Rows:
        return rows

    def encode(self, preset: str | None, examples: Rows, length: int) -> dict[str, np.ndarray]:
        return encode(preset, examples, length)

    def model(self, preset: str | None, precision: str = "float32") -> keras.Model:
        return build_classifier(preset, self.classes, precision)

    def loss(self) -> keras.losses.Loss:
        return keras.losses.MeanSquaredError() if self.classes == 1 else super().loss()

    def scores(self, rows: Rows, outputs: np.ndarray) -> dict[str, float]:
        return {name: metric(rows.labels, outputs) for name, metric in self.metrics.items()}


def _cells(path: Path) -> Iterator[list[str]]:
    # Not csv: quotation marks are part of the sentences, and not always in pairs.
    for line in read_lines(path):
        if line.strip():
            yield [cell.strip() for cell in line.rstrip("\n").split("\t")]


def _is_header(task: SentenceTask, first: list[str]) -> bool:
    return set(task.sentences) <= set(first) and any(name in first for name in _LABELS)


def _places(task: SentenceTask, first: list[str], path: Path) -> list[int]:
    """Return the columns of the sentences, then that of the label."""
    if _is_header(task, first):
        label = next(name for name in _LABELS if name in first)
        return [first.index(name) for name in (*task.sentences, label)]
    if task.header and len(first) == len(task.header):
        return [task.header.index(name) for name in (*task.sentences, "label")]
    raise ValueError(
        f"Expected a first line with the columns {', '.join(task.sentences)} and label in {path}. "
        f"Received: {first}"
    )


def _numbers(task: SentenceTask, labels: list[str], path: Path) -> np.ndarray:
    known = {str(each): each for each in range(task.classes)}
    numbers = []
    for number, label in enumerate(labels, start=1):
        word = task.words.get(label, label)
        try:
            value = known[word] if task.classes > 1 else float(word)
        except (KeyError, ValueError):
            value = -1
        if not 0 <= value <= max(task.largest, task.classes - 1):
            wanted = [*task.words, *known] if task.classes > 1 else f"0 to {task.largest}"
            raise ValueError(
                f"Expected labels {wanted} in {path}. Received: {label!r} in row {number}"
            )
        numbers.append(value / task.largest)
    return np.array(numbers, "int32" if task.classes > 1 else "float32")
