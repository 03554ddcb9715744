"""Merge the adapters of a finished run, convert the model for a Raspberry Pi, and measure the file.

The file takes the tokens of one row and gives the logits, or the number that is predicted. That of
a language model takes one window of a text and gives the logits of all its next tokens.
"""

import argparse
import json
import os
import sys
from functools import partial
from typing import Any

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import dart_keras as dk
from dart_keras import adapters
from dart_keras.utils.atomic_write import check_writable, write_files
from dart_keras.utils.table import Table
from examples.fine_tuning.evaluate import add_run_options
from examples.fine_tuning.finished_run import FinishedRun
from examples.fine_tuning.tasks import TASKS, load_rows
from examples.language_model.command import positive, run

_TARGET, _RUNTIME = "raspberry-pi", "litert"
_RESULTS = "results.json"


def main(arguments: list[str] | None = None) -> int:
    return run("convert.py", partial(_convert, _parser().parse_args(arguments)))


def plain_model(finished: FinishedRun, length: int) -> keras.Model:
    """Return the trained model without adapters, from int32 inputs of one length.

    Args:
        finished: The run.
        length: Number of tokens.

    Raises:
        ValueError: If the adapters cannot be merged.
    """
    model = finished.model()
    if finished.settings.has_adapters:
        model = adapters.merge(model)
    inputs = {name: keras.Input((length,), dtype="int32", name=name) for name in model.input}
    return keras.Model(inputs, model(inputs))


def _convert(parsed: argparse.Namespace) -> None:
    finished = FinishedRun.read(parsed.folder)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Expected KERAS_BACKEND=tensorflow, which conversion needs. Received: "
            f"{keras.backend.backend()}"
        )
    folder = parsed.folder / _TARGET
    # What would fail after the conversion fails now.
    check_writable(folder, [_RESULTS])
    settings, length = finished.settings, parsed.length or finished.results["longest"]
    data_dir = parsed.data_dir or finished.results["data_dir"]
    task, preset = TASKS[settings.task], settings.preset
    training, dev = (
        task.examples(preset, load_rows(settings.task, data_dir, part), length)
        for part in ("train", "dev")
    )
    count = len(training.labels)
    places = np.linspace(0, count - 1, min(parsed.rows, count)).astype(int)
    dev = task.sample(dev)
    model = plain_model(finished, length)
    artifact = dk.deployment.convert(
        model,
        _TARGET,
        quantization=parsed.quantization,
        calibration_data=task.encode(preset, training.chosen(places), length),
    )
    tokens = task.encode(preset, dev, length)
    outputs = {
        "scores_keras": model.predict(tokens, batch_size=settings.batch, verbose=0),
        "scores": artifact.predict(tokens, runtime=_RUNTIME),
    }
    results: dict[str, Any] = {
        "quantization": parsed.quantization,
        "length": length,
        "bytes": artifact.size,
        "microseconds": artifact.report["runtimes"][_RUNTIME]["microseconds"],
        "examples": len(dev.labels),
        **{name: task.scores(dev, task.judged(each, dev.labels)) for name, each in outputs.items()},
    }
    artifact.save(folder)
    write_files(folder, {_RESULTS: (json.dumps(results, indent=1) + "\n").encode()})
    print(_table(results))
    print(f"The file is in {folder}")


def _table(results: dict[str, Any]) -> Table:
    names = results["scores"]
    header = (
        *("file", "tokens", "bytes"),
        *(f"{name}, {of}" for name in names for of in ("Keras", "file")),
        "microseconds",
    )
    cells = (f"{results[of][name]:.4f}" for name in names for of in ("scores_keras", "scores"))
    row = (
        results["quantization"],
        str(results["length"]),
        f"{results['bytes']:,}",
        *cells,
        f"{results['microseconds']:,.0f}",
    )
    return Table(header, "l" + "r" * (len(header) - 1), [row])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_run_options(parser)
    add = parser.add_argument
    add("--quantization", choices=("float32", "dynamic", "int8", "int16x8"), default="dynamic")
    add(
        "--length",
        type=positive,
        help="tokens of a row or window; those of the longest in training",
    )
    add("--rows", type=positive, default=128, help="training rows for the activation ranges")
    return parser


if __name__ == "__main__":
    sys.exit(main())
