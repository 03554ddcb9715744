"""Cells of a benchmark that are measured in processes of their own."""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


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


def peak_megabytes() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
