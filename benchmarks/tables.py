"""Results on their way out: lines of a table as they come, and a JSON file that is always whole."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine

RESULTS = Path(__file__).parent / "results"
# The pictures that the studies show.
PICTURES = Path(__file__).parents[1] / "docs" / "studies"


class Results:
    """Prints cells and keeps them in a file, which holds what is there at any time.

    Args:
        title: What the table is about; the first line.
        columns: The columns to print. A cell may hold more than these.
        path: The JSON file, or `None` to print only.
    """

    def __init__(self, title: str, columns: Sequence[str], path: Path | None) -> None:
        self.path = path
        self.content: dict[str, Any] = {
            "title": title,
            "machine": machine.describe(),
            "summary": None,
            "cells": [],
        }
        self._columns = {name: max(len(name), 9) for name in columns}
        print(title)
        print(json.dumps(self.content["machine"]))
        print("  ".join(f"{name:>{width}}" for name, width in self._columns.items()), flush=True)

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The cells so far."""
        return self.content["cells"]

    def add(self, cell: dict[str, Any], shown: Mapping[str, Any] | None = None) -> None:
        """Take a cell in and print it.

        Args:
            cell: What the file keeps of it.
            shown: What to print, by column; by default what the cell holds of them.
        """
        self.cells.append(cell)
        values = cell if shown is None else {**cell, **shown}
        texts = (f"{_text(values.get(name)):>{width}}" for name, width in self._columns.items())
        print("  ".join(texts), flush=True)
        self._write()

    def finish(self, summary: dict[str, Any]) -> None:
        """Take the summary in and print it."""
        self.content["summary"] = summary
        print(json.dumps(summary, indent=2), flush=True)
        self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # First beside it: who interrupts the command finds a whole file.
        beside = self.path.with_suffix(".part")
        beside.write_text(_one_cell_a_line(self.content))
        os.replace(beside, self.path)


def _one_cell_a_line(content: dict[str, Any]) -> str:
    head = json.dumps({**content, "cells": []}, indent=2)
    lines = ",\n".join(f"    {json.dumps(cell)}" for cell in content["cells"])
    return head.removesuffix("[]\n}") + f"[\n{lines}\n  ]\n}}\n"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
