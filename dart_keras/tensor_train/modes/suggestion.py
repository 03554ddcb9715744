"""Results of a search for modes."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dart_keras.tensor_train.modes.candidates import ModePair
from dart_keras.utils.plots import INK, RED, color_map, set_scale, styled_figure
from dart_keras.utils.table import Table, Tabular

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Maximum number of points in a table.
SHOWN = 12


@dataclass(frozen=True)
class ModePoint(Tabular):
    """Modes and ranks of a TT matrix, and the costs of multiplying by it.

    Attributes:
        input_modes: Modes n_1...n_d of the rows.
        output_modes: Modes m_1...m_d of the columns.
        ranks: All d + 1 ranks.
        parameters: Number of parameters of the cores.
        multiply_adds: Multiply-adds of the fastest order of contraction.
        microseconds: Its estimated time.
        arena_bytes: Most memory that one of its steps reads and writes, without the cores.
        error: Relative Frobenius error of TT-SVD at these ranks, `None` without a matrix.
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
        """Input and output modes."""
        return self.input_modes, self.output_modes

    @property
    def costs(self) -> tuple[float, ...]:
        """Parameters, multiply-adds, time, arena and, with a matrix, the error."""
        known = (self.parameters, self.multiply_adds, self.microseconds, self.arena_bytes)
        return known if self.error is None else (*known, self.error)

    def as_table(self) -> Table:
        """Return modes, ranks and costs in one row."""
        return Table(_header(self), _alignment(self), [_cells(self)])


@dataclass(frozen=True, repr=False)
class Suggestion(ModePoint):
    """The best modes found, and those that are better in another cost.

    Besides the attributes of `ModePoint` for the best modes, it has:

    Attributes:
        objective: The minimized cost.
        target: Name of the device.
        dense: Costs of a dense layer on it.
        front: Points that no other one matches or beats in every cost, the best by the objective
            first.
    """

    objective: str
    target: str
    dense: ModePoint
    front: tuple[ModePoint, ...]

    def as_table(self) -> Table:
        """Return the suggested modes, the dense layer and the front, one row each."""
        rows = [("suggested", *_cells(self)), ("dense", *_cells(self.dense))]
        rows += [("front" if not k else "", *_cells(p)) for k, p in enumerate(self.front[:SHOWN])]
        rest = len(self.front) - SHOWN
        return Table(
            ("", *_header(self)),
            "l" + _alignment(self),
            rows,
            title=self._title,
            notes=[f"and {rest} more points of the front"] if rest > 0 else [],
        )

    __repr__ = Tabular.__repr__

    @property
    def _title(self) -> str:
        shape = f"{self.dense.input_modes[0]} x {self.dense.output_modes[0]}"
        objective = self.objective.replace("_", "-")
        return f"Modes for {shape} on {self.target}, chosen for the least {objective}"

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Plot the front: each other cost against the parameters, compared with the dense layer's.

        Args:
            path: Image file, whose suffix is the format; `None` to write none.

        Returns:
            The figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        names = _header(self)[3:]
        columns = 3 if len(names) == 3 else 2
        rows = math.ceil(len(names) / columns)
        with styled_figure(0.3 + 3.3 * columns, 1.2 + 2.6 * rows, path) as figure:
            panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
            for k, (axes, name) in enumerate(zip(panels.flat, names, strict=True), start=1):
                self._draw_cost(axes, k)
                axes.set_title(name)
            for axes in panels[-1]:
                axes.set_xlabel("parameters")
            figure.suptitle(self._title.replace(" x ", " \u00d7 "))
            keys, labels = panels.flat[0].get_legend_handles_labels()
            ncols = 5 if columns == 3 else 3
            figure.legend(keys, labels, loc="outside lower center", ncols=ncols, columnspacing=1.2)
        return figure

    def _draw_cost(self, axes: "Axes", k: int) -> None:
        best, dense = self.costs, self.dense.costs
        modes, ranks, *_ = (cell.replace("x", "\u00d7") for cell in _cells(self))
        # A ring keeps the point in it visible.
        axes.scatter(
            best[0],
            best[k],
            s=130,
            facecolors="none",
            edgecolors=RED,
            linewidths=1.8,
            label=f"suggested: {modes}, ranks {ranks}",
            zorder=4,
        )
        values = [point.costs[k] for point in (self, *self.front)]
        # The error of the dense layer is zero.
        if dense[k] > 0:
            label = f"dense layer, {dense[0]:,} parameters"
            axes.axhline(dense[k], color=INK, linewidth=1.2, linestyle=":", label=label)
            values.append(dense[k])
        # The suggested point comes last, so that it covers others in its place.
        points = [*self.front, self]
        for cores in sorted({len(point.input_modes) for point in points}):
            color = color_map()((cores - 2) / 2)
            costs = [point.costs for point in points if len(point.input_modes) == cores]
            x, y = [c[0] for c in costs], [c[k] for c in costs]
            axes.scatter(x, y, s=26, color=color, label=f"{cores} cores", zorder=2)
            if len(self.input_modes) == cores:
                axes.scatter(best[0], best[k], s=26, color=color, zorder=3)
        set_scale(axes, "x", [point.parameters for point in points])
        set_scale(axes, "y", values)


_HEADER = ("modes", "ranks", "parameters", "multiply-adds", "microseconds", "arena bytes", "error")


# Without a matrix there is no error.
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
