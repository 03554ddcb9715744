"""What counts at the end: accuracy and R2 in points, or perplexity."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metric:
    """A metric that can be computed chunk by chunk.

    Attributes:
        name: Its name, with the unit.
        tolerance: The largest gain that counts as equal.
        of_rows: From targets and outputs to a mean over rows.
        of_mean: From the mean over all rows and all targets to the metric.
        gain: By how much a first value is better than a second one: in points, or in percent.
    """

    name: str
    tolerance: float
    of_rows: Callable[[np.ndarray, np.ndarray], float]
    of_mean: Callable[[float, np.ndarray], float]
    gain: Callable[[float, float], float]


def _points(first: float, second: float) -> float:
    return first - second


def _correct(y: np.ndarray, outputs: np.ndarray) -> float:
    return float(np.mean(np.argmax(outputs, axis=-1) == y))


def _squared_error(y: np.ndarray, outputs: np.ndarray) -> float:
    return float(np.mean(np.square(y - outputs.reshape(y.shape))))


def _cross_entropy(y: np.ndarray, logits: np.ndarray) -> float:
    largest = logits.max(axis=-1, keepdims=True)
    log_sums = largest[..., 0] + np.log(np.sum(np.exp(logits - largest), axis=-1))
    return float(np.mean(log_sums - np.take_along_axis(logits, y[..., None], axis=-1)[..., 0]))


ACCURACY = Metric("accuracy, points", 0.3, _correct, lambda mean, y: 100 * mean, _points)
R2 = Metric(
    "R2, points",
    0.3,
    _squared_error,
    lambda mean, y: 100 * (1 - mean / float(np.mean(np.var(y, axis=0)))),
    _points,
)
PERPLEXITY = Metric(
    "perplexity",
    1.5,
    _cross_entropy,
    lambda mean, y: float(np.exp(mean)),
    lambda first, second: 100 * (1 - first / second),
)
METRICS = {metric.name: metric for metric in (ACCURACY, R2, PERPLEXITY)}
