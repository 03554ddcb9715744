import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st
from trains import trains

from dart_keras.layers.lookup import checked_ids, gather_rows, lookup, split_ids


@st.composite
def vocabularies(draw, largest=2**20):
    modes = draw(st.lists(st.integers(1, 2**12), min_size=1, max_size=4))
    while math.prod(modes) > largest:
        modes[modes.index(max(modes))] //= 2
    return tuple(max(1, mode) for mode in modes)


def assert_digits_recombine(ids, modes):
    for dtype in ("int32", "int64"):
        digits = [np.asarray(d) for d in split_ids(tf.constant(ids, dtype), modes)]
        value = np.zeros(len(ids), np.int64)
        for digit, mode in zip(digits, modes, strict=True):
            assert digit.dtype == np.int32
            assert np.all((digit >= 0) & (digit < mode))
            value = value * mode + digit
        np.testing.assert_array_equal(value, ids)


@given(vocabularies())
@example((2**10, 2**10))
@example((1021, 1019))
@example((1, 1))
def test_every_id_of_a_vocabulary_is_split_exactly(modes):
    assert_digits_recombine(np.arange(math.prod(modes)), modes)


@pytest.mark.parametrize(
    "modes",
    [
        (2**11, 2**11),  # the last that is split in float32
        (2**11 + 1, 2**11),
        (3, 1398101),
        (4099, 4099),
        (1, 2**25 + 1, 1),
        (2**15, 2**15),
    ],
)
def test_ids_of_large_vocabularies_are_split_exactly(modes):
    size = math.prod(modes)
    near_multiples = np.arange(1, size // modes[-1], max(1, size // modes[-1] // 2000)) * modes[-1]
    ids = np.concatenate(
        [
            np.arange(500),
            np.arange(size - 500, size),
            near_multiples,
            near_multiples - 1,
            np.random.default_rng(0).integers(0, size, 20_000),
        ]
    )
    assert_digits_recombine(ids, modes)


def test_every_id_is_split_exactly_up_to_the_last_vocabulary_that_uses_float32():
    for modes in ((2**11, 2**11), (2047, 2049), (3, 1398101), (1398101, 3), (7, 11, 13, 4189)):
        assert math.prod(modes) <= 2**22
        assert_digits_recombine(np.arange(math.prod(modes)), modes)


@given(trains(), st.data())
def test_rows_are_those_of_the_dense_matrix(tt, data):
    ids = data.draw(st.lists(st.integers(0, tt.shape[0] - 1), max_size=8))
    found = lookup(tf.constant(ids, tf.int32), [tf.constant(core) for core in tt.cores])
    np.testing.assert_allclose(found, tt.to_dense()[ids], atol=1e-9)


def test_gathered_rows():
    table = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(gather_rows(table, tf.constant([3, 0, 3])), table[[3, 0, 3]])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("ids", [[-1], [0, 10], [2**31 - 1]])
def test_ids_out_of_range_are_refused(ids, compiled):
    check = lambda ids: checked_ids(ids, 10, "table")  # noqa: E731
    if compiled:
        check = tf.function(check)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"table.* ids in \[0, 10\)"):
        check(tf.constant(ids))
    check(tf.constant([0, 9]))
