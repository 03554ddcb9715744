"""MLPerf Tiny's anomaly detector compressed with calibration data, without training.

`python -m benchmarks.compression.anomaly_detection --data-dir DIR`: calibrated on the first 130
windows of a recording, judged by the reconstruction error on the other 66, which have frames that
calibration never saw but for four windows at the border.
"""

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import dart_keras as dk
from benchmarks import machine
from benchmarks.compression import reference
from benchmarks.device import inference
from benchmarks.tables import RESULTS, Results
from benchmarks.timing import interleaved

MODEL, FILE = "ad01.h5", "ad01_int8.tflite"
RECORDING = "normal_id_01_00000000_hist_librosa.bin"
MELS, FRAMES = 128, 5
CALIBRATION_WINDOWS = 130
# The weights of its matrices and their biases, of which a tenth and a fifth are asked for.
WEIGHTS = 267_928
BUDGETS = (WEIGHTS // 10, WEIGHTS // 5)
# As an int8 file for a microcontroller.
FILE_BUDGET = 48 * 1024


def windows(recording: np.ndarray) -> np.ndarray:
    """Five frames in a row at every place, as rows of 640 numbers."""
    frames = recording.reshape(-1, MELS)
    count = len(frames) - FRAMES + 1
    return np.stack([frames[k : k + FRAMES].reshape(-1) for k in range(count)])


def reconstruction_error(outputs: np.ndarray, rows: np.ndarray) -> float:
    """The mean square of what is missing."""
    return float(np.mean((outputs - rows) ** 2))


def keras_cell(name: str, model: keras.Model, rows: np.ndarray) -> dict[str, Any]:
    """What a Keras model holds and its error."""
    error = reconstruction_error(model.predict(rows, verbose=0), rows)
    return {"model": name, "parameters": model.count_params(), "error": error}


def main() -> None:
    folder = reference.folder(__doc__, MODEL, FILE, RECORDING)
    machine.prepare()
    results = Results(
        "MLPerf Tiny anomaly detection: mean squared error on 66 windows, bytes, microseconds",
        ["model", "parameters", "error", "ratio", "file bytes", "arena", "LiteRT", "TFLM"],
        RESULTS / "compression_anomaly_detection.json",
    )
    rows = windows(np.fromfile(folder / RECORDING, "<f4"))
    calibration, judged = rows[:CALIBRATION_WINDOWS], rows[CALIBRATION_WINDOWS:]
    model = reference.load(folder / MODEL)
    original = keras_cell("original", model, judged)
    results.add({**original, "ratio": 1.0})
    for budget in BUDGETS:
        small, _ = dk.compression.compress(model, dk.selection.Budget(budget), calibration)
        cell = keras_cell(f"at most {budget:,}", small, judged)
        results.add({**cell, "ratio": cell["error"] / original["error"]})

    small, report = dk.compression.compress(
        model, dk.selection.Budget(flash_bytes=FILE_BUDGET), calibration
    )
    print(report)
    artifact = dk.deployment.convert(
        small, "microcontroller", quantization="int8", calibration_data=calibration
    )
    theirs = reference.load_file(folder / FILE, model)
    outputs = theirs.run("tflm", [judged])
    cells = [
        {
            "model": "reference file",
            "parameters": model.count_params(),
            "error": reconstruction_error(outputs.outputs[0], judged),
            "file bytes": len(theirs.content),
            "arena": outputs.arena_size,
        },
        {
            "model": "int8 file",
            "parameters": small.count_params(),
            "error": reconstruction_error(artifact.predict(judged, runtime="tflm"), judged),
            "file bytes": artifact.size,
            "arena": artifact.arena_size,
        },
    ]
    files = (theirs, artifact)
    for runtime in ("LiteRT", "TFLM"):
        timings = interleaved(
            {
                cell["model"]: inference(file.content, file.inputs[0], runtime, cell["arena"])
                for cell, file in zip(cells, files, strict=True)
            }
        )
        for cell in cells:
            cell[runtime] = timings[cell["model"]].microseconds
    for cell in cells:
        results.add({**cell, "ratio": cell["error"] / cells[0]["error"]})
    results.finish(
        {
            "error of the int8 file / of the reference file": cells[1]["error"] / cells[0]["error"],
            **{
                f"times as fast on {runtime}": cells[0][runtime] / cells[1][runtime]
                for runtime in ("LiteRT", "TFLM")
            },
        }
    )


if __name__ == "__main__":
    main()
