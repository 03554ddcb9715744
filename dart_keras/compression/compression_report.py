import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from dart_keras.compression.calibration.agreement import Agreement
from dart_keras.compression.compressible import Candidate, Factorization
from dart_keras.compression.report_plot import Row, draw_report
from dart_keras.compression.search.solution import Solution
from dart_keras.compression.search.student import Fitted, StudentBuilder
from dart_keras.model_surgery.replace import own_weights
from dart_keras.utils.output_agreement import in_words
from dart_keras.utils.table import Table, Tabular

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class LayerReport:
    """What compression did to one layer.

    Attributes:
        name: The names that lead to the layer, such as "encoder/attention/query".
        factorization: What it is now: "dense"; "folded", with its normalization folded in;
            "refitted", of the same shape with new weights; "low rank"; "TT matrix"; or
            "convolutions".
        ranks: All d + 1 ranks of a TT matrix, (r_in, r_out) of convolutions with `None` where a
            side is whole, empty for a layer that stays.
        reason: Why the layer stays as large as it is, `None` if it does not.
        parameters_before: How many parameters it had, with a normalization that is folded in.
        parameters_after: How many it has now.
        bytes_before: Bytes of its parameters before, in the layer's dtype.
        bytes_after: Bytes of its parameters now.
        multiply_adds_before: Products by its weights for one row of the model's inputs; `None` for
            layers that compression does not replace.
        multiply_adds_after: The same now.
        error: The relative error, a root of mean squares, of its outputs on the calibration data,
            or without these of its matrix.
        end_error: The relative error of the model's outputs with this layer and all before it
            replaced and before any recovery; `None` without calibration data.
    """

    name: str
    factorization: str
    ranks: tuple[int | None, ...]
    reason: str | None
    parameters_before: int
    parameters_after: int
    bytes_before: int
    bytes_after: int
    multiply_adds_before: int | None
    multiply_adds_after: int | None
    error: float
    end_error: float | None


@dataclass(frozen=True, repr=False)
class CompressionReport(Tabular):
    """What compression did to a model; prints itself as a table.

    Attributes:
        model: The model's name.
        layers: One entry for each layer that has weights.
        parameters_before: How many parameters the model had.
        parameters_after: How many it has now.
        bytes_before: Bytes of its parameters before.
        bytes_after: Bytes of its parameters now.
        end_error: The relative error of the model's outputs on the calibration data, a root of mean
            squares; `None` without these.
        measured: What a file made of the model takes: "flash_bytes" and, for a microcontroller,
            "arena_bytes"; empty where the budget asks for neither.
        agreement: How far the outputs agree with the original's on calibration rows, after any
            recovery; `None` without these: then nobody knows.
    """

    model: str
    layers: tuple[LayerReport, ...]
    parameters_before: int
    parameters_after: int
    bytes_before: int
    bytes_after: int
    end_error: float | None
    measured: dict[str, int]
    agreement: Agreement | None = None

    def as_table(self) -> Table:
        """Return one row for each layer, and the whole model's."""
        counts = ("parameters", "after", "bytes", "after", "multiply-adds", "after")
        kept = [layer for layer in self.layers if layer.reason]
        return Table(
            ("layer", "factorization", "ranks", *counts, "error", "model output error"),
            "lll" + "r" * (len(counts) + 2),
            [_row(layer) for layer in self.layers],
            title=f"Model {self.model!r}",
            total=(
                "whole model",
                "",
                "",
                f"{self.parameters_before:,}",
                f"{self.parameters_after:,}",
                f"{self.bytes_before:,}",
                f"{self.bytes_after:,}",
                _products_cell(layer.multiply_adds_before for layer in self.layers),
                _products_cell(layer.multiply_adds_after for layer in self.layers),
                "",
                _share(self.end_error),
            ),
            notes=[
                *self._agreement_notes(),
                *(f"{name.replace('_', ' ')}: {size:,}" for name, size in self.measured.items()),
                *(f"{layer.name} stays: {layer.reason}" for layer in kept),
            ],
        )

    def _agreement_notes(self) -> list[str]:
        if self.agreement is None:
            return [
                "agreement with the original: unknown, because there were no calibration data. "
                "Nobody knows how good this model is: give some (`calibration_data`, "
                "`--calibration-data`), or compare it with the original on real inputs "
                "(`dart-keras verify` with the original does so for the converted file)"
            ]
        place = f"agreement with the original on {self.agreement.rows:,} calibration rows"
        return [f"{place}: {in_words(output)}" for output in self.agreement.outputs]

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dict of the report."""
        return json.loads(json.dumps(asdict(self)))

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the parameters of each layer before and after, and next to them its errors.

        Args:
            path: Where to write the picture; its suffix says in which format. `None` not to.

        Returns:
            The figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        title = f"{self.model}: {self.parameters_before:,} → {self.parameters_after:,} parameters"
        rows = [
            Row(
                layer.name,
                layer.parameters_before,
                layer.parameters_after,
                None if _is_unchanged(layer) else layer.error,
                None if _is_unchanged(layer) else layer.end_error,
            )
            for layer in self.layers
        ]
        return draw_report(title, rows, self.end_error, path)


def _is_unchanged(layer: LayerReport) -> bool:
    return layer.reason is not None and layer.factorization != "refitted"


def _row(layer: LayerReport) -> tuple[str, ...]:
    unchanged = _is_unchanged(layer)
    return (
        layer.name,
        layer.factorization,
        "-".join("*" if rank is None else str(rank) for rank in layer.ranks),
        f"{layer.parameters_before:,}",
        f"{layer.parameters_after:,}",
        f"{layer.bytes_before:,}",
        f"{layer.bytes_after:,}",
        _products_cell([layer.multiply_adds_before]),
        _products_cell([layer.multiply_adds_after]),
        "" if unchanged else _share(layer.error),
        "" if unchanged else _share(layer.end_error),
    )


def _products_cell(counts: Any) -> str:
    known = [count for count in counts if count is not None]
    return f"{sum(known):,}" if known else ""


def _share(error: float | None) -> str:
    return "" if error is None or math.isnan(error) else f"{error:.2%}"


def make_report(
    found: Sequence[Candidate],
    builder: StudentBuilder,
    solution: Solution,
    ends: Sequence[float] | None,
) -> CompressionReport:
    """Return the report on a model and what has been made of it.

    Args:
        found: The original's layers with weights.
        builder: What fitted the layers.
        solution: What has been made of the model.
        ends: As from `builder.end_errors` before any recovery; `None` without calibration data.
    """
    model, small, fitted = builder.model, solution.model, solution.fitted
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
            end = None if ends is None else math.sqrt(ends[k])
            rows.append(_layer_row(builder, k, fitted[k], end, solution.reason))
        elif id(layer) not in taken_in:
            count, size = _sizes(own_weights(layer))
            rows.append(
                LayerReport(path, "", (), reason, count, count, size, size, None, None, 0.0, None)
            )
    statistics = builder.statistics
    return CompressionReport(
        model.name,
        tuple(rows),
        model.count_params(),
        small.count_params(),
        _sizes(model.weights)[1],
        _sizes(small.weights)[1],
        None if statistics is None else math.sqrt(statistics.error_of_model(small)),
        {} if solution.measured is None else solution.measured.as_dict(),
    )


def _layer_row(
    builder: StudentBuilder, k: int, fitted: Fitted, end_error: float | None, reason: str
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
        end_error,
    )


def _products(factorization: Factorization, builder: StudentBuilder, k: int) -> int | None:
    rows = builder.statistics.rows[k] if builder.statistics else None
    return None if rows is None else round(factorization.multiply_adds * rows)


def _sizes(weights: Sequence[keras.Variable]) -> tuple[int, int]:
    """Return how many elements some weights hold, and their bytes."""
    counts = [math.prod(v.shape) for v in weights]
    widths = [_width(v.dtype) for v in weights]
    return sum(counts), sum(n * width for n, width in zip(counts, widths, strict=True))


def _width(dtype: str) -> int:
    """Return the bytes of an element of a Keras dtype, whose name ends in its bits."""
    bits = re.search(r"\d+$", keras.backend.standardize_dtype(dtype))
    return int(bits.group()) // 8 if bits else 1
