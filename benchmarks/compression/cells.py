"""Cells of a benchmark that are measured in processes of their own."""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.tables import Results


def in_process(
    benchmark: str, row: str, column: object, options: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the cell that a benchmark prints for `--cell ROW COLUMN`.

    Args:
        benchmark: The name of its file in this folder.
        row: What is measured, such as a method.
        column: How, such as a share of the parameters.
        options: Other options of the command.
    """
    command = [sys.executable, "-m", f"benchmarks.compression.{benchmark}", *options]
    cell = ["--cell", row, str(column)]
    run = subprocess.run([*command, *cell], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def complete(
    benchmark: str, results: Results, parsed: argparse.Namespace, options: Sequence[str]
) -> None:
    """Add the cells of all methods at all shares to a table, without those in its file already.

    Args:
        benchmark: As for `in_process`.
        results: The table.
        parsed: The options of the command: `output`, `shares` and `methods`.
        options: As for `in_process`.
    """
    known = json.loads(parsed.output.read_text())["cells"] if parsed.output.exists() else []
    for cell in known:
        results.add(cell)
    for share in parsed.shares:
        for method in parsed.methods:
            if not any((c["method"], c["share"]) == (method, share) for c in known):
                results.add(in_process(benchmark, method, share, options))


def peak_megabytes() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
