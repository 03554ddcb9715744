"""Allocation of a budget: the package's own search beside `scipy.optimize.milp`, on random models.

`python -m benchmarks.knapsack [--layers 8 40 100] [--powers 1 8] [--repeats 5]`

`compress` also sums the losses to powers of up to 8, which lie many orders of magnitude apart.
"""

import argparse
import time
from itertools import product

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from dart_keras.compression.search.knapsack import Option, allocate

OPTIONS = 60


def random_layers(rng: np.random.Generator, layers: int) -> list[list[Option]]:
    """Return layers of 10^3 to 10^7 parameters, whose losses fall like singular values."""
    found = []
    for _ in range(layers):
        parameters = 10 ** rng.uniform(3, 7)
        costs = np.unique((parameters * np.geomspace(0.01, 1, OPTIONS)).astype(int))
        losses = np.exp(-np.linspace(0, rng.uniform(3, 9), len(costs)))
        losses = np.sort(losses * rng.uniform(0.5, 1.5, len(costs)))[::-1] * rng.lognormal(0, 2)
        losses[-1] = 0
        found.append([Option(float(c), float(x)) for c, x in zip(costs, losses, strict=True)])
    return found


def by_milp(layers: list[list[Option]], limit: float) -> list[int]:
    """Return an option of each layer by HiGHS, whose relative gap is to be zero."""
    losses = np.array([option.loss for options in layers for option in options])
    costs = np.array([option.cost for options in layers for option in options])
    owner = np.repeat(np.arange(len(layers)), [len(options) for options in layers])
    one_each = csr_matrix((np.ones(len(losses)), (owner, np.arange(len(losses)))))
    solved = milp(
        losses / losses.max(),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(csr_matrix(costs[None] / limit), -np.inf, 1),
        ],
        integrality=np.ones(len(losses)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    return [int(np.argmax(solved.x[owner == k])) for k in range(len(layers))]


def timed(function, *arguments) -> tuple[list[int], float]:
    start = time.perf_counter()
    picks = function(*arguments)
    return picks, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 40, 100])
    parser.add_argument("--powers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    for layers, power in product(arguments.layers, arguments.powers):
        times, losses = [], []
        for _ in range(arguments.repeats):
            problem = [
                [option._replace(loss=option.loss**power) for option in options]
                for options in random_layers(rng, layers)
            ]
            limit = sum(options[-1].cost for options in problem) * rng.choice([0.1, 0.25, 0.5])
            own, seconds = timed(allocate, problem, limit)
            other, milp_seconds = timed(by_milp, problem, limit)
            times.append(milp_seconds / seconds)
            chosen = [
                sum(options[k].loss for options, k in zip(problem, picks, strict=True))
                for picks in (own, other)
            ]
            losses.append(chosen[1] / chosen[0])
        print(
            f"{layers} layers, losses to the power of {power}: "
            f"milp takes {np.median(times):.2g} times as long "
            f"({min(times):.2g} to {max(times):.2g}); its loss over ours "
            f"{np.median(losses):.6g} ({min(losses):.6g} to {max(losses):.6g})",
            flush=True,
        )


if __name__ == "__main__":
    main()
