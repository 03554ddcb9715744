from hypothesis import given
from hypothesis import strategies as st

from examples.translation.packing import pack
from examples.translation.subwords import END, PADDING, START

LENGTH = 12
SENTENCE = st.lists(st.integers(END + 1, 50), max_size=LENGTH - 1)


def split(row, start):
    """Return the sentences of a row, split at each `start`."""
    sentences = []
    for i in row.tolist():
        if i == start:
            sentences.append([])
        elif i != PADDING:
            sentences[-1].append(i)
    return sentences


@given(st.lists(st.tuples(SENTENCE, SENTENCE), max_size=40))
def test_each_pair_is_in_one_row_with_its_labels(pairs):
    rows = pack(pairs, LENGTH)
    assert rows.source.shape == rows.target.shape == rows.labels.shape == (len(rows), LENGTH)
    found = []
    for source, target, labels in zip(rows.source, rows.target, rows.labels, strict=True):
        sources, targets = split(source, START), split(target, START)
        found += zip(sources, targets, strict=True)
        assert labels.tolist()[: sum(len(t) + 1 for t in targets)] == [
            i for sentence in targets for i in [*sentence, END]
        ]
        assert ((labels == PADDING) == (target == PADDING)).all()
    assert sorted(found) == sorted((list(source), list(target)) for source, target in pairs)


@given(st.lists(st.integers(0, LENGTH - 1), min_size=1, max_size=200))
def test_no_two_rows_fit_into_one(lengths):
    rows = pack([([5] * length, [5] * length) for length in lengths], LENGTH)
    used = sorted((rows.source != PADDING).sum(axis=1))
    assert len(used) == 1 or used[0] + used[1] > LENGTH
