"""Filling in the report."""

import math
import re
from collections.abc import Sequence

import keras

from dart_keras.compression.choosing import Solution
from dart_keras.compression.fitting import Fitted, Fitter
from dart_keras.compression.parts import Candidate, Form
from dart_keras.compression.replacing import own_weights
from dart_keras.compression.report import CompressionReport, LayerReport


def make_report(
    found: Sequence[Candidate],
    fitter: Fitter,
    solution: Solution,
    ends: Sequence[float] | None,
) -> CompressionReport:
    """The report on a model and what has been made of it.

    Args:
        found: The original's layers with weights.
        fitter: What fitted the parts.
        solution: What has been made of the model.
        ends: As from `fitter.end_errors` before any recovery; `None` without calibration data.
    """
    model, small, fitted = fitter.model, solution.model, solution.fitted
    by_path = {part.path: k for k, part in enumerate(fitter.parts)}
    taken_in = {
        id(part.norm)
        for part, new in zip(fitter.parts, fitted, strict=True)
        if part.norm is not None and new.layer is not None
    }
    rows = []
    for path, layer, reason in found:
        if path in by_path:
            k = by_path[path]
            end = None if ends is None else math.sqrt(ends[k])
            rows.append(_part_row(fitter, k, fitted[k], end, solution.reason))
        elif id(layer) not in taken_in:
            count, size = _sizes(own_weights(layer))
            rows.append(
                LayerReport(path, "", (), reason, count, count, size, size, None, None, 0.0, None)
            )
    observer = fitter.observer
    return CompressionReport(
        model.name,
        tuple(rows),
        model.count_params(),
        small.count_params(),
        _sizes(model.weights)[1],
        _sizes(small.weights)[1],
        None if observer is None else math.sqrt(observer.error_of_model(small)),
        solution.measured,
    )


def _part_row(
    fitter: Fitter, k: int, fitted: Fitted, end_error: float | None, reason: str
) -> LayerReport:
    part = fitter.parts[k]
    stays = fitted.layer is None
    is_corrected = fitted.form.is_exact and fitted.error > 0
    # A normalization that was not taken in has a row of its own.
    held = (
        part.layer.weights if stays or part.norm is None else part.layer.weights + part.norm.weights
    )
    before, size = _sizes(held)
    after, size_after = before, size
    if not stays:
        after = fitted.form.parameters
        size_after = after * _width(part.layer.variable_dtype)
    if len(fitter.forms[k]) == 1:
        reason = "no form of it has fewer parameters"
    return LayerReport(
        part.path,
        "corrected" if is_corrected else fitted.form.kind,
        fitted.form.ranks,
        reason if fitted.form.kind == "dense" else None,
        before,
        after,
        size,
        size_after,
        _products(part.dense, fitter, k),
        _products(fitted.form, fitter, k),
        math.sqrt(fitted.error),
        end_error,
    )


def _products(form: Form, fitter: Fitter, k: int) -> int | None:
    rows = fitter.observer.rows[k] if fitter.observer else None
    return None if rows is None else round(form.multiply_adds * rows)


def _sizes(weights: Sequence[keras.Variable]) -> tuple[int, int]:
    """How many numbers some weights hold, and their bytes."""
    counts = [math.prod(v.shape) for v in weights]
    widths = [_width(v.dtype) for v in weights]
    return sum(counts), sum(n * width for n, width in zip(counts, widths, strict=True))


def _width(dtype: str) -> int:
    """Bytes of a number of a Keras dtype, which ends in its bits."""
    bits = re.search(r"\d+$", keras.backend.standardize_dtype(dtype))
    return int(bits.group()) // 8 if bits else 1
