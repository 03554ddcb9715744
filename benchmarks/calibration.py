"""Fit the constants of the planner's CPU cost model.

`python -m benchmarks.calibration --seconds 240` times all candidates for random TT matrices, as
`benchmarks.planner` does for its grid. It prints the constants of the device "cpu" in
dart_keras/devices.py that best fit these times and the two-core times of `benchmarks.planner`. No
random TT matrix is in that grid.
"""

import argparse
import dataclasses
import json
import os
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from scipy.optimize import least_squares

from benchmarks import environment, planner
from benchmarks.grid import KINDS
from benchmarks.tables import RESULTS, Results
from dart_keras.devices import DEVICES, CostModel
from dart_keras.tensor_train import complete_ranks
from dart_keras.tensor_train.contraction import ContractionPlan, candidate_plans
from dart_keras.tensor_train.contraction.network import Network

MODES = (3, 5, 6, 9, 10, 12, 18, 20, 24, 40, 48, 72, 80)
SMALLEST, LARGEST = 500, 6000  # dimensions
RANKS = (3, 80)
ROWS = (1, 600)
MAX_ELEMENTS = 1e8  # of any array in any candidate plan
# Microseconds of overhead of one call of a compiled function; fitted with the rest.
CALL_OVERHEAD = 200.0


def random_cell(rng: np.random.Generator) -> dict[str, Any]:
    """Return a random TT matrix with a number of rows and a kind of step."""
    while True:
        cores = int(rng.integers(2, 4))
        modes = [[int(m) for m in rng.choice(MODES, cores)] for _ in range(2)]
        rank, rows = (int(np.exp(rng.uniform(*np.log(limits)))) for limits in (RANKS, ROWS))
        ranks, kind = complete_ranks(rank, *modes), str(rng.choice(KINDS))
        plans = candidate_plans(*modes, ranks, rows, training=kind == "training")
        if all(SMALLEST <= np.prod(side) <= LARGEST for side in modes) and all(
            plan.cost.largest_intermediate < MAX_ELEMENTS for plan in plans
        ):
            return {"modes": modes, "ranks": ranks, "batch": rows, "kind": kind}


def plans_of(cell: dict[str, Any]) -> list[ContractionPlan]:
    """Return the candidate plans of a measured cell."""
    network = Network(*map(tuple, cell["modes"]), tuple(cell["ranks"]), cell["batch"])
    training = cell["kind"] == "training"
    return [
        ContractionPlan(
            candidate["plan"],
            network,
            tuple(tuple(pair) for pair in candidate["path"]),
            tuple(candidate["batched"]),
            DEVICES["cpu"],
            training,
        )
        for candidate in cell["candidates"]
    ]


def fit(cells: list[dict[str, Any]], start: CostModel) -> tuple[CostModel, float]:
    """Fit the constants that best predict the time ratios between the candidates of a cell.

    Only candidates of one cell are compared. They were timed in turn, while the speed of the
    machine changes from cell to cell.

    Returns:
        The constants, and the median error of the log time ratios within a cell.
    """
    names = [field.name for field in dataclasses.fields(start) if field.type is float]
    measured = [(plans_of(cell), [c["microseconds"] for c in cell["candidates"]]) for cell in cells]

    def model_of(logarithms: np.ndarray) -> CostModel:
        constants = np.exp(logarithms).tolist()
        return dataclasses.replace(start, **dict(zip(names, constants, strict=True)))

    def errors(logarithms: np.ndarray) -> np.ndarray:
        fitted, call = model_of(logarithms[:-1]), np.exp(logarithms[-1])
        device = dataclasses.replace(DEVICES["cpu"], costs=fitted)
        found = []
        for plans, times in measured:
            estimates = [dataclasses.replace(p, device=device).microseconds + call for p in plans]
            ratios = np.log(np.array(estimates) / times)
            found.append(ratios - np.median(ratios))
        return np.concatenate(found)

    initial = np.log([*(getattr(start, name) for name in names), CALL_OVERHEAD])
    # At most a factor of five from the start, as some constants have little effect here.
    bounds = (initial - np.log(5), initial + np.log(5))
    best = least_squares(
        errors, initial, loss="soft_l1", f_scale=0.1, diff_step=0.05, bounds=bounds
    )
    return model_of(best.x[:-1]), float(np.median(np.abs(errors(best.x))))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.calibration", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240)
    until = time.perf_counter() + parser.parse_args().seconds
    environment.prepare()
    rng = np.random.default_rng(0)
    columns = ["modes", "ranks", "batch", "kind", "auto", "fastest", "ratio"]
    results = Results(
        "Candidate plans for random TT matrices", columns, RESULTS / "calibration.json"
    )
    while time.perf_counter() < until:
        cell = random_cell(rng)
        modes = tuple(map(tuple, cell["modes"]))
        measured = planner.measure(modes, cell["ranks"], cell["batch"], cell["kind"])
        results.add({**cell, **measured})
    grid = json.loads((RESULTS / "planner_2_cores.json").read_text())["cells"]
    fitted, error = fit(results.cells + grid, DEVICES["cpu"].costs)
    results.finish({"constants": dataclasses.asdict(fitted), "median error": error})


if __name__ == "__main__":
    main()
