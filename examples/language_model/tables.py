"""The results of runs as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_COLUMNS = (
    "run",
    "layers",
    "selection",
    "lambda_reg",
    "threshold",
    "epochs",
    "cut_epoch",
    "seed",
    "table_parameters",
    "block_parameters",
    "parameters",
    "valid_perplexity",
    "test_perplexity",
    "ranks",
)


def write_table(rows: Sequence[tuple[str, dict[str, Any]]], path: Path) -> None:
    """Write a line for each run.

    Args:
        rows: A name, and what `write_results` returned.
        path: The file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(_row(name, results) for name, results in rows)


def _row(name: str, results: dict[str, Any]) -> list[Any]:
    settings = results["settings"]
    inner = {layer: "-".join(map(str, ranks[1:-1])) for layer, ranks in results["ranks"].items()}
    known = {
        **settings,
        **results,
        "run": name,
        "layers": settings["architecture"]["layers"],
        "valid_perplexity": f"{results['valid_perplexity']:.2f}",
        "test_perplexity": f"{results['test_perplexity']:.2f}",
        # An end of training is where a cut is, too; where none was asked for there is none.
        "cut_epoch": results["cuts"][0]["epoch"] if results["cuts"] else "",
        "ranks": " ".join(f"{layer}:{rank}" for layer, rank in inner.items()),
    }
    return [known[column] for column in _COLUMNS]
