from collections.abc import Sequence
from dataclasses import dataclass

from dart_keras.deployment.text_table import table


@dataclass(frozen=True)
class OperatorError:
    """How far one operator of a quantized file is from float, in the first of its outputs.

    Attributes:
        place: Its place among the file's operators.
        layer: The path of the Keras layer that it comes from; empty if that cannot be told.
        operator: Its builtin name.
        step: For one of several products of matrices in its layer, such as those of a tensor
            train's contraction: which it is, counted from 1, and of how many; else None.
        added_db: The power of its output over that of the error that it adds itself (by rounding
            weights and results and by cutting off), in decibels. Infinite where it adds none, None
            where the float file has no twin of the operator, or that gives no number.
        accumulated_db: The same for all errors since the model's input, whose rounding is the
            first; None where the float file has no such output.
    """

    place: int
    layer: str
    operator: str
    step: tuple[int, int] | None
    added_db: float | None
    accumulated_db: float | None

    def __str__(self) -> str:
        layer = f" of {self.layer}" if self.layer else ""
        step = f", {_step(self)}" if self.step else ""
        return f"{self.place} {self.operator}{layer}{step}"


@dataclass(frozen=True)
class OperatorErrors:
    """Where a quantized file loses its precision. It prints itself as a table.

    Attributes:
        model: The Keras model's name.
        quantization: `"int8"` or `"int16x8"`.
        operators: The file's operators, in the order in which they run.
    """

    model: str
    quantization: str
    operators: Sequence[OperatorError]

    @property
    def worst(self) -> OperatorError | None:
        """The operator that adds the strongest error, beside its output; None if none is known."""
        known = [row for row in self.operators if row.added_db is not None]
        return min(known, key=lambda row: row.added_db or 0.0, default=None)

    def __str__(self) -> str:
        header = ("", "layer", "operator", "step", "added", "accumulated")
        rows = [
            (
                str(row.place),
                row.layer,
                row.operator,
                _step(row),
                _decibels(row.added_db),
                _decibels(row.accumulated_db),
            )
            for row in self.operators
        ]
        title = (
            f"Model {self.model!r}, {self.quantization}: signal-to-noise ratio in dB of each "
            "operator's output"
        )
        lines = [title, *table(header, rows, numbers=("", "added", "accumulated"))]
        if self.worst is not None:
            lines.append(f"Worst: {self.worst}, {_decibels(self.worst.added_db)} dB")
        return "\n".join(lines)


def _step(row: OperatorError) -> str:
    return "product {} of {}".format(*row.step) if row.step else ""


def _decibels(value: float | None) -> str:
    if value is None:
        return "?"
    return "exact" if value == float("inf") else f"{value:.1f}"
