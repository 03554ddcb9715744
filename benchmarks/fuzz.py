"""Convert random models for both targets with every quantization scheme.

`python -m benchmarks.fuzz --models 200 --seed 0` converts each model of `benchmarks.random_models`
for both targets with every quantization that the target supports. Either the file runs on the
target's runtimes within the tolerances below, or the model is refused with a reason. Anything else,
such as a crash, is a failure. With failures the command ends with exit code 1.
"""

import argparse
import contextlib
import multiprocessing
import os
import re
import sys
from collections import Counter
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.tables import RESULTS, Results
from dart_keras.devices import DEVICES

# Greatest error of a float32 file, relative to the output's largest magnitude.
RELATIVE = 1e-3
# Least SQNR of each output of quantized files, in decibels.
DECIBELS = {"dynamic": 20.0, "int8": 5.0, "int16x8": 5.0}
CONVERSIONS = (
    *(("raspberry-pi", name) for name in DEVICES["raspberry-pi"].quantizations),
    *(("microcontroller", name) for name in DEVICES["microcontroller"].quantizations),
)
SECONDS = 300
GOOD = ("converted", "refused")


def convert_one(seed: int, target: str, quantization: str) -> dict[str, Any]:
    """Convert a random model.

    Args:
        seed: Of the model.
        target: What to convert for.
        quantization: Quantization scheme.

    Returns:
        A dict with the `outcome`: "converted", "refused", "off" for a file beyond its tolerance, or
        "failed" for an error other than a refusal. Further keys: the `reason`; for files the
        largest `relative` error and the least SQNR (`decibels`) on any runtime.
    """
    from benchmarks.random_models import random_model
    from dart_keras.deployment import ConversionError, convert

    model, rows = random_model(seed)
    found: dict[str, Any] = {"layers": [type(layer).__name__ for layer in model.layers[1:]]}
    try:
        artifact = convert(model, target, quantization=quantization, calibration_data=rows)
    except ConversionError as error:
        crashed = "ended with signal" in str(error) or "relative error of" in str(error)
        operators = ", ".join(error.operators)
        reason = f"{error.reason} {operators}".strip()
        return found | {"outcome": "failed" if crashed else "refused", "reason": reason}
    except Exception as error:
        return found | {"outcome": "failed", "reason": f"{type(error).__name__}: {error}"}
    outputs = [o for each in artifact.report["runtimes"].values() for o in each["outputs"]]
    # None means no error at all, or a model whose outputs are zero.
    decibels = min((o["sqnr_db"] for o in outputs if o["sqnr_db"] is not None), default=None)
    relative = max(o["relative_error"] for o in outputs)
    found |= {"relative": relative, "decibels": decibels, "outcome": "converted"}
    if quantization == "float32":
        good = relative <= RELATIVE
    else:
        good = decibels is None or decibels >= DECIBELS[quantization]
    return found if good else found | {"outcome": "off", "reason": f"{quantization} tolerance"}


class Worker:
    """A process that converts models; it is replaced if a conversion ends it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def ask(self, *task: Any) -> dict[str, Any]:
        """Return the outcome of a conversion, "crashed" if the process ended."""
        try:
            self._connection.send(task)
            if self._connection.poll(SECONDS):
                return self._connection.recv()
            reason = f"no answer in {SECONDS} seconds"
        except (EOFError, OSError):
            self._process.join()
            reason = f"its process ended with exit code {self._process.exitcode}"
        self._process.kill()
        self._process.join()
        self.__init__()
        return {"outcome": "crashed", "reason": reason}


def _serve(connection: Any) -> None:
    while True:
        connection.send(convert_one(*connection.recv()))


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Count outcomes by target and quantization, and refusals by reason."""
    found: dict[str, Any] = {
        "models": len({c["seed"] for c in cells}),
        "tolerances": {"relative": RELATIVE, "decibels": DECIBELS},
    }
    for target, quantization in CONVERSIONS:
        own = [c for c in cells if (c["target"], c["quantization"]) == (target, quantization)]
        files = [c for c in own if "relative" in c]
        found[f"{target} {quantization}"] = {
            **Counter(c["outcome"] for c in own),
            "largest relative error": max((c["relative"] for c in files), default=None),
            "lowest SQNR (dB)": min(
                (c["decibels"] for c in files if c["decibels"] is not None), default=None
            ),
        }
    reasons = Counter(_kind(c["reason"]) for c in cells if c["outcome"] == "refused")
    found["refused, by reason"] = dict(reasons.most_common())
    found["failures"] = [c for c in cells if c["outcome"] not in GOOD]
    return found


def _kind(reason: str) -> str:
    """Return a reason without the parts that differ between models."""
    return re.sub(r"'\w+'|-?\d+(\.\d+)?(e-?\d+)?", "…", reason)[:300]


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.fuzz", description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first model")
    arguments = parser.parse_args()
    whole = arguments.models >= 200
    columns = ["seed", "target", "quantization", "outcome", "relative", "decibels", "reason"]
    path = RESULTS / "fuzz.json" if whole else None
    results = Results("Random models through the converter", columns, path)
    worker = Worker()
    # On Ctrl-C, print the summary of the results so far.
    with contextlib.suppress(KeyboardInterrupt):
        for seed in range(arguments.seed, arguments.seed + arguments.models):
            for target, quantization in CONVERSIONS:
                cell = {"seed": seed, "target": target, "quantization": quantization}
                results.add(cell | worker.ask(seed, target, quantization))
    found = summary(results.cells)
    results.finish(found)
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
