"""What a search for modes returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dart_keras.tensor_train.modes.candidates import ModePair
from dart_keras.utils.table import Table, Tabular

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A table with more points is hard to read.
SHOWN = 12


@dataclass(frozen=True)
class ModePoint(Tabular):
    """Modes and ranks of a TT matrix, and what it costs to multiply by it.

    Attributes:
        input_modes: Modes n_1...n_d of the rows.
        output_modes: Modes m_1...m_d of the columns.
        ranks: All d + 1 ranks.
        parameters: How many numbers the cores hold.
        multiply_adds: Multiply-adds of the fastest order of contraction.
        microseconds: Its estimated time.
        arena_bytes: The most memory that one of its steps reads and writes, cores not counted.
        error: The relative Frobenius error that TT-SVD leaves of the matrix at these ranks, `None`
            without a matrix.
    """

    input_modes: tuple[int, ...]
    output_modes: tuple[int, ...]
    ranks: tuple[int, ...]
    parameters: int
    multiply_adds: int
    microseconds: float
    arena_bytes: int
    error: float | None

    @property
    def shape(self) -> ModePair:
        """The input and the output modes."""
        return self.input_modes, self.output_modes

    @property
    def costs(self) -> tuple[float, ...]:
        """Parameters, multiply-adds, time, arena and, with a matrix, the error."""
        known = (self.parameters, self.multiply_adds, self.microseconds, self.arena_bytes)
        return known if self.error is None else (*known, self.error)

    def as_table(self) -> Table:
        """Return the modes, the ranks and the costs in one row."""
        return Table(_header(self), _alignment(self), [_cells(self)])


@dataclass(frozen=True, repr=False)
class Suggestion(ModePoint):
    """The best modes found, and those that are better in another respect.

    What `ModePoint` tells of the best one, and:

    Attributes:
        objective: What was asked for.
        target: The device's name.
        dense: What a dense layer costs on it.
        front: The points looked at closely that no other one matches or beats in every cost, the
            best by the objective first.
    """

    objective: str
    target: str
    dense: ModePoint
    front: tuple[ModePoint, ...]

    def as_table(self) -> Table:
        """Return the suggested modes, the dense layer and the front, one row each."""
        rows = [("suggested", *_cells(self)), ("dense", *_cells(self.dense))]
        rows += [("front" if not k else "", *_cells(p)) for k, p in enumerate(self.front[:SHOWN])]
        shape = f"{self.dense.input_modes[0]} x {self.dense.output_modes[0]}"
        rest = len(self.front) - SHOWN
        return Table(
            ("", *_header(self)),
            "l" + _alignment(self),
            rows,
            title=f"Modes for {shape} on {self.target}, chosen for the least {self.objective}",
            notes=[f"and {rest} more points of the front"] if rest > 0 else [],
        )

    __repr__ = Tabular.__repr__

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the front: each other cost against the parameters.

        Args:
            path: Where to write the picture, its ending saying in which format; `None` not to.

        Returns:
            The figure.

        Raises:
            ImportError: If matplotlib is missing.
        """
        from matplotlib.figure import Figure

        panels = len(self.costs) - 1
        figure = Figure(figsize=(4 * panels, 3.6), layout="constrained")
        for k, axis in enumerate(figure.subplots(1, panels, squeeze=False)[0], start=1):
            for cores in sorted({len(point.input_modes) for point in self.front}):
                of_these = [p.costs for p in self.front if len(p.input_modes) == cores]
                axis.scatter(
                    [costs[0] for costs in of_these],
                    [costs[k] for costs in of_these],
                    label=f"{cores} cores",
                    s=18,
                )
            # A ring leaves the point in it to be seen.
            x, y = self.costs[0], self.costs[k]
            axis.scatter(x, y, s=110, facecolors="none", edgecolors="black", label="suggested")
            x, y = self.dense.costs[0], self.dense.costs[k]
            axis.scatter(x, y, s=60, color="black", marker="X", label="dense")
            axis.set_xscale("log")
            # Errors are at most 1, and 0 for the dense layer.
            axis.set_yscale("linear" if k == panels and self.error is not None else "log")
            axis.set_xlabel(_HEADER[2])
            axis.set_title(_HEADER[2 + k])
        axis.legend(fontsize="small")
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure


_HEADER = ("modes", "ranks", "parameters", "multiply-adds", "microseconds", "arena bytes", "error")


# Without a matrix nothing is known of errors.
def _header(point: ModePoint) -> tuple[str, ...]:
    return _HEADER[:-1] if point.error is None else _HEADER


def _alignment(point: ModePoint) -> str:
    return "ll" + "r" * (len(_header(point)) - 2)


def _cells(point: ModePoint) -> tuple[str, ...]:
    modes = "/".join("x".join(map(str, modes)) for modes in point.shape)
    known = (
        modes,
        "-".join(map(str, point.ranks)),
        f"{point.parameters:,}",
        f"{point.multiply_adds:,}",
        f"{point.microseconds:,.1f}",
        f"{point.arena_bytes:,}",
    )
    return known if point.error is None else (*known, f"{point.error:.4f}")
