"""Second stage of a search: exact costs of a few candidates, by the planner and by TT-SVD."""

import math
from collections.abc import Iterable
from functools import partial

import numpy as np

from dart_keras.tensor_train.modes.candidates import ModePair, preference
from dart_keras.tensor_train.modes.costs import (
    batch_count_parameters,
    batch_ranks_within,
    batch_uniform_ranks,
)
from dart_keras.tensor_train.modes.exploration import ParameterRange, RankRule
from dart_keras.tensor_train.modes.kernel_error import kernel_error, kernel_ranks
from dart_keras.tensor_train.modes.request import OBJECTIVES, Request
from dart_keras.tensor_train.modes.suggestion import ModePoint
from dart_keras.utils.progress import progress

UNITS = dict(
    zip(OBJECTIVES, ("parameters", "multiply-adds", "microseconds", "bytes", ""), strict=True)
)


def rank_rule(request: Request, max_parameters: float) -> RankRule:
    """Return the rule for a candidate's ranks if they do not depend on the matrix."""
    if request.ranks is not None:
        return partial(batch_uniform_ranks, rank=request.ranks)
    return partial(batch_ranks_within, max_parameters=max_parameters)


class Evaluation:
    """The evaluated points of a search; each one is computed once.

    Args:
        request: The checked arguments of the search.
        parameter_range: Fewest and most parameters of a candidate.
    """

    def __init__(self, request: Request, parameter_range: ParameterRange) -> None:
        self.request = request
        self.parameter_range = parameter_range
        self.rank_rule = rank_rule(request, parameter_range[1])
        self.points: list[ModePoint] = []
        self.seen: set[ModePair] = set()

    def add(self, shapes: Iterable[ModePair]) -> None:
        """Evaluate candidates, unless they are known or outside the range."""
        for shape in progress(shapes, "evaluating modes"):
            if shape not in self.seen and (point := self._evaluated(shape)) is not None:
                self.points.append(point)
            self.seen.add(shape)

    def dense(self) -> ModePoint:
        """Return the dense layer as a TT matrix of one core."""
        shape = ((self.request.input_dim,), (self.request.output_dim,))
        return self._point(shape, (1, 1), None if self.request.matrix is None else 0.0)

    def best(self) -> ModePoint:
        """Return the best point within all limits, or else the one closest to them."""

        def excess(point: ModePoint) -> float:
            limits = self.request.limits.items()
            # Only the limit of the error can be zero.
            return sum(max(0, value(point, name) - limit) / (limit or 1) for name, limit in limits)

        return min(self._in_range(), key=lambda point: (excess(point), *self._key(point)))

    def allowed(self) -> list[ModePoint]:
        """Return the points within all limits, the best one first.

        Raises:
            ValueError: If there is none.
        """
        points = self._in_range()
        for name, limit in self.request.limits.items():
            within = [point for point in points if value(point, name) <= limit]
            if not within:
                least = min(value(point, name) for point in points)
                raise ValueError(unreachable(name, limit, least))
            points = within
        return sorted(points, key=self._key)

    def _in_range(self) -> list[ModePoint]:
        # If the matrix determines the ranks, all points may be outside the range.
        fewest, most = self.parameter_range
        return [p for p in self.points if fewest <= p.parameters <= most] or self.points

    def _key(self, point: ModePoint) -> tuple[object, ...]:
        order = preference(point.shape, self.request.input_dim, self.request.output_dim)
        return value(point, self.request.objective), *order

    def _evaluated(self, shape: ModePair) -> ModePoint | None:
        matrix, tolerance = self.request.matrix, self.request.tolerance
        if matrix is not None and tolerance is not None:
            return self._point(shape, *kernel_ranks(matrix, shape, tolerance))
        ranks = tuple(int(rank) for rank in self.rank_rule(_sizes(shape))[:, 0])
        fewest, most = self.parameter_range
        if 0 in ranks or not fewest <= _count(shape, ranks) <= most:
            return None
        return self._point(
            shape, ranks, None if matrix is None else kernel_error(matrix, shape, ranks)
        )

    def _point(self, shape: ModePair, ranks: tuple[int, ...], error: float | None) -> ModePoint:
        from dart_keras.tensor_train.contraction import cheapest_plan

        device = self.request.device
        parameters = _count(shape, ranks)
        plan = cheapest_plan(
            *shape,
            ranks,
            self.request.rows,
            target=device.name,
            # A file stores merged cores, which must not be larger.
            max_parameters=parameters if device.runs_files else None,
        )
        arena = device.bytes_per_element * plan.peak_elements
        return ModePoint(
            *shape, ranks, parameters, plan.multiply_adds, plan.microseconds, arena, error
        )


def value(point: ModePoint, name: str) -> float:
    """Return one of a point's costs; without a matrix the error is zero."""
    return 0.0 if name == "error" and point.error is None else point.costs[OBJECTIVES.index(name)]


def unreachable(name: str, limit: float, least: float) -> str:
    """Return the error message if no candidate is within a limit."""
    smallest = f"{least:.4g}" if name == "error" else f"{math.ceil(least):,} {UNITS[name]}"
    return (
        f"Expected a larger `max_{name}`. Received: max_{name}={limit}; the smallest value found "
        f"is {smallest}"
    )


def _count(shape: ModePair, ranks: tuple[int, ...]) -> int:
    return int(batch_count_parameters(_sizes(shape), np.array(ranks)[:, None])[0])


def _sizes(shape: ModePair) -> np.ndarray:
    return np.array([[float(n * m)] for n, m in zip(*shape, strict=True)])
