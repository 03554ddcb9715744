"""What is reported of a solution."""

import math
import re
from collections.abc import Sequence

import keras

from dart_keras.compression.compressible import Candidate, Factorization
from dart_keras.compression.compression_report import CompressionReport, LayerReport
from dart_keras.compression.search.model_costs import cost_of, multiply_add_costs
from dart_keras.compression.search.solution import Solution
from dart_keras.compression.search.student import Fitted, StudentBuilder
from dart_keras.private_apis import own_weights


def make_report(
    found: Sequence[Candidate],
    builder: StudentBuilder,
    solution: Solution,
    ends: Sequence[float | None] | None,
) -> CompressionReport:
    """Return the report on a model and what has been made of it.

    Args:
        found: The original's layers with weights.
        builder: What fitted the layers.
        solution: What has been made of the model.
        ends: As from `builder.end_errors` before any recovery; `None` without calibration data.
    """
    model, small, fitted = builder.model, solution.model, solution.fitted
    statistics = builder.statistics
    by_path = {each.path: k for k, each in enumerate(builder.compressibles)}
    taken_in = {
        id(each.norm)
        for each, new in zip(builder.compressibles, fitted, strict=True)
        if each.norm is not None and new.layer is not None
    }
    rows = []
    for path, layer, reason in found:
        if path in by_path:
            k = by_path[path]
            end = None if ends is None else ends[k]
            rows.append(_layer_row(builder, k, fitted[k], end, solution.reason))
        elif id(layer) not in taken_in:
            count, size = _sizes(own_weights(layer))
            products = None
            if statistics is not None:
                products = _rounded(statistics.products.of_layers[id(layer)])
            same = (count, count, size, size, products, products)
            rows.append(LayerReport(path, "", (), reason, *same, 0.0, None))
    before = after = None
    if statistics is not None and not statistics.products.uncounted:
        before = round(statistics.products.total)
        after = cost_of(builder, multiply_add_costs(builder), [new.factorization for new in fitted])
    return CompressionReport(
        model.name,
        tuple(rows),
        model.count_params(),
        small.count_params(),
        _sizes(model.weights)[1],
        _sizes(small.weights)[1],
        before,
        after,
        None if ends is None or statistics is None else math.sqrt(statistics.error_of_model(small)),
        {} if solution.measured is None else solution.measured.as_dict(),
        uncounted=() if statistics is None else statistics.products.uncounted,
    )


def _layer_row(
    builder: StudentBuilder, k: int, fitted: Fitted, end: float | None, reason: str
) -> LayerReport:
    compressible = builder.compressibles[k]
    stays = fitted.layer is None
    is_refitted = fitted.factorization.is_exact and fitted.error > 0
    # A normalization that was not folded in has a row of its own.
    held = (
        compressible.layer.weights
        if stays or compressible.norm is None
        else compressible.layer.weights + compressible.norm.weights
    )
    before, size = _sizes(held)
    after, size_after = before, size
    if not stays:
        after = fitted.factorization.parameters
        size_after = after * _width(compressible.layer.variable_dtype)
    if len(builder.factorizations[k]) == 1:
        reason = "no factorization of it has fewer parameters"
    return LayerReport(
        compressible.path,
        "refitted" if is_refitted else fitted.factorization.kind,
        fitted.factorization.ranks,
        reason if fitted.factorization.kind == "dense" else None,
        before,
        after,
        size,
        size_after,
        _products(compressible.dense, builder, k),
        _products(fitted.factorization, builder, k),
        math.sqrt(fitted.error),
        None if end is None else math.sqrt(end),
    )


def _products(factorization: Factorization, builder: StudentBuilder, k: int) -> int | None:
    statistics = builder.statistics
    return None if statistics is None else _rounded(statistics.multiply_adds(k, factorization))


def _rounded(count: float) -> int | None:
    return round(count) if math.isfinite(count) else None


def _sizes(weights: Sequence[keras.Variable]) -> tuple[int, int]:
    """Return how many elements some weights hold, and their bytes."""
    counts = [math.prod(v.shape) for v in weights]
    widths = [_width(v.dtype) for v in weights]
    return sum(counts), sum(n * width for n, width in zip(counts, widths, strict=True))


def _width(dtype: str) -> int:
    """Return the bytes of an element of a Keras dtype, whose name ends in its bits."""
    bits = re.search(r"\d+$", keras.backend.standardize_dtype(dtype))
    return int(bits.group()) // 8 if bits else 1
