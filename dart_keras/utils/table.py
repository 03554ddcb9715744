"""Tables of results: one record that prints as text, HTML or Markdown."""

import html
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Table:
    r"""A table that prints itself as aligned text.

    Attributes:
        header: The columns' names.
        alignment: A letter for each column, "l" for words or "r" for numbers, as in LaTeX.
        rows: The cells, in each row one for each column.
        title: A line above the table; none if empty.
        total: A last row, below a rule of its own; none if empty.
        notes: Lines below the table.
        groups: For each column the name of its group, empty for none. Neighbours of the same name
            share it, in a row above the header.

    Example:
        >>> print(Table(("name", "bytes"), "lr", [("a", "10"), ("b", "7")], total=("all", "17")))
        name  bytes
        -----------
        a        10
        b         7
        -----------
        all      17
    """

    header: Sequence[str]
    alignment: str
    rows: Sequence[Sequence[str]]
    title: str = ""
    total: Sequence[str] = ()
    notes: Sequence[str] = ()
    groups: Sequence[str] = ()

    def __str__(self) -> str:
        widths = self._widths()
        groups = []
        for name, first, end in self._spans():
            width = sum(widths[first:end]) + 2 * (end - first - 1)
            widths[end - 1] += max(0, len(name) - width)
            groups.append(name.center(max(width, len(name))))
        lines = ["  ".join(cells).rstrip() for cells in self._padded(widths)]
        rule = "-" * max(map(len, lines))
        header, *rest = lines
        rows = rest[: len(self.rows)]
        total = [rule, rest[-1]] if self.total else []
        above = [self.title] if self.title else []
        if groups:
            above.append("  ".join(groups).rstrip())
        return "\n".join([*above, header, rule, *rows, *total, *self.notes])

    def to_markdown(self) -> str:
        """Return the header, the rows and the total as a Markdown table.

        Markdown has one row for a header: groups are part of the columns' names.
        """
        if self.groups:
            names = zip(self.groups, self.header, strict=True)
            joined = [" ".join(filter(None, pair)) for pair in names]
            return replace(self, header=joined, groups=()).to_markdown()
        widths = self._widths()
        header, *rows = ["| " + " | ".join(cells) + " |" for cells in self._padded(widths)]
        sides = zip(widths, self.alignment, strict=True)
        rule = "|".join("-" * (width + 1) + ("-" if side == "l" else ":") for width, side in sides)
        return "\n".join([header, f"|{rule}|", *rows])

    def to_html(self) -> str:
        """Return the whole table as HTML, with its title for a caption."""
        caption = "caption-side: top; text-align: left; font-weight: bold"
        parts = ["<table>"]
        if self.title:
            parts.append(f'<caption style="{caption}">{html.escape(self.title)}</caption>')
        parts.append("<thead>")
        if self.groups:
            style = 'style="text-align: center"'
            cells = (
                f'<th colspan="{end - first}" {style}>{html.escape(name)}</th>'
                for name, first, end in self._spans()
            )
            parts.append(f"<tr>{''.join(cells)}</tr>")
        parts += [self._html_row(self.header, "th"), "</thead>", "<tbody>"]
        parts += [self._html_row(row, "td") for row in self.rows]
        parts.append("</tbody>")
        if self.total:
            parts += ["<tfoot>", self._html_row(self.total, "th"), "</tfoot>"]
        parts.append("</table>")
        if self.notes:
            parts.append(f"<p>{'<br>'.join(map(html.escape, self.notes))}</p>")
        return "\n".join(parts)

    def _all_rows(self) -> list[Sequence[str]]:
        return [self.header, *self.rows, *([self.total] if self.total else [])]

    def _widths(self) -> list[int]:
        return [max(map(len, column)) for column in zip(*self._all_rows(), strict=True)]

    def _spans(self) -> list[tuple[str, int, int]]:
        """Return the groups: the name, the first column and the one after the last."""
        spans: list[tuple[str, int, int]] = []
        for column, name in enumerate(self.groups):
            if name and spans and spans[-1][0] == name:
                spans[-1] = (name, spans[-1][1], column + 1)
            else:
                spans.append((name, column, column + 1))
        return spans

    def _padded(self, widths: Sequence[int]) -> list[list[str]]:
        columns = list(zip(widths, self.alignment, strict=True))
        return [
            [
                cell.ljust(width) if side == "l" else cell.rjust(width)
                for cell, (width, side) in zip(row, columns, strict=True)
            ]
            for row in self._all_rows()
        ]

    def _html_row(self, cells: Sequence[str], tag: str) -> str:
        sides = ("left" if side == "l" else "right" for side in self.alignment)
        # Leading spaces of a cell are an indentation.
        styles = (f"text-align: {side}; white-space: pre" for side in sides)
        row = (
            f'<{tag} style="{style}">{html.escape(cell)}</{tag}>'
            for cell, style in zip(cells, styles, strict=True)
        )
        return f"<tr>{''.join(row)}</tr>"


class Tabular(ABC):
    """Base of results that are shown as a table: as text, and as HTML in a notebook."""

    @abstractmethod
    def as_table(self) -> Table:
        """Return the result as a table."""

    def __str__(self) -> str:
        return str(self.as_table())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.as_table().to_html()
