"""Compress the language model SmolLM2-135M, and judge it by its perplexity.

`python -m benchmarks.compression.language_model --preset FOLDER --data-dir FOLDER` compresses its
blocks to some shares of their parameters with `compress` and with published methods, calibrated on
windows of WikiText-2's training text, and prints the perplexity of 20,480 tokens of its test text.
The preset is what `python -m examples.fine_tuning.smollm2` writes; the table stays as it is. Each
cell has a process of its own; what is in the file of results already is not run again.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.compression.cells import complete, peak_megabytes
from benchmarks.compression.published_methods import BASELINES, approximate
from benchmarks.tables import RESULTS, Results

SHARES = (0.8, 0.9, 0.65)
METHODS = ("compress", *BASELINES)
COLUMNS = ("method", "share", "parameters", "perplexity", "cpu_seconds", "megabytes")
_LENGTH, _BATCH = 256, 8
_BLOCKS = "*transformer_layer*"
# Lines of the training text from which the windows are taken.
_LINES = 3000


def main(argv: list[str] | None = None) -> int:
    parsed = _parse(argv)
    if parsed.cell:
        method, share = parsed.cell
        print(json.dumps(measure(method, float(share), parsed)))
        return 0
    results = Results("SmolLM2-135M compressed", COLUMNS, parsed.output)
    complete("language_model", results, parsed, _options(parsed))
    results.finish({"windows": parsed.windows, "tokens of a window": _LENGTH})
    return 0


def _options(parsed: argparse.Namespace) -> list[str]:
    folders = ["--preset", str(parsed.preset), "--data-dir", str(parsed.data_dir)]
    windows = ["--windows", str(parsed.windows), "--test-windows", str(parsed.test_windows)]
    return [*folders, *windows]


def measure(method: str, share: float, parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the cell of a method.

    Args:
        method: One of `METHODS`, or "none" for the model as it is.
        share: The share of the blocks' parameters that is left.
        parsed: The options of the command.
    """
    import keras

    from dart_keras import budgets
    from dart_keras.compression import compress
    from dart_keras.compression.compressible import candidates
    from examples.fine_tuning.causal_model import build_language_model
    from examples.fine_tuning.rows import Rows
    from examples.fine_tuning.text_task import TextTask

    task = TextTask()

    def windows(part: str, lines: int | None, count: int) -> Any:
        path = parsed.data_dir / f"{part}.txt"
        text = path.read_text(encoding="utf-8").splitlines(keepends=True)[:lines]
        found = task.examples(parsed.preset, Rows((text,), np.zeros(len(text))), _LENGTH)
        return found.chosen(np.linspace(0, len(found.tokens) - 1, count).astype(int))

    calibration = windows("train", _LINES, parsed.windows)
    inputs = task.encode(parsed.preset, calibration, _LENGTH)
    model = build_language_model(parsed.preset)
    blocks = sum(
        each.layer.count_params() for each in candidates(model, _BLOCKS) if "layer_" in each.path
    )
    budget = model.count_params() - round((1 - share) * blocks)
    before, started = peak_megabytes(), time.process_time()
    if method == "compress":
        # Of logits only the probabilities matter.
        options = {"layers": _BLOCKS, "outputs": keras.ops.softmax}
        model, _ = compress(model, budgets.Parameters(budget), inputs, **options)
        count = model.count_params()
    elif method == "none":
        count = model.count_params()
    else:
        count = approximate(model, method, budget, inputs, _BLOCKS)
    seconds, peak = time.process_time() - started, peak_megabytes() - before
    return {
        "method": method,
        "share": share,
        "parameters": count,
        "perplexity": _perplexity(model, task, windows("test", None, parsed.test_windows)),
        "cpu_seconds": round(seconds, 1),
        "megabytes": round(peak),
    }


def _perplexity(model: Any, task: Any, windows: Any) -> float:
    losses = []
    for start in range(0, len(windows.labels), _BATCH):
        part = windows.chosen(np.arange(start, min(start + _BATCH, len(windows.labels))))
        outputs = model(task.encode(None, part, _LENGTH), training=False)
        losses.append(task.judged(outputs, part.labels))
    return round(task.scores(windows, np.concatenate(losses))["perplexity"], 2)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.compression.language_model", description=__doc__
    )
    add = parser.add_argument
    add("--preset", required=True, help="folder of the model")
    add("--data-dir", type=Path, required=True, help="folder with WikiText-2's train and test.txt")
    add("--output", type=Path, default=RESULTS / "compression_language_model.json")
    add("--shares", nargs="+", type=float, default=SHARES)
    add("--methods", nargs="+", choices=[*METHODS, "none"], default=METHODS)
    add("--windows", type=int, default=32, help="of calibration")
    add("--test-windows", type=int, default=80)
    add("--cell", nargs=2, metavar=("METHOD", "SHARE"), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
