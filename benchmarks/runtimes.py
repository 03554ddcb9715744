"""MLPerf Tiny's anomaly detector as an int8 file on every runtime, and its least precise operators.

`python -m benchmarks.runtimes --data-dir DIR` converts the original and a model with a tenth of its
weights. The first 130 windows of a recording are for calibration. The other 66 are for evaluation
against Keras.
"""

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import dart_keras as dk
from benchmarks import environment
from benchmarks.compression import reference
from benchmarks.compression.anomaly_detection import (
    BUDGETS,
    CALIBRATION_WINDOWS,
    MODEL,
    RECORDING,
    windows,
)
from benchmarks.tables import RESULTS, Results
from dart_keras.deployment.validation.output_errors import compare

RUNTIMES = ("litert", "litert-builtin", "litert-reference", "tflm")


def main() -> None:
    folder = reference.folder(__doc__, MODEL, RECORDING)
    environment.prepare()
    results = Results(
        "MLPerf Tiny anomaly detection, int8: SQNR, and share of outputs unlike TFLM's",
        ["model", "runtime", "sqnr_db", "unlike", "load", "median", "memory", "arena"],
        RESULTS / "runtimes.json",
    )
    rows = windows(np.fromfile(folder / RECORDING, "<f4"))
    calibration, test_rows = rows[:CALIBRATION_WINDOWS], rows[CALIBRATION_WINDOWS:]
    original = reference.load(folder / MODEL)
    small, _ = dk.compression.compress(original, dk.budgets.Parameters(BUDGETS[0]), calibration)
    worst: dict[str, Any] = {}
    for name, model in {"original": original, "a tenth": small}.items():
        artifact = dk.deployment.convert(
            model, "microcontroller", quantization="int8", calibration_data=calibration
        )
        expected = model.predict(test_rows, verbose=0)
        outputs = {runtime: artifact.predict(test_rows, runtime) for runtime in RUNTIMES}
        costs = {cost.runtime: cost for cost in artifact.measure(runs=1000).runtimes}
        for runtime, output in outputs.items():
            [distance] = compare([expected], [output], ["output"])
            cell = {"model": name, "runtime": runtime, "sqnr_db": distance["sqnr_db"]}
            cell["unlike"] = float(np.mean(output != outputs["tflm"]))
            if runtime in costs:
                cost = costs[runtime]
                cell["load"] = cost.load_microseconds
                cell["median"] = cost.median_microseconds
                cell["memory"], cell["arena"] = cost.peak_memory_bytes, cost.arena_bytes
            results.add(cell)
        errors = artifact.operator_errors(test_rows)
        print(errors)
        worst[f"worst of {name}"] = str(errors).splitlines()[-1]
    results.finish(worst)


if __name__ == "__main__":
    main()
