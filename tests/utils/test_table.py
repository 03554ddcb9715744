from hypothesis import given
from hypothesis import strategies as st

from dart_keras.utils.table import table

WORDS = st.text("abc 012", min_size=1).map(str.strip).filter(bool)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1))
def test_cells_are_under_their_header(rows):
    header, rule, *lines = table(("name", "number"), rows, ["number"])
    assert len(lines) == len(rows)
    for line, (name, number) in zip(lines, rows, strict=True):
        assert line.startswith(name)
        assert line.endswith(number)
        # Numbers end where their header does.
        assert len(line) == len(header) == len(rule)
