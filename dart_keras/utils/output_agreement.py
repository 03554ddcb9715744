"""How far the outputs of a model are from those of the model that it was made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# The error has a fifth of the output's size. Rounding to int8 alone leaves 20 dB and more, so that
# less means that something else is lost, too.
MIN_SQNR_DB = 15.0

# Of classes. What is lost beyond one row in ten is more than rows with two classes nearly alike.
MIN_AGREEMENT = 0.9

# How many rows a message names.
_NAMED_ROWS = 5

# Sums of probabilities that are kept as float16, or as integers of 8 bits, are as close to 1.
_SUM_TOLERANCE = 1e-2


def output_names(model: Any, count: int) -> tuple[str, ...]:
    """Return what the outputs of a Keras model are called, of which there are so many."""
    names: Sequence[str] = getattr(model, "output_names", None) or []
    if len(set(names)) != count:
        names = [f"output_{index}" for index in range(count)]
    return tuple(names)


def rows_not_finite(values: np.ndarray, numbers: np.ndarray | None = None) -> str | None:
    """Return which rows hold NaN or infinite values in words, None if there are none.

    Args:
        values: An output of shape (rows, ...).
        numbers: What the rows are called; their places if not given.

    Example:
        >>> rows_not_finite(np.array([[1.0, 2.0], [np.nan, 2.0]]))
        'NaN or infinite values in 1 of 2 rows (1)'
    """
    if values.dtype.kind in "iub":
        return None
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if not len(bad):
        return None
    if len(bad) == len(values):
        return f"NaN or infinite values in all {len(values)} rows"
    named = (bad if numbers is None else np.asarray(numbers)[bad])[:_NAMED_ROWS]
    more = ", ..." if len(bad) > len(named) else ""
    return (
        f"NaN or infinite values in {len(bad)} of {len(values)} rows "
        f"({', '.join(map(str, named))}{more})"
    )


class OutputDistance:
    """The distance of one output from what it should be, summed over rows.

    Args:
        name: What the output is called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_integer = False
        self._elements = self._rows = self._equal = self._same_argmax = 0
        self._signal = self._noise = self._absolute = self._largest = self._peak = 0.0
        self._has_classes = False
        self._are_probabilities = True

    def add(self, expected: np.ndarray, received: np.ndarray) -> None:
        """Take in some rows, of finite values.

        Args:
            expected: What the output should be, of shape (rows, ...).
            received: What it is, of the same shape.
        """
        self._elements += expected.size
        if expected.dtype.kind in "iub":
            self._is_integer = True
            self._equal += int(np.sum(expected == received))
            return
        want, got = expected.astype("float64"), received.astype("float64")
        error = np.abs(got - want)
        self._signal += float(np.sum(want**2))
        self._noise += float(np.sum(error**2))
        self._absolute += float(np.sum(error))
        self._largest = max(self._largest, float(np.max(error, initial=0.0)))
        self._peak = max(self._peak, float(np.max(np.abs(want), initial=0.0)))
        if want.ndim > 1 and want.shape[-1] > 1:
            self._has_classes = True
            same = want.argmax(-1) == got.argmax(-1)
            self._rows += same.size
            self._same_argmax += int(np.sum(same))
            sums = want.sum(axis=-1)
            self._are_probabilities &= bool(
                want.min(initial=0.0) >= 0 and np.all(abs(sums - 1) < _SUM_TOLERANCE)
            )

    def as_dict(self) -> dict[str, Any]:
        """Return a dict that JSON can hold.

        Returns:
            `name`, `max_abs_error`, `mean_abs_error`, `relative_error` (the largest error over the
            largest magnitude) and `sqnr_db` (the signal's power over the error's in decibels; None
            if either is zero). For outputs of shape (rows, ..., classes) also `argmax_agreement`
            (the share of rows with the same largest class) and `are_probabilities`. Of integers
            only `name` and `equal`, the share of equal values.
        """
        count = max(1, self._elements)
        if self._is_integer:
            return {"name": self._name, "equal": self._equal / count}
        known = self._signal and self._noise
        result: dict[str, Any] = {
            "name": self._name,
            "max_abs_error": self._largest,
            "mean_abs_error": self._absolute / count,
            "relative_error": self._largest / self._peak if self._peak else self._largest,
            "sqnr_db": 10 * float(np.log10(self._signal / self._noise)) if known else None,
        }
        if self._has_classes:
            result["argmax_agreement"] = self._same_argmax / max(1, self._rows)
            result["are_probabilities"] = self._are_probabilities
        return result


def shortfall(
    result: dict[str, Any],
    min_agreement: float | None = None,
    min_sqnr_db: float | None = None,
) -> str | None:
    """Return in words in what an output agrees too little, None if in nothing.

    A limit that is given holds for every output that has the figure. Without, probabilities are to
    have the same largest class in 90 % of the rows, outputs of other vectors that or a
    signal-to-noise ratio of 15 dB (they may be logits, or values of which the largest says
    nothing), all others this ratio.

    Args:
        result: A dict of `OutputDistance.as_dict`.
        min_agreement: The least share of rows with the same argmax, or of equal integers.
        min_sqnr_db: The least signal-to-noise ratio.
    """
    agreement = result.get("argmax_agreement", result.get("equal"))
    decibels = result.get("sqnr_db")
    share = MIN_AGREEMENT if min_agreement is None else min_agreement
    ratio = MIN_SQNR_DB if min_sqnr_db is None else min_sqnr_db
    differs = agreement is not None and agreement < share
    is_far = decibels is not None and decibels < ratio
    tells_classes = "equal" in result or result.get("are_probabilities", False)
    if min_agreement is None and not tells_classes:
        # Either figure is enough for a vector that may be anything.
        differs = differs and is_far
    if min_sqnr_db is None and agreement is not None:
        is_far = is_far and differs and not tells_classes
    found = []
    if differs:
        kind = "equal integers" if "equal" in result else "rows with the same argmax"
        found.append(f"{agreement:.1%} {kind} (limit {share:.1%})")
    if is_far:
        found.append(f"{decibels:.1f} dB (limit {ratio:g} dB)")
    return f"output {result['name']!r} has {' and '.join(found)}" if found else None


def in_words(result: dict[str, Any]) -> str:
    """Return what `OutputDistance.as_dict` found for one output as a line of text."""
    if "equal" in result:
        return f"{result['name']}: {result['equal']:.1%} of the integers equal"
    text = f"{result['name']}: largest error {result['max_abs_error']:.3g}"
    if result["sqnr_db"] is not None:
        text += f", {result['sqnr_db']:.1f} dB"
    if "argmax_agreement" in result:
        text += f", {result['argmax_agreement']:.1%} of the rows with the same argmax"
    return text
