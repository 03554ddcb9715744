"""The front of metric against size, and readings from it."""

import math
from collections.abc import Iterable
from typing import Any

from benchmarks.no_knob.metrics import Metric

Cell = dict[str, Any]


def sound(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells with a finite metric; runs that a regularizer has ruined have none."""
    return [cell for cell in cells if math.isfinite(cell.get("metric", math.nan))]


def front(cells: Iterable[Cell], metric: Metric) -> list[Cell]:
    """Return the cells that no other one beats by size and metric, the smallest first."""
    found: list[Cell] = []
    for cell in sorted(cells, key=lambda cell: cell["size"]):
        if not found or metric.gain(cell["metric"], found[-1]["metric"]) > 0:
            if found and found[-1]["size"] == cell["size"]:
                found.pop()
            found.append(cell)
    return found


def best_within(cells: Iterable[Cell], target: int, metric: Metric) -> Cell | None:
    """Return the best cell no larger than the target, or `None` if all are larger."""
    fitting = [cell for cell in front(cells, metric) if cell["size"] <= target]
    return fitting[-1] if fitting else None


def smallest_within(cells: Iterable[Cell], loss: float) -> Cell | None:
    """Return the smallest cell with at most this validation loss, or `None`."""
    fitting = [cell for cell in cells if cell["validation_loss"] <= loss]
    return min(fitting, key=lambda cell: cell["size"], default=None)
