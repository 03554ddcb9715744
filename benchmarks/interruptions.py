"""Training of a language model that is killed at any moment and started again.

`python -m benchmarks.interruptions --kills 20 --seed 0` trains once without interruption. Then it
kills (SIGKILL) runs of the same command before, during and after rank truncation, while ranks grow
or a checkpoint is written, and at random times. Every third run is killed a second time after its
restart. In the end, each run must have the steps, epochs, ranks, weights and logs of the
uninterrupted one.
Arguments after `--` go to `examples.language_model.train`.
"""

import argparse
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.call_counter import Span
from benchmarks.killable_run import Run, write_text
from benchmarks.tables import RESULTS, Results

# Greatest error of weights and logged values, relative to the largest in the same array.
RELATIVE = 1e-5
COLUMNS = (
    "when",
    "kills",
    "found",
    "steps",
    "epochs",
    "ranks",
    "weights",
    "logs",
    "best",
    "identical",
)


def places(spans: list[Span]) -> dict[str, list[int]]:
    """Group spans by phase: around a truncation, while ranks grow or a checkpoint is written."""
    names = [span.name for span in spans]
    cut, end = (
        (names.index("cut"), names.index("cut done")) if "cut" in names else (len(names),) * 2
    )
    found = {
        "before truncation": range(cut),
        "during truncation": range(cut, end),
        "after truncation": range(end, len(names)),
        "while ranks grow": (i for i, name in enumerate(names) if name == "grow"),
        "while writing a checkpoint": (i for i, name in enumerate(names) if name == "checkpoint"),
    }
    return {name: own for name, each in found.items() if (own := list(each))}


def final_state(folder: Path) -> dict[str, Any]:
    """Return the final state of a run, read from its last checkpoint."""
    import keras

    from examples.language_model.checkpoint import read_state
    from examples.language_model.checkpoint_callbacks import BEST, LAST

    model = keras.models.load_model(folder / LAST)
    state = read_state(folder / LAST)
    return {
        "steps": int(model.optimizer.iterations),
        "logs": state["history"],
        "best": read_state(folder / BEST),
        "seeds": state["seeds"],
        "ranks": {layer.name: layer.ranks for layer in model.layers if hasattr(layer, "ranks")},
        "weights": [v.numpy() for v in (*model.weights, *model.optimizer.variables)],
    }


def comparison(folder: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Compare a killed run with `final_state` of the uninterrupted one."""
    from examples.language_model.checkpoint_callbacks import BEST

    found = final_state(folder)
    check_readable(folder / BEST)
    same = {name: found[name] == expected[name] for name in ("steps", "ranks", "best", "seeds")}
    epochs = [set(log) for log in found["logs"]] == [set(log) for log in expected["logs"]]
    pairs = zip(found["logs"], expected["logs"], strict=False)
    logs = [
        _relative_error(mine[name], its[name])
        for mine, its in pairs
        for name in its
        if name in mine
    ]
    shapes = [[w.shape for w in each["weights"]] for each in (found, expected)]
    weights = (
        max(
            _relative_error(*pair)
            for pair in zip(found["weights"], expected["weights"], strict=True)
        )
        if shapes[0] == shapes[1]
        else math.inf
    )
    rest = sorted(path.name for path in folder.glob("partial-*"))
    good = all(same.values()) and epochs and not rest
    return {
        "steps": found["steps"],
        "epochs": len(found["logs"]),
        "ranks": "same" if same["ranks"] else found["ranks"],
        "weights": weights,
        "logs": max(logs),
        "best": "same" if same["best"] else "other",
        "left over": rest,
        "identical": good and max(weights, *logs) <= RELATIVE,
    }


def check_readable(path: Path) -> None:
    """Read a checkpoint if there is one; raise if the file is incomplete."""
    import keras

    from examples.language_model.checkpoint import read_state

    if path.exists():
        read_state(path)
        keras.models.load_model(path)


def _relative_error(found: Any, expected: Any) -> float:
    scale = np.max(np.abs(expected), initial=1e-30)
    return float(np.max(np.abs(np.subtract(found, expected)), initial=0.0) / scale)


def interrupt(run: Run, when: str, spans: list[Span], seconds: float, rng: random.Random) -> Any:
    """Kill a run; return where: the span and call, or the seconds it ran."""
    if when == "at a random time":
        limit = rng.uniform(0.1, 0.9) * seconds
        while not run.kill_after(limit):
            # With less load on the machine, the run may have ended before the limit.
            limit /= 2
            shutil.rmtree(run.folder)
        return {"seconds": round(limit, 1)}
    span = rng.choice(places(spans)[when])
    call = rng.randint(1, spans[span].calls)
    if not run.kill_in((span, call)):
        raise RuntimeError(f"Expected a kill at call {call} of span {span}. Received: a whole run")
    return {"after": spans[span].name, "span": span, "call": call}


def checkpoint_found(folder: Path) -> str:
    """Return what a killed run has left: the epoch and step of its last checkpoint."""
    from examples.language_model.checkpoint import read_state
    from examples.language_model.checkpoint_callbacks import BEST, LAST

    check_readable(folder / BEST)
    if not (folder / LAST).exists():
        return "nothing"
    state = read_state(folder / LAST)
    partial = ", partial" if any(folder.glob("partial-*")) else ""
    return f"{state['epoch']}/{state['step']}{partial}"


def measure(folder: Path, kills: int, seed: int, arguments: list[str]) -> Iterator[dict[str, Any]]:
    """Kill runs, every third one twice, restart them and compare their final states."""
    write_text(folder / "text")
    start = time.monotonic()
    whole = Run(folder / "whole", folder / "text", arguments)
    spans = whole.count()
    seconds = time.monotonic() - start
    expected = final_state(whole.folder)
    rng = random.Random(seed)
    kinds = [*places(spans), "at a random time"]
    for i in range(kills):
        run = Run(folder / str(i), folder / "text", arguments)
        when = kinds[i % len(kinds)]
        moments = [interrupt(run, when, spans, seconds, rng)]
        found = [checkpoint_found(run.folder)]
        again = rng.uniform(0.1, 0.5) * seconds
        if i % 3 == 2 and run.kill_after(again):
            moments.append({"seconds": round(again, 1)})
            found.append(checkpoint_found(run.folder))
        run.finish()
        yield {
            "when": when,
            "kills": len(moments),
            "found": " then ".join(found),
            "moments": moments,
            **comparison(run.folder, expected),
        }


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Count runs and those with the right result, and return the largest errors."""
    return {
        "runs": len(cells),
        "kills": sum(cell["kills"] for cell in cells),
        "runs by time of the kill": Counter(cell["when"] for cell in cells),
        "identical to the uninterrupted run": sum(cell["identical"] for cell in cells),
        "largest weight error": max(cell["weights"] for cell in cells),
        "largest log error": max(cell["logs"] for cell in cells),
        "failures": [cell for cell in cells if not cell["identical"]],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.interruptions", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="how many runs to kill")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("training", nargs="*", help="further arguments for the training command")
    parsed = parser.parse_args()
    usual = parsed.kills >= 20 and not parsed.training
    path = parsed.output or (RESULTS / "interruptions.json" if usual else None)
    results = Results("Killed runs of a language model, started again", COLUMNS, path)
    with tempfile.TemporaryDirectory() as folder:
        for cell in measure(Path(folder), parsed.kills, parsed.seed, parsed.training):
            results.add(cell)
    found = summary(results.cells)
    results.finish(found)
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
