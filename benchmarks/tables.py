"""Benchmark results: table lines printed as they come, and a JSON file that is always complete."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import environment
from dart_keras.utils.atomic_write import check_writable
from dart_keras.utils.plots import require_matplotlib

RESULTS = Path(__file__).parent / "results"
# The pictures that the studies show.
PICTURES = Path(__file__).parents[1] / "docs" / "studies"


class Results:
    """Prints cells and writes them to a file, which is complete at any time.

    Args:
        title: Title of the table, printed first.
        columns: Columns to print. A cell may hold more.
        path: JSON file, or `None` to print only.
        picture: The picture that is drawn of the cells at the end; `None` for none.

    Raises:
        OSError: If one of the two cannot be written.
        ImportError: If the picture cannot be drawn.
    """

    def __init__(
        self, title: str, columns: Sequence[str], path: Path | None, picture: Path | None = None
    ) -> None:
        # What would fail after hours fails now.
        for each in (path, picture):
            if each is not None:
                check_writable(each.parent, [each.name])
        if picture is not None:
            require_matplotlib()
        self.path = path
        self.content: dict[str, Any] = {
            "title": title,
            "environment": environment.describe(),
            "summary": None,
            "cells": [],
        }
        self._columns = {name: max(len(name), 9) for name in columns}
        print(title)
        print(json.dumps(self.content["environment"]))
        print("  ".join(f"{name:>{width}}" for name, width in self._columns.items()), flush=True)

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Cells so far."""
        return self.content["cells"]

    def add(self, cell: dict[str, Any], shown: Mapping[str, Any] | None = None) -> None:
        """Add a cell and print it.

        Args:
            cell: What to write to the file.
            shown: What to print, by column; by default the cell's values.
        """
        self.cells.append(cell)
        values = cell if shown is None else {**cell, **shown}
        texts = (f"{_text(values.get(name)):>{width}}" for name, width in self._columns.items())
        print("  ".join(texts), flush=True)
        self._write()

    def finish(self, summary: dict[str, Any]) -> None:
        """Add the summary and print it."""
        self.content["summary"] = summary
        print(json.dumps(summary, indent=2), flush=True)
        self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Write a second file and rename it, so that an interruption leaves a complete file.
        partial = self.path.with_suffix(".part")
        partial.write_text(_one_cell_a_line(self.content))
        os.replace(partial, self.path)


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
