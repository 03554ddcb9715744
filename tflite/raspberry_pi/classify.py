import argparse
from pathlib import Path
from typing import Any

import numpy as np
from arguments import add_command, add_inputs, child, integer
from arrays import load_arrays, load_labels
from errors import RefusedError


def add_parser(commands: Any) -> None:
    """Add the command `classify`."""
    parser = add_command(
        commands,
        "classify",
        "Print the classes with the highest scores of each row.",
        _run,
        _as_text,
    )
    add_inputs(parser)
    parser.add_argument(
        "--labels",
        metavar="FILE",
        type=Path,
        help="text file with one class name per line",
    )
    parser.add_argument(
        "--top", metavar="K", type=integer(1), default=3, help="number of classes to print (3)"
    )


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    labels = load_labels(arguments.labels) if arguments.labels else None
    outputs, _ = child(arguments).run(load_arrays(arguments.inputs))
    shapes = [array.shape[1:] for array in outputs.values()]
    if len(shapes) != 1 or len(shapes[0]) > 1 or 0 in shapes[0]:
        raise RefusedError(
            f"Expected a model with one output, of shape (classes,). Received: {shapes}"
        )
    [scores] = outputs.values()
    if not np.isfinite(scores).all():
        raise RefusedError("Expected finite scores. Received: NaN or infinity")
    if scores.size == len(scores):
        scores = _of_two_classes(scores.reshape(-1))
    if labels is not None and len(labels) != scores.shape[1]:
        raise RefusedError(
            f"Expected a label for each of {scores.shape[1]} classes. "
            f"Received: {arguments.labels} with {len(labels)}"
        )
    # Stable: of equal scores, the first class comes first.
    best = np.argsort(-scores.astype("float64"), axis=1, kind="stable")[:, : arguments.top]
    return {
        "rows": [
            [
                {"class": int(k), "score": float(row[k])} | ({"label": labels[k]} if labels else {})
                for k in classes
            ]
            for row, classes in zip(scores, best, strict=True)
        ]
    }


def _of_two_classes(probabilities: np.ndarray) -> np.ndarray:
    """Return the scores of both classes, of which a sigmoid gives that of class 1."""
    beyond = probabilities[(probabilities < 0) | (probabilities > 1)]
    if beyond.size:
        raise RefusedError(
            "Expected a single output to be the probability of class 1, as a sigmoid gives it. "
            f"Received: {beyond[0]:.4g}. The command `run` writes the outputs of any model"
        )
    return np.stack([1 - probabilities, probabilities], axis=1)


def _as_text(report: dict[str, Any]) -> str:
    return "\n".join(
        f"{index}: " + ", ".join(f"{k.get('label', k['class'])} {k['score']:.4g}" for k in row)
        for index, row in enumerate(report["rows"])
    )
