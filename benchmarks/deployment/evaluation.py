"""Size, accuracy and latency of a file on the device runtimes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.compression.int8_files import sizes
from benchmarks.device import inference
from benchmarks.timing import interleaved
from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.runtimes.executable import Executable
from dart_keras.deployment.runtimes.result import RefusedError
from examples.fashion_mnist.data import FashionMnist

RUNTIMES = ("LiteRT", "TFLM")
# TFLM's kernels are slow, so they get the first of the test images only.
TFLM_IMAGES = 2_000
FIRST = "accuracy on the first images"
SECONDS = 0.5


def evaluate(content: bytes, images: FashionMnist) -> dict[str, Any]:
    """Return a file's bytes and operators, and its results on the test images by runtime.

    Args:
        content: A `.tflite` file with one input and one output.
        images: The data.

    Returns:
        For LiteRT the accuracy on all images and on the first 2,000, for TFLM the accuracy on the
        first 2,000 and the smallest arena; or a runtime's reason as "refused".
    """
    file = executable(content)
    found: dict[str, Any] = {**sizes(content), "operators": ModelFile(content).operator_counts}
    for runtime in RUNTIMES:
        count = TFLM_IMAGES if runtime == "TFLM" else None
        try:
            result = file.run(runtime.lower(), [images.test_images[:count]])
        except RefusedError as error:
            found[runtime] = {"refused": error.reason}
            continue
        right = result.outputs[0].argmax(-1) == images.test_labels[:count]
        found[runtime] = {FIRST: float(np.mean(right[:TFLM_IMAGES]))}
        if result.arena_size is None:
            found[runtime]["accuracy"] = float(np.mean(right))
        else:
            found[runtime]["arena"] = result.arena_size
    return found


def add_latencies(
    cells: Mapping[str, dict[str, Any]], contents: Mapping[str, bytes], seconds: float = SECONDS
) -> None:
    """Time files in turn on each runtime, and add the latencies to their cells.

    Args:
        cells: Results of `evaluate` by name.
        contents: The files by the same names.
        seconds: Approximate time for each file on each runtime.
    """
    for runtime in RUNTIMES:
        running = [name for name, cell in cells.items() if "refused" not in cell[runtime]]
        timings = interleaved(
            {
                name: inference(
                    contents[name],
                    executable(contents[name]).inputs[0],
                    runtime,
                    cells[name][runtime].get("arena"),
                )
                for name in running
            },
            seconds,
        )
        for name, timing in timings.items():
            cells[name][runtime] |= {
                "microseconds": timing.microseconds,
                "spread": timing.spread,
            }


def executable(content: bytes) -> Executable:
    """Return an executable of a file with one input and one output, whatever their names."""
    parsed = ModelFile(content)
    return Executable(content, parsed.inputs(["rows"]), parsed.outputs(["logits"]))
