import re
from dataclasses import dataclass
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.utils.table import Table, Tabular

WORDS = st.text("abc 012", min_size=1).map(str.strip).filter(bool)
TABLE = Table(
    ("name", "bytes"),
    "lr",
    [("a", "10"), ("  of it", "7")],
    title="Title",
    total=("all", "1,017"),
    notes=["first", "second"],
)


class Reader(HTMLParser):
    """The cells of a table row by row, as (tag, alignment, text), and the texts outside of it."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.others, self._cell = [], [], None
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = [tag, dict(attrs)["style"].split(";")[0], ""]
            self.rows[-1].append(self._cell)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell[2] += data
        elif data.strip():
            self.others.append(data)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1))
def test_cells_are_under_their_header(rows):
    header, rule, *lines = str(Table(("name", "number"), "lr", rows)).splitlines()
    assert len(lines) == len(rows)
    for line, (name, number) in zip(lines, rows, strict=True):
        assert line.startswith(name)
        assert line.endswith(number)
        # Numbers end where their header does.
        assert len(line) == len(header) == len(rule)


def test_the_title_is_above_the_total_below_a_rule_and_the_notes_come_last():
    assert str(TABLE).splitlines() == [
        "Title",
        "name     bytes",
        "--------------",
        "a           10",
        "  of it      7",
        "--------------",
        "all      1,017",
        "first",
        "second",
    ]


def test_html_has_the_same_cells_and_the_alignment():
    read = Reader(TABLE.to_html())
    assert [[text for *_, text in row] for row in read.rows] == [
        ["name", "bytes"],
        ["a", "10"],
        ["  of it", "7"],
        ["all", "1,017"],
    ]
    assert [row[0][0] for row in read.rows] == ["th", "td", "td", "th"]
    for left, right in read.rows:
        assert (left[1], right[1]) == ("text-align: left", "text-align: right")
    assert read.others == ["Title", "first", "second"]
    assert not read.open


@given(WORDS, WORDS)
def test_nothing_in_a_table_is_taken_for_html(first, second):
    cell = f"<b>{first}&amp;</b>"
    read = Reader(Table((cell, "b"), "lr", [(second, cell)], title=cell).to_html())
    assert [text for row in read.rows for *_, text in row] == [cell, "b", second, cell]
    assert read.others == [cell]


def test_markdown_has_aligned_columns():
    assert TABLE.to_markdown().splitlines() == [
        "| name    | bytes |",
        "|---------|------:|",
        "| a       |    10 |",
        "|   of it |     7 |",
        "| all     | 1,017 |",
    ]


@pytest.mark.parametrize("rows", [[("a",)], [("a", "b", "c")]])
def test_a_row_with_another_number_of_cells_is_refused(rows):
    table = Table(("name", "bytes"), "lr", rows)
    for write in (str, Table.to_html, Table.to_markdown):
        with pytest.raises(ValueError, match="zip"):
            write(table)


def test_what_is_tabular_shows_itself_as_its_table():
    @dataclass(frozen=True, repr=False)
    class Result(Tabular):
        count: int

        def as_table(self):
            return Table(("count",), "r", [(str(self.count),)])

    assert str(Result(12)) == repr(Result(12)) == "count\n-----\n   12"
    assert Result(12)._repr_html_() == Result(12).as_table().to_html()


GROUPED = Table(
    ("layer", "before", "after", "error"),
    "lrrr",
    [("a", "10", "7", "1%"), ("b", "1,017", "9", "")],
    groups=("", "parameters of all", "parameters of all", ""),
)


def test_groups_are_above_the_columns_that_they_are_of():
    assert str(GROUPED).splitlines() == [
        "       parameters of all",
        "layer  before      after  error",
        "-------------------------------",
        "a          10          7     1%",
        "b       1,017          9",
    ]
    wide = Table(("before", "after"), "rr", [("1,234,567", "1")], groups=("bytes", "bytes"))
    assert str(wide).splitlines()[:2] == ["     bytes", "   before  after"]


def test_groups_in_html_span_their_columns_and_in_markdown_are_in_the_names():
    [first, second, *_] = [row for row in GROUPED.to_html().splitlines() if row.startswith("<tr>")]
    assert [int(n) for n in re.findall(r'colspan="(\d+)"', first)] == [1, 2, 1]
    assert "parameters of all" in first
    assert second.count("<th") == 4
    names = [cell.strip() for cell in GROUPED.to_markdown().splitlines()[0].strip("|").split("|")]
    assert names == ["layer", "parameters of all before", "parameters of all after", "error"]
    assert [cell.count("|") for cell in GROUPED.to_markdown().splitlines()] == [5] * 4
