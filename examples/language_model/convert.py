"""Convert a trained language model to int8 files for both devices, and measure their perplexity.

The file predicts the next word after a window of words.
"""

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import dart_keras as dk
from dart_keras.utils.atomic_write import check_writable
from dart_keras.utils.table import Table
from examples.language_model import command
from examples.language_model.corpus import END_OF_LINE, Corpus
from examples.language_model.evaluation import contexts, next_word_perplexity
from examples.language_model.rotation import rotate
from examples.language_model.trained_model import TrainedModel

_RUNTIMES = {"raspberry-pi": "litert", "microcontroller": "tflm"}
_PREDICTED_AT_ONCE = 64


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    return command.run("convert.py", partial(_convert, parsed))


def training_windows(ids: np.ndarray, length: int, count: int) -> np.ndarray:
    """Return evenly spaced windows of a text, int32 of shape (count, length) or fewer rows."""
    windows = np.lib.stride_tricks.sliding_window_view(ids, length)
    places = np.linspace(0, len(windows) - 1, min(count, len(windows))).astype(int)
    return windows[places]


def convert_for(
    target: str, trained: TrainedModel, corpus: Corpus, windows: int, words: int
) -> tuple[dk.deployment.Artifact, dict[str, Any]]:
    """Convert a model for a target, and measure it on the target's runtime.

    Args:
        target: Name of the target.
        trained: The model.
        corpus: Its text.
        windows: Number of windows of the training text for the activation ranges.
        words: Number of words to predict, from the start of the test text.

    Returns:
        The artifact, and a JSON-serializable dict of measurements.
    """
    model = trained.model(last_only=True)
    artifact = dk.deployment.convert(
        rotate(model, trained.settings.architecture),
        target,
        quantization="int8",
        calibration_data=training_windows(corpus.train, trained.length, windows),
    )
    runtime = _RUNTIMES[target]
    padding = int(trained.vocabulary.encode([END_OF_LINE])[0])
    rows, labels = contexts(corpus.test, trained.length, words, padding)
    predict = partial(model.predict, batch_size=_PREDICTED_AT_ONCE, verbose=0)
    of_keras = next_word_perplexity(predict, rows, labels)
    of_file = next_word_perplexity(partial(artifact.predict, runtime=runtime), rows, labels)
    return artifact, {
        "target": target,
        "runtime": runtime,
        "parameters": model.count_params(),
        "words": len(labels),
        "perplexity_keras": of_keras,
        "perplexity": of_file,
        "difference_percent": 100 * (of_file / of_keras - 1),
        "flash_bytes": artifact.size,
        "arena_bytes": artifact.arena_size,
        "microseconds": artifact.report["runtimes"][runtime]["microseconds"],
    }


def _convert(parsed: argparse.Namespace) -> None:
    trained = TrainedModel.read(parsed.model)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Expected KERAS_BACKEND=tensorflow, which conversion needs. Received: "
            f"{keras.backend.backend()}"
        )
    # What would fail after the conversions fails now.
    check_writable(parsed.folder, ["vocabulary.txt", "results.json"])
    corpus = trained.corpus(trained.settings.dataset, parsed.data_dir)
    words = {"raspberry-pi": parsed.words, "microcontroller": parsed.tflm_words}
    results = []
    for target in _RUNTIMES:
        artifact, result = convert_for(target, trained, corpus, parsed.windows, words[target])
        artifact.save(parsed.folder / target)
        results.append(result)
    lines = "".join(f"{word}\n" for word in trained.vocabulary.words)
    (parsed.folder / "vocabulary.txt").write_text(lines, encoding="utf-8")
    text = json.dumps({"model": str(parsed.model), "results": results}, indent=2)
    (parsed.folder / "results.json").write_text(text + "\n", encoding="utf-8")
    print(_table(results))
    print(f"Files and vocabulary (one word per line, by id) are in {parsed.folder}")


def _table(results: list[dict[str, Any]]) -> Table:
    header = ("runtime", "words", "Keras", "int8", "difference", "flash", "arena", "microseconds")
    rows = [
        (
            result["runtime"],
            f"{result['words']:,}",
            f"{result['perplexity_keras']:.2f}",
            f"{result['perplexity']:.2f}",
            f"{result['difference_percent']:+.2f} %",
            f"{result['flash_bytes']:,}",
            "" if result["arena_bytes"] is None else f"{result['arena_bytes']:,}",
            f"{result['microseconds']:,.0f}",
        )
        for result in results
    ]
    return Table(header, "lrrrrrrr", rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, help="checkpoint of train.py")
    add("--data-dir", required=True, help="folder with the data set's three text files")
    add("--folder", type=Path, default=Path("build/language_model/device"), help="output folder")
    add(
        "--windows",
        type=command.positive,
        default=128,
        help="windows of the training text for the activation ranges",
    )
    of_test = "words of the test text to predict on"
    add("--words", type=command.positive, default=10_000, help=f"{of_test} LiteRT")
    add("--tflm-words", type=command.positive, default=500, help=f"{of_test} TFLM, which is slow")
    return parser


if __name__ == "__main__":
    sys.exit(main())
