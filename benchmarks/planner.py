"""Measured time of the plan that `contraction="auto"` chooses against that of the fastest plan.

Every candidate plan is run, forward and as a training step, without bias and activation.
`python -m benchmarks.planner` has two modes a side, `--cores 3` three.
"""

import gc
import os
from statistics import geometric_mean
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks import environment
from benchmarks.grid import BATCHES, DIMENSIONS, KINDS, RANKS, Grid, split
from benchmarks.steps import compiled_steps
from benchmarks.tables import Results
from benchmarks.timing import interleaved
from dart_keras.tensor_train import balanced_modes, complete_ranks
from dart_keras.tensor_train.contraction import (
    ContractionPlan,
    candidate_plans,
    cheapest_plan,
    contract,
)

# Candidates with more than this times the fewest multiply-adds are not run.
HOPELESS = 20
# After two rounds, candidates slower than this times the fastest are dropped.
SLOW = 2.0
NEAR = 1.1


def plans_to_run(plans: list[ContractionPlan], auto: ContractionPlan) -> list[ContractionPlan]:
    """Return the candidates that may be the fastest, and the chosen plan."""
    least = min(plan.multiply_adds for plan in plans)
    return [plan for plan in plans if plan == auto or plan.multiply_adds <= HOPELESS * least]


def measure(
    modes: tuple[tuple[int, ...], tuple[int, ...]], ranks: tuple[int, ...], batch: int, kind: str
) -> dict[str, Any]:
    """Return each candidate's predicted and measured time, and the ratio of "auto" to the best."""
    shape = (*modes, ranks, batch)
    training = kind == "training"
    candidates = candidate_plans(*shape, training=training)
    auto = cheapest_plan(*shape, training=training)
    plans = plans_to_run(candidates, auto)

    rng = np.random.default_rng(0)
    rows, columns = (int(np.prod(side)) for side in modes)
    x = rng.normal(size=(batch, rows)).astype("float32")
    output_gradient = rng.normal(size=(batch, columns)).astype("float32")
    shapes = zip(ranks, *modes, ranks[1:], strict=False)
    cores = [tf.Variable(rng.normal(size=shape).astype("float32")) for shape in shapes]

    def run(plan: ContractionPlan) -> Any:
        def function(x: Any) -> Any:
            return contract(x, [tf.convert_to_tensor(core) for core in cores], plan)

        return getattr(compiled_steps(function, cores, x, output_gradient), kind)

    calls = {str(number): run(plan) for number, plan in enumerate(plans)}
    timings = interleaved(calls, seconds=0.15, drop_above=SLOW)
    listed = [
        {
            "plan": plan.name,
            "path": plan.path,
            "batched": plan.batched,
            "predicted": round(plan.microseconds, 1),
            "microseconds": timing.microseconds,
            "spread": timing.spread,
            "rounds": timing.rounds,
        }
        for plan, timing in zip(plans, timings.values(), strict=True)
    ]
    chosen = listed[plans.index(auto)]
    fastest = min(listed, key=lambda candidate: candidate["microseconds"])
    return {
        "auto": auto.name,
        "predicted": chosen["predicted"],
        "microseconds": chosen["microseconds"],
        "fastest": fastest["plan"],
        "least": fastest["microseconds"],
        "ratio": chosen["microseconds"] / fastest["microseconds"],
        "not run": len(candidates) - len(plans),
        "candidates": listed,
    }


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how often "auto" is near the fastest candidate, and where it is not."""
    far = [cell for cell in cells if cell["ratio"] > NEAR]
    names = ("dimensions", "rank", "batch", "kind", "auto", "fastest", "ratio")
    return {
        "cells": len(cells),
        "share within 10 %": 1 - len(far) / len(cells),
        "worst ratio": max(cell["ratio"] for cell in cells),
        "geometric mean of the ratios": geometric_mean(cell["ratio"] for cell in cells),
        "further than 10 %": [{name: cell[name] for name in names} for cell in far],
    }


def main() -> None:
    axes = {"dimensions": DIMENSIONS, "ranks": RANKS, "batches": BATCHES, "kinds": KINDS}
    grid = Grid("planner", __doc__, axes, cores=True)
    environment.prepare()
    results = Results(
        f'Microseconds of the plan of "auto" and of the fastest, {grid.cores} modes a side',
        [
            *("dimensions", "rank", "batch", "kind", "auto", "predicted", "microseconds"),
            *("fastest", "least", "ratio"),
        ],
        grid.path,
    )
    for dimensions, rank, batch, kind in grid:
        rows, columns = split(dimensions)
        modes = balanced_modes(rows, grid.cores), balanced_modes(columns, grid.cores)
        ranks = complete_ranks(rank, *modes)
        where = {"dimensions": dimensions, "rank": rank, "batch": batch, "kind": kind}
        results.add({**where, "modes": modes, "ranks": ranks, **measure(modes, ranks, batch, kind)})
        gc.collect()
    results.finish(summary(results.cells))


if __name__ == "__main__":
    main()
