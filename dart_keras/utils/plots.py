"""Figures in one style, saved and shown in notebooks alike."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dart_keras.utils.optional_imports import import_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK = "#1f2937"
GREY = "#9aa3af"
TEAL = "#2a788e"
INDIGO = "#414487"
RED = "#d1495b"

_DOTS_PER_INCH = 120
# The largest value over the smallest one from which a scale is logarithmic.
_LOGARITHMIC = 5
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.8,
    "figure.facecolor": "white",
    "figure.labelsize": 9,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.solid_capstyle": "round",
}


def require_matplotlib() -> None:
    """Check that figures can be drawn, before the work that is to be shown in them.

    Raises:
        ImportError: If matplotlib is not installed, or cannot be imported.
    """
    import_extra("matplotlib", "matplotlib", extra="plots")


@contextmanager
def styled_figure(width: float, height: float, path: str | Path | None) -> Iterator["Figure"]:
    """Yield an empty figure to draw in, and save it at the end.

    The style holds for what is drawn meanwhile; the user's settings of matplotlib stay as they are.

    Args:
        width: Inches.
        height: Inches.
        path: Where to write the picture, its suffix saying in which format; `None` not to.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    matplotlib = import_extra("matplotlib", "matplotlib", extra="plots")
    figure_class = import_extra("matplotlib.figure", "matplotlib", extra="plots").Figure
    # A notebook shows figures of pyplot alone, unless they can make their own picture.
    shown = type("Figure", (figure_class,), {"_repr_png_": _png})
    with matplotlib.rc_context(_STYLE):
        figure = shown(figsize=(width, height), layout="constrained")
        yield figure
        if path is not None:
            figure.savefig(path, dpi=_DOTS_PER_INCH)


def color_map() -> "Colormap":
    """Return the colour map, without its palest end, which cannot be seen on white."""
    matplotlib = import_extra("matplotlib", "matplotlib", extra="plots")
    # Even steps in it look even, also to the colour-blind and in grey.
    whole = matplotlib.colormaps["viridis"]
    colors = [whole(0.82 * i / 255) for i in range(256)]
    return matplotlib.colors.ListedColormap(colors)


def set_scale(axes: "Axes", direction: str, values: Sequence[float]) -> None:
    """Scale an axis to some values, with room around them and few ticks, such as 20k and 50k.

    The scale is logarithmic where the largest value is several times the smallest.

    Args:
        axes: The axes.
        direction: "x" or "y".
        values: Numbers above 0.
    """
    ticker = import_extra("matplotlib.ticker", "matplotlib", extra="plots")
    least, most = min(values), max(values)
    axis = axes.xaxis if direction == "x" else axes.yaxis
    ratio = most / least
    if ratio < _LOGARITHMIC:
        margin = 0.1 * (most - least) or 0.1 * most
        axes.set(**{f"{direction}lim": (least - margin, most + margin)})
        axis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    else:
        margin = ratio**0.08
        axes.set(**{f"{direction}scale": "log", f"{direction}lim": (least / margin, most * margin)})
        subs = (1, 2, 5) if ratio < 100 else (1, 3) if ratio < 1000 else (1,)
        axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=12))
        axis.set_minor_locator(ticker.NullLocator())
    engineering = most >= 1000
    axis.set_major_formatter(
        ticker.EngFormatter(sep="") if engineering else ticker.StrMethodFormatter("{x:g}")
    )


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()
