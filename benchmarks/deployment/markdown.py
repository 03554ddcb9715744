"""The results as a Markdown table for the documentation."""

from collections.abc import Sequence
from typing import Any

from benchmarks.deployment.evaluation import FIRST, TFLM_IMAGES
from dart_keras.utils.table import Table

COLUMNS = (
    "tool, method",
    "bytes",
    "gzipped",
    "accuracy, LiteRT, all images",
    f"LiteRT, first {TFLM_IMAGES:,}",
    f"TFLM, first {TFLM_IMAGES:,}",
    "microseconds, LiteRT",
    "microseconds, TFLM",
    "arena",
)


def table(cells: Sequence[dict[str, Any]]) -> str:
    """Return a table of all files by network, followed by the refusals and their reasons."""
    rows: list[list[str]] = []
    reasons: dict[str, list[str]] = {}
    for network in dict.fromkeys(cell["network"] for cell in cells):
        rows.append([f"**{network}**", *[""] * (len(COLUMNS) - 1)])
        for cell in cells:
            if cell["network"] == network:
                rows.append(_texts(cell))
                name = f"{cell['tool']}, {network}, {cell['method']}"
                for reason in _refusals(cell):
                    reasons.setdefault(reason, []).append(name)
    lines = [Table(COLUMNS, "l" + "r" * (len(COLUMNS) - 1), rows).to_markdown(), ""]
    lines += [f"- {'; '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "\n".join(lines)


def _texts(cell: dict[str, Any]) -> list[str]:
    first = f"{cell['tool']}, {cell['method']}"
    if "failed" in cell:
        return [first, "none", *[""] * (len(COLUMNS) - 2)]
    runs = [cell["LiteRT"], cell["TFLM"]]
    return [
        first,
        f"{cell['file bytes']:,}",
        f"{cell['gzipped bytes']:,}",
        _share(runs[0], "accuracy"),
        *(_share(run, FIRST) for run in runs),
        *(_microseconds(run.get("microseconds")) for run in runs),
        f"{runs[1]['arena']:,}" if "arena" in runs[1] else "",
    ]


def _share(run: dict[str, Any], key: str) -> str:
    return "refused" if "refused" in run else f"{run[key]:.2%}"


def _microseconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _refusals(cell: dict[str, Any]) -> list[str]:
    if "failed" in cell:
        return [f"no file. {cell['failed']}"]
    return [cell[name]["refused"] for name in ("LiteRT", "TFLM") if "refused" in cell[name]]
