"""The tasks by name: those of GLUE, and text."""

from pathlib import Path

import numpy as np

from examples.fine_tuning import metrics
from examples.fine_tuning.rows import Rows
from examples.fine_tuning.sentence_task import SentenceTask
from examples.fine_tuning.task import Task
from examples.fine_tuning.text_task import TextTask

_ONE, _PAIR = ("sentence",), ("sentence1", "sentence2")

SENTENCE_TASKS = {
    "sst2": SentenceTask("SST-2", _ONE, {"accuracy": metrics.accuracy}),
    "mrpc": SentenceTask("MRPC", _PAIR, {"accuracy": metrics.accuracy, "f1": metrics.f1}),
    "stsb": SentenceTask("STS-B", _PAIR, {"spearman": metrics.spearman}, classes=1, largest=5.0),
    "cola": SentenceTask(
        "CoLA",
        _ONE,
        {"matthews": metrics.matthews},
        header=("source", "label", "mark", "sentence"),
    ),
    "rte": SentenceTask(
        "RTE",
        _PAIR,
        {"accuracy": metrics.accuracy},
        words={"entailment": "0", "not_entailment": "1"},
    ),
}
TASKS: dict[str, Task] = {**SENTENCE_TASKS, "text": TextTask()}


def load_rows(name: str, folder: str | Path, part: str) -> Rows:
    """Read a part of a task's data.

    Args:
        name: A key of `TASKS`.
        folder: Folder with the files of the task.
        part: `"train"` or `"dev"`.

    Raises:
        FileNotFoundError: If the folder or the file is missing, with where to get it.
        ValueError: If the file has no rows, lacks a column, or has a label that is none.
    """
    return TASKS[name].load(folder, part)


def scores(name: str, rows: Rows, outputs: np.ndarray) -> dict[str, float]:
    """Return the scores of a model's outputs for rows of a task, by name of the metric.

    Args:
        name: A key of `TASKS`.
        rows: The rows.
        outputs: What `predict` has returned for them.
    """
    return TASKS[name].scores(rows, outputs)
