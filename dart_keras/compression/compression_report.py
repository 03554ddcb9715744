import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dart_keras.compression.calibration.agreement import Agreement
from dart_keras.compression.report_plot import Row, draw_report
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
        multiply_adds_before: Its multiply-adds for one row of the model's inputs; `None` without
            calibration data or random tokens, and where they cannot be counted.
        multiply_adds_after: The same now.
        error: The relative error, a root of mean squares, of its outputs on the calibration data
            or random tokens, or without these of its matrix.
        end_error: The relative error of the model's outputs with this layer and all before it
            replaced and before any recovery, on some of the calibration data; `None` without, and
            for most layers where many are replaced.
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
        multiply_adds_before: Multiply-adds of the model for one row of its inputs, those of
            attention between activations included; `None` without calibration data or random
            tokens, and where they cannot be counted.
        multiply_adds_after: The same now.
        end_error: The relative error of the model's outputs on the calibration data, a root of mean
            squares; `None` without these.
        measured: What a file made of the model takes: "flash_bytes" and, for a microcontroller,
            "arena_bytes"; empty where the budget asks for neither.
        agreement: How far the outputs agree with the original's on calibration rows, after any
            recovery; `None` without these: then nobody knows.
        uncounted: Layers whose multiply-adds cannot be counted, each with its type.
        random_tokens: Whether the layers were fitted to random tokens, for want of data.
    """

    model: str
    layers: tuple[LayerReport, ...]
    parameters_before: int
    parameters_after: int
    bytes_before: int
    bytes_after: int
    multiply_adds_before: int | None
    multiply_adds_after: int | None
    end_error: float | None
    measured: dict[str, int]
    agreement: Agreement | None = None
    uncounted: tuple[str, ...] = ()
    random_tokens: bool = False

    def as_table(self) -> Table:
        """Return one row for each layer, and the whole model's."""
        counted = ("parameters", "bytes", "multiply-adds")
        kept = [layer for layer in self.layers if layer.reason]
        return Table(
            (
                *("layer", "factorization", "ranks"),
                *(when for _ in counted for when in ("before", "after")),
                *("error", "model output error"),
            ),
            "lll" + "r" * (2 * len(counted) + 2),
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
                _count(self.multiply_adds_before),
                _count(self.multiply_adds_after),
                "",
                _share(self.end_error),
            ),
            notes=[
                *self._agreement_notes(),
                *self._products_notes(),
                *(f"{name.replace('_', ' ')}: {size:,}" for name, size in self.measured.items()),
                *(f"{layer.name} stays: {layer.reason}" for layer in kept),
            ],
            groups=("", "", "", *(name for name in counted for _ in range(2)), "", ""),
        )

    def _agreement_notes(self) -> list[str]:
        if self.agreement is None:
            fitted = ["layers were fitted to random tokens"] if self.random_tokens else []
            return [
                *fitted,
                "agreement with the original: unknown, because there were no calibration data. "
                "Nobody knows how good this model is: give some (`calibration_data`, "
                "`--calibration-data`), or compare it with the original on real inputs "
                "(`dart-keras verify` with the original does so for the converted file)",
            ]
        place = f"agreement with the original on {self.agreement.rows:,} calibration rows"
        notes = [f"{place}: {in_words(output)}" for output in self.agreement.outputs]
        if len(notes) > 1 and not self.agreement.are_chosen:
            notes.append("these outputs count alike; name those that matter (`outputs`)")
        return notes

    def _products_notes(self) -> list[str]:
        if self.uncounted:
            return [f"multiply-adds that cannot be counted: {', '.join(self.uncounted)}"]
        in_layers = sum(layer.multiply_adds_before or 0 for layer in self.layers)
        elsewhere = (self.multiply_adds_before or 0) - in_layers
        return [f"multiply-adds outside of these layers: {elsewhere:,}"] if elsewhere > 0 else []

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
        _count(layer.multiply_adds_before),
        _count(layer.multiply_adds_after),
        "" if unchanged else _share(layer.error),
        "" if unchanged else _share(layer.end_error),
    )


def _count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _share(error: float | None) -> str:
    return "" if error is None or math.isnan(error) else f"{error:.2%}"
