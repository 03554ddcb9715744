"""Results of runs as CSV tables."""

import csv
import json
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_COLUMNS = (
    "run",
    "layers",
    "selection",
    "strength",
    "threshold",
    "epochs",
    "cut_epoch",
    "seed",
    "table_parameters",
    "block_parameters",
    "parameters",
    "valid_perplexity",
    "test_perplexity",
    "best_epoch",
    "best_valid_perplexity",
    "best_test_perplexity",
    "ranks",
)
_PERPLEXITIES = (
    "valid_perplexity",
    "test_perplexity",
    "best_valid_perplexity",
    "best_test_perplexity",
)
_AVERAGED = ("table_parameters", "parameters", *_PERPLEXITIES)


def write_table(rows: Sequence[tuple[str, dict[str, Any]]], path: Path) -> None:
    """Write a line for each run.

    Args:
        rows: Names and results (`write_results`) of the runs.
        path: CSV file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(_row(name, results) for name, results in rows)


def write_means(rows: Sequence[tuple[str, dict[str, Any]]], path: Path) -> None:
    """Write means and standard deviations over seeds, if some runs differ only in their seed.

    Args:
        rows: As for `write_table`.
        path: CSV file.
    """
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, results in rows:
        settings = {**results["settings"], "seed": None}
        groups.setdefault(json.dumps(settings, sort_keys=True), []).append((name, results))
    if all(len(group) == 1 for group in groups.values()):
        return
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        columns = [f"{column}_{kind}" for column in _AVERAGED for kind in ("mean", "deviation")]
        writer.writerow(["run", "runs", *columns])
        for group in groups.values():
            line: list[Any] = [re.sub(r"_\d+$", "", group[0][0]), len(group)]
            for column in _AVERAGED:
                values = [results[column] for _, results in group]
                deviation = statistics.stdev(values) if len(values) > 1 else 0.0
                line += [f"{statistics.mean(values):.2f}", f"{deviation:.2f}"]
            writer.writerow(line)


def _row(name: str, results: dict[str, Any]) -> list[Any]:
    settings = results["settings"]
    inner = {layer: "-".join(map(str, ranks[1:-1])) for layer, ranks in results["ranks"].items()}
    known = {
        **settings,
        **results,
        "run": name,
        "layers": settings["architecture"]["layers"],
        **{name: f"{results[name]:.2f}" for name in _PERPLEXITIES},
        # Empty without a truncation; `settings` have a value even then.
        "cut_epoch": results["cuts"][0]["epoch"] if results["cuts"] else "",
        "ranks": " ".join(f"{layer}:{rank}" for layer, rank in inner.items()),
    }
    return [known[column] for column in _COLUMNS]
