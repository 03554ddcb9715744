"""The range of an activation's integers, from its values on the calibration rows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.serialization import pack
from dart_keras.deployment.post_training.tensor_values import TensorValues
from dart_keras.utils.progress import progress

_BINS = 2048
# In percent, of both sides together.
_KEPT = 99.99
# To try as the ends of a range, as shares of the ends that were measured.
_SHARES = np.linspace(0.01, 1, 100)


class Histogram:
    """A histogram of the values of an activation, in bins of equal width.

    Args:
        low: The smallest value.
        high: The largest value.
    """

    def __init__(self, low: float, high: float) -> None:
        # Zero has an integer of its own in every range.
        self.low, self.high = min(low, 0.0), max(high, 0.0)
        self.edges = np.linspace(self.low, self.high, _BINS + 1)
        self.counts = np.zeros(_BINS, np.int64)
        self.zeros = 0

    def add(self, values: np.ndarray) -> None:
        """Count more values; those outside go into the bins at the ends, NaN into none."""
        values = values[~np.isnan(values)]
        others = values[values != 0].astype("float64")
        self.zeros += values.size - others.size
        if self.low < self.high:
            places = (others - self.low) * (_BINS / (self.high - self.low))
            places = np.clip(places, 0, _BINS - 1)
            self.counts += np.bincount(places.astype(np.int64), minlength=_BINS)

    def percentile_range(self, integers: str) -> tuple[float, float]:
        """Return the least range that leaves out at most 0.005 % of the values on either side."""
        most = (100 - _KEPT) / 200 * (self.counts.sum() + self.zeros)
        below = np.concatenate([[0], np.cumsum(self.counts)])
        above = np.concatenate([np.cumsum(self.counts[::-1])[::-1], [0]])
        low = self.edges[below <= most].max()
        high = self.edges[above <= most].min()
        return min(float(low), 0.0), max(float(high), 0.0)

    def least_squares_range(self, integers: str) -> tuple[float, float]:
        """Return the range that costs least, as the sum of the squared errors.

        A number inside is off by a twelfth of the squared step in the mean, unless it is zero; one
        outside, by its distance to the range.

        Args:
            integers: `"int8"`, or `"int16"`, whose ranges are the same on both sides of zero.
        """
        centers = (self.edges[:-1] + self.edges[1:]) / 2
        lows, highs = self.low * _SHARES, self.high * _SHARES
        below = np.maximum(lows[:, None] - centers, 0) ** 2 @ self.counts
        above = np.maximum(centers - highs[:, None], 0) ** 2 @ self.counts
        limits = np.iinfo(integers)
        if integers == "int8":
            steps = (highs - lows[:, None]) / (int(limits.max) - int(limits.min))
        else:
            steps = np.maximum(highs, -lows[:, None]) / limits.max
        errors = below[:, None] + above + self.counts.sum() * steps**2 / 12
        place = np.unravel_index(np.argmin(errors), errors.shape)
        return float(lows[place[0]]), float(highs[place[1]])


# What `convert(activation_ranges=...)` calls each way to a range; None takes it as it was measured.
METHODS: dict[str, Callable[[Histogram, str], tuple[float, float]] | None] = {
    "minmax": None,
    "percentile": Histogram.percentile_range,
    "mse": Histogram.least_squares_range,
}


def set_true_ranges(model: Any, arrays: Sequence[np.ndarray]) -> None:
    """Set each activation's range to the smallest and the largest value that it takes.

    TensorFlow's calibrator reads an operator's inputs also after the operator has run. An operator
    that works in place, such as an addition, has then overwritten one of them with its output. So
    a summand of a residual stream had the range of the sum, and scores before a mask that of the
    mask.

    Args:
        model: The `ModelT` of a file in float, whose tensors carry the ranges that the calibrator
            found; changed in place.
        arrays: The rows, one array for each input in the file's order.
    """
    tensors = model.subgraphs[0].tensors
    places = [place for place, tensor in enumerate(tensors) if _has_range(tensor)]
    lows, highs = dict.fromkeys(places, np.inf), dict.fromkeys(places, -np.inf)
    for place, values in tensors_on(pack(model), places, arrays):
        lows[place] = min(lows[place], values.min(initial=np.inf))
        highs[place] = max(highs[place], values.max(initial=-np.inf))
    for place in places:
        if lows[place] <= highs[place]:
            tensors[place].quantization.min = np.array([lows[place]], "float32")
            tensors[place].quantization.max = np.array([highs[place]], "float32")


def choose_ranges(model: Any, method: str, integers: str, arrays: Sequence[np.ndarray]) -> None:
    """Set the ranges of activations by which a file in float will be quantized.

    Args:
        model: The `ModelT` of the file, whose tensors carry the smallest and the largest value
            that they took; changed in place.
        method: One of `METHODS`.
        integers: The dtype that the activations will have.
        arrays: The rows on which these were measured, one array for each input in the file's order.
    """
    choose = METHODS[method]
    if choose is None:
        return
    tensors = model.subgraphs[0].tensors
    histograms = {
        place: Histogram(float(tensor.quantization.min[0]), float(tensor.quantization.max[0]))
        for place, tensor in enumerate(tensors)
        if _has_range(tensor)
    }
    for place, values in tensors_on(pack(model), list(histograms), arrays):
        histograms[place].add(values)
    for place, histogram in histograms.items():
        low, high = choose(histogram, integers)
        tensors[place].quantization.min = np.array([low], "float32")
        tensors[place].quantization.max = np.array([high], "float32")


def _has_range(tensor: Any) -> bool:
    return tensor.quantization is not None and tensor.quantization.min is not None


def tensors_on(
    content: bytes, places: Sequence[int], arrays: Sequence[np.ndarray]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the values of some tensors of a file in float, row after row.

    Args:
        content: The file.
        places: The tensors.
        arrays: The rows, one array for each input in the file's order.

    Yields:
        A tensor's place, and what it held on the row.
    """
    values = TensorValues(content, "builtin")
    for row in progress(zip(*arrays, strict=True), "measuring activations", len(arrays[0])):
        values.invoke(row)
        for place in places:
            yield place, values.tensor(place)
