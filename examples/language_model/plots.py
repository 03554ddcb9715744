"""Plots of the results of a sweep."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The setting on the horizontal axis of a sweep; other studies have the names of their runs.
_SWEPT = {"strength": "strength", "threshold": "threshold"}


def draw(study: str, rows: Sequence[tuple[str, dict[str, Any]]], path: Path) -> None:
    """Plot the perplexity of the best epoch, and below it the parameters of table and blocks.

    Args:
        study: Name of the study.
        rows: Names and results (`write_results`) of the runs.
        path: Image file; its suffix is the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    results = [each for _, each in rows]
    swept = _SWEPT.get(study)
    places = range(len(rows))
    style = {"marker": "o", "linestyle": "-" if swept else ""}
    for kind in ("valid", "test"):
        values = [each[f"best_{kind}_perplexity"] for each in results]
        above.plot(places, values, label=f"{kind} text", **style)
    for part in ("table", "block"):
        values = [each[f"{part}_parameters"] for each in results]
        below.plot(places, values, label={"table": "table", "block": "blocks"}[part], **style)
    above.set_ylabel("perplexity")
    below.set_ylabel("parameters")
    below.set_yscale("log")
    for axis in (above, below):
        axis.legend()
        axis.grid(alpha=0.3)
    if swept:
        # Equally spaced, because a strength may be zero.
        below.set_xticks(places, [f"{each['settings'][swept]:g}" for each in results])
        below.set_xlabel(swept)
    else:
        below.set_xticks(places, [name for name, _ in rows], rotation=20, ha="right")
    figure.savefig(path, dpi=120)
