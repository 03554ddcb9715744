"""Means and spreads over seeds, and how far the aims are met."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.no_knob.front import Cell, best_within, smallest_within, sound
from benchmarks.no_knob.problem import Problem
from benchmarks.no_knob.ways import INCREASE, PUBLISHED, SWEEPS, WAYS
from dart_keras.utils.table import Table

# The oracle with one strength and threshold for all seeds, where `oracle` has the best for each.
ONE_SETTING = "oracle, one setting"
HEADER = ("problem", "way", "seeds", "size", "metric", "spread", "to oracle", "loss", "seconds")
_OURS = "size"


class Report:
    """What the cells say, problem by problem.

    Args:
        cells: The cells of the results.
        problems: The problems by name.
    """

    def __init__(self, cells: Sequence[Cell], problems: Mapping[str, Problem]) -> None:
        names = dict.fromkeys(cell["problem"] for cell in cells)
        self._problems = {name: problems[name] for name in problems if name in names}
        self._cells = [cell for cell in sound(cells) if cell["problem"] in problems]

    def runs(self, problem: str, way: str) -> list[Cell]:
        """Return the cells of a way, of a sweep those that are read at the target."""
        own = self._runs(problem, "oracle" if way == ONE_SETTING else way)
        if way in SWEEPS:
            chosen = [self._best(problem, seed, way) for seed in _seeds(own)]
            return [cell for cell in chosen if cell is not None]
        return self._of_one_setting(problem, own) if way == ONE_SETTING else own

    def gain(self, problem: str, way: str, other: str) -> float | None:
        """Return by how much a way's mean metric is better than another's, over common seeds."""
        ours, others = ({c["seed"]: c for c in self.runs(problem, w)} for w in (way, other))
        seeds = [seed for seed in ours if seed in others]
        if not seeds:
            return None
        means = (np.mean([cells[s]["metric"] for s in seeds]) for cells in (ours, others))
        return round(self._problems[problem].metric.gain(*map(float, means)), 3)

    def table(self) -> Table:
        """Return a row for each problem and way."""
        rows = []
        for problem in self._problems:
            for way in (*WAYS, ONE_SETTING):
                if runs := self.runs(problem, way):
                    rows.append(self._row(problem, way, runs))
        return Table(HEADER, "llrrrrrrr", rows)

    def summary(self) -> dict[str, Any]:
        """Return the aims and how far they are met; `None` where cells are missing."""
        each = {name: self._at_equal_size(name) for name in self._problems}
        return {
            "at equal size": each,
            "above a published way in the mean": {
                way: self._mean_gain(way) for way in PUBLISHED if self._mean_gain(way) is not None
            },
            "by loss": {name: self._by_loss(name) for name in self._problems},
            "to dense": {name: self._to_dense(name) for name in self._problems},
            "growing": {name: self._growing(name) for name in self._problems},
        }

    def _runs(self, problem: str, way: str) -> list[Cell]:
        return [c for c in self._cells if (c["problem"], c["way"]) == (problem, way)]

    def _best(self, problem: str, seed: int, way: str = "oracle") -> Cell | None:
        sweep = [cell for cell in self._runs(problem, way) if cell["seed"] == seed]
        return best_within(sweep, self._problems[problem].target, self._problems[problem].metric)

    def _of_one_setting(self, problem: str, sweep: list[Cell]) -> list[Cell]:
        groups: dict[tuple[float, ...], list[Cell]] = {}
        for cell in sweep:
            groups.setdefault(tuple(cell["settings"].values()), []).append(cell)
        means = [
            {name: float(np.mean([c[name] for c in group])) for name in ("size", "metric")}
            | {"cells": group}
            for group in groups.values()
            if len(group) == len(_seeds(sweep))
        ]
        found = best_within(means, self._problems[problem].target, self._problems[problem].metric)
        return found["cells"] if found else []

    def _row(self, problem: str, way: str, runs: list[Cell]) -> list[str]:
        def mean(name: str) -> float:
            return float(np.mean([cell[name] for cell in runs]))

        gain = self.gain(problem, way, "oracle")
        spread = np.std([cell["metric"] for cell in runs], ddof=1) if len(runs) > 1 else None
        return [
            problem,
            way,
            str(len(runs)),
            f"{mean('size'):,.0f}",
            f"{mean('metric'):.2f}",
            "" if spread is None else f"{spread:.2f}",
            "" if gain is None else f"{gain:+.2f}",
            f"{mean('validation_loss'):.4f}",
            f"{mean('seconds'):.1f}",
        ]

    def _at_equal_size(self, problem: str) -> dict[str, Any] | None:
        if not self.runs(problem, _OURS):
            return None
        tolerance = self._problems[problem].metric.tolerance
        others = ("oracle", ONE_SETTING, "fixed", *PUBLISHED)
        gains = {other: self.gain(problem, _OURS, other) for other in others}
        to_oracle, to_fixed = gains["oracle"], gains["fixed"]
        return {
            "better than": gains,
            "within the oracle's tolerance": None if to_oracle is None else to_oracle >= -tolerance,
            "above fixed": None if to_fixed is None else to_fixed > 0,
            "collapsed": [
                f"{layer}, seed {cell['seed']}"
                for cell in self.runs(problem, _OURS)
                for layer in self._collapsed(cell)
            ],
        }

    def _collapsed(self, cell: Cell) -> list[str]:
        # Layers at rank 1 that the oracle keeps at more.
        best = self._best(cell["problem"], cell["seed"])
        kept = {} if best is None else best["ranks"]
        return [
            name
            for name, ranks in cell["ranks"].items()
            if max(ranks) == 1 and max(kept.get(name, [1])) > 1
        ]

    def _mean_gain(self, way: str) -> float | None:
        gains = [self.gain(name, _OURS, way) for name in self._problems]
        known = [gain for gain in gains if gain is not None]
        return round(float(np.mean(known)), 3) if known else None

    def _by_loss(self, problem: str) -> list[dict[str, Any]] | None:
        uncut = {cell["seed"]: cell for cell in self._runs(problem, "uncut")}
        found = []
        for cell in self._runs(problem, "loss"):
            if cell["seed"] in uncut:
                allowed = uncut[cell["seed"]]["validation_loss"] * (1 + INCREASE)
                sweep = [c for c in self._runs(problem, "oracle") if c["seed"] == cell["seed"]]
                smallest = smallest_within(sweep, allowed)
                increase = cell["validation_loss"] / uncut[cell["seed"]]["validation_loss"] - 1
                found.append(
                    {
                        "seed": cell["seed"],
                        "increase to uncut": round(increase, 4),
                        "within": increase <= 1.5 * INCREASE,
                        "size": cell["size"],
                        "size to the sweep's smallest within": None
                        if smallest is None
                        else round(cell["size"] / smallest["size"], 3),
                    }
                )
        return found or None

    def _to_dense(self, problem: str) -> dict[str, Any] | None:
        dense, ours = self._runs(problem, "dense"), self._runs(problem, _OURS)
        if not dense or not ours:
            return None
        size = float(np.mean([cell["size"] for cell in ours]))
        return {
            "smaller by": round(dense[0]["size"] / size, 1),
            "better by": self.gain(problem, _OURS, "dense"),
            "mean size of layers": {
                name: round(float(np.mean([cell["sizes"][name] for cell in ours])))
                for name in ours[0]["sizes"]
            },
        }

    def _growing(self, problem: str) -> dict[str, Any] | None:
        gain = self.gain(problem, "grow", "shrink")
        if gain is None:
            return None
        seconds = [
            np.mean([cell["seconds"] for cell in self._runs(problem, way)])
            for way in ("grow", "shrink")
        ]
        return {"better than shrinking by": gain, "time": round(float(seconds[0] / seconds[1]), 2)}


def _seeds(cells: list[Cell]) -> list[int]:
    return sorted({cell["seed"] for cell in cells})
