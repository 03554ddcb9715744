"""The sentence tasks of GLUE, and their rows in tab-separated files."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from examples.fine_tuning import metrics
from examples.language_model.corpus import find_file, read_lines

Metric = Callable[[np.ndarray, np.ndarray], float]

_ONE, _PAIR = ("sentence",), ("sentence1", "sentence2")
# What the column with the labels may be called.
_LABELS = ("label", "score")


@dataclass(frozen=True)
class Task:
    """A task: what its files are like, and what it is judged by.

    Attributes:
        source: Its name at GLUE.
        sentences: The columns with sentences.
        metrics: The metrics by name, the main one first.
        classes: How many classes there are; 1 to predict a number.
        largest: The largest label, if it is a number. Models predict a share of it.
        header: The columns of a file without a first line that names them.
        words: The classes that files may name by a word.
    """

    source: str
    sentences: tuple[str, ...]
    metrics: Mapping[str, Metric]
    classes: int = 2
    largest: float = 1.0
    header: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """Rows of a task.

    Attributes:
        sentences: For each column with sentences, its cells.
        labels: Classes as int32, or numbers from 0 to 1 as float32.
    """

    sentences: tuple[list[str], ...]
    labels: np.ndarray

    def chosen(self, places: np.ndarray) -> "Rows":
        """Return the rows at some places."""
        cells = tuple([column[place] for place in places] for column in self.sentences)
        return Rows(cells, self.labels[places])


TASKS = {
    "sst2": Task("SST-2", _ONE, {"accuracy": metrics.accuracy}),
    "mrpc": Task("MRPC", _PAIR, {"accuracy": metrics.accuracy, "f1": metrics.f1}),
    "stsb": Task("STS-B", _PAIR, {"spearman": metrics.spearman}, classes=1, largest=5.0),
    "cola": Task(
        "CoLA",
        _ONE,
        {"matthews": metrics.matthews},
        header=("source", "label", "mark", "sentence"),
    ),
    "rte": Task(
        "RTE",
        _PAIR,
        {"accuracy": metrics.accuracy},
        words={"entailment": "0", "not_entailment": "1"},
    ),
}


def load_rows(name: str, folder: str | Path, part: str) -> Rows:
    """Read a part of a task's data.

    Args:
        name: A key of `TASKS`.
        folder: Folder with `train.tsv` and `dev.tsv`.
        part: `"train"` or `"dev"`.

    Raises:
        FileNotFoundError: If the folder or the file is missing, with where to get it.
        ValueError: If the file has no rows, lacks a column, or has a label that is none.
    """
    task = TASKS[name]
    source = (
        f"GLUE's {task.source} (gluebenchmark.com/tasks), tab-separated, with the columns "
        f"{', '.join(task.sentences)} and label"
    )
    path = find_file(folder, [f"{part}.tsv"], source)
    lines = _cells(path)
    first = next(lines, [])
    places = _places(task, first, path)
    rows = [*([first] if first and not _is_header(task, first) else []), *lines]
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
    return Rows(tuple(sentences), _numbers(task, labels, path))


def scores(name: str, rows: Rows, outputs: np.ndarray) -> dict[str, float]:
    """Return the scores of a model's outputs for rows of a task, by name of the metric."""
    return {each: metric(rows.labels, outputs) for each, metric in TASKS[name].metrics.items()}


def _cells(path: Path) -> Iterator[list[str]]:
    # Not csv: quotation marks are part of the sentences, and not always in pairs.
    for line in read_lines(path):
        if line.strip():
            yield [cell.strip() for cell in line.rstrip("\n").split("\t")]


def _is_header(task: Task, first: list[str]) -> bool:
    return set(task.sentences) <= set(first) and any(name in first for name in _LABELS)


def _places(task: Task, first: list[str], path: Path) -> list[int]:
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


def _numbers(task: Task, labels: list[str], path: Path) -> np.ndarray:
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
