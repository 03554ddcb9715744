"""MLPerf Tiny's anomaly detector, compressed with calibration data and without training.

`python -m benchmarks.compression.anomaly_detection --data-dir DIR` calibrates on the first 130
windows of a recording and measures the reconstruction error on the other 66. Apart from four
windows at the border, those share no frames with the calibration windows.
"""

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import dart_keras as dk
from benchmarks import environment
from benchmarks.compression import reference
from benchmarks.device import inference
from benchmarks.tables import RESULTS, Results
from benchmarks.timing import interleaved

MODEL, FILE = "ad01.h5", "ad01_int8.tflite"
RECORDING = "normal_id_01_00000000_hist_librosa.bin"
MELS, FRAMES = 128, 5
CALIBRATION_WINDOWS = 130
# Weights and biases of its matrices. The budgets are a tenth and a fifth of them.
WEIGHTS = 267_928
BUDGETS = (WEIGHTS // 10, WEIGHTS // 5)
# Bytes of an int8 file for a microcontroller.
FILE_BUDGET = 48 * 1024


def windows(recording: np.ndarray) -> np.ndarray:
    """Return windows of five frames at every position, as rows of 640 elements."""
    frames = recording.reshape(-1, MELS)
    count = len(frames) - FRAMES + 1
    return np.stack([frames[k : k + FRAMES].reshape(-1) for k in range(count)])


def reconstruction_error(outputs: np.ndarray, rows: np.ndarray) -> float:
    """Return the mean squared reconstruction error."""
    return float(np.mean((outputs - rows) ** 2))


def keras_cell(name: str, model: keras.Model, rows: np.ndarray) -> dict[str, Any]:
    """Return the parameters and the error of a Keras model."""
    error = reconstruction_error(model.predict(rows, verbose=0), rows)
    return {"model": name, "parameters": model.count_params(), "error": error}


def main() -> None:
    folder = reference.folder(__doc__, MODEL, FILE, RECORDING)
    environment.prepare()
    results = Results(
        "MLPerf Tiny anomaly detection: mean squared error on 66 windows, bytes, microseconds",
        ["model", "parameters", "error", "ratio", "file bytes", "arena", "LiteRT", "TFLM"],
        RESULTS / "compression_anomaly_detection.json",
    )
    rows = windows(np.fromfile(folder / RECORDING, "<f4"))
    calibration, test_rows = rows[:CALIBRATION_WINDOWS], rows[CALIBRATION_WINDOWS:]
    model = reference.load(folder / MODEL)
    original = keras_cell("original", model, test_rows)
    results.add({**original, "ratio": 1.0})
    for budget in BUDGETS:
        small, _ = dk.compression.compress(model, dk.budgets.Parameters(budget), calibration)
        cell = keras_cell(f"at most {budget:,}", small, test_rows)
        results.add({**cell, "ratio": cell["error"] / original["error"]})

    small, report = dk.compression.compress(model, dk.budgets.FlashBytes(FILE_BUDGET), calibration)
    print(report)
    artifact = dk.deployment.convert(
        small, "microcontroller", quantization="int8", calibration_data=calibration
    )
    theirs = reference.load_file(folder / FILE, model)
    outputs = theirs.run("tflm", [test_rows])
    cells = [
        {
            "model": "reference file",
            "parameters": model.count_params(),
            "error": reconstruction_error(outputs.outputs[0], test_rows),
            "file bytes": len(theirs.content),
            "arena": outputs.arena_size,
        },
        {
            "model": "int8 file",
            "parameters": small.count_params(),
            "error": reconstruction_error(artifact.predict(test_rows, runtime="tflm"), test_rows),
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
