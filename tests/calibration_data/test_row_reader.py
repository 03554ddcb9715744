import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.calibration_data import InputSpec, read_arrays, read_blocks, row_blocks
from tests.py_datasets import Batches

ONE = [InputSpec("x", (3, 2), "float32")]
TWO = [InputSpec("x", (3,), "float32"), InputSpec("ids", (2,), "int32")]
X = np.arange(30 * 6, dtype="float64").reshape(30, 3, 2)
PAIR = (np.ones((4, 3)), np.arange(8).reshape(4, 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: X,
        lambda: X.tolist(),
        lambda: list(X),
        lambda: (row for row in X),
        lambda: (X[i : i + 7] for i in range(0, 30, 7)),
        lambda: [X[:20], X[20:]],
        lambda: {"x": X},
        lambda: [{"x": row} for row in X],
        lambda: (X, np.zeros(30)),
        lambda: [X],
        lambda: Batches([X[:20], X[20:]]),
        lambda: Batches([(X[:20], None), (X[20:], None)]),
        lambda: tf.constant(X),
        lambda: tf.data.Dataset.from_tensor_slices(X),
        lambda: tf.data.Dataset.from_tensor_slices((X, np.zeros(30))).batch(8),
        # Functions, as TFLite has its `representative_dataset`.
        lambda: lambda: X,
        lambda: lambda: (X, np.zeros(30)),
        lambda: lambda: ([row[None].astype("float32")] for row in X),
        lambda: functools.partial(lists_of, X),
        lambda: lambda: ({"x": row[None]} for row in X),
        lambda: [[row[None]] for row in X],
        lambda: ((row.tolist(), 1) for row in X),
        lambda: [row.tolist() for row in X],
        # Torch's loader has lists of inputs and labels; its data sets are not iterable.
        lambda: [[X[:20], np.zeros(20)], [X[20:], np.zeros(10)]],
        lambda: [[row, np.array(1)] for row in X],
        lambda: iter([[X[:20], X[:20]], [X[20:], X[20:]]]),
        lambda: Rows(),
        lambda: Batches([[X[:20], np.zeros(20)], [X[20:], np.zeros(10)]]),
        # Batches that are lists of rows.
        lambda: [list(X[:2]), list(X[2:])],
        lambda: (X[i : i + 2].tolist() for i in range(0, 30, 2)),
        lambda: ([list(row) for row in X[i : i + 3]] for i in range(0, 30, 3)),
    ],
)
def test_all_forms_of_the_same_rows_are_the_same(make):
    (got,) = read_arrays(make(), ONE, name="data")
    np.testing.assert_array_equal(got, X)
    assert got.dtype == "float32"


@pytest.mark.parametrize("batch_size", [8, None])
def test_the_loader_of_torch(batch_size):
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, dtype=torch.float32)
    for columns in ((x,), (x, torch.zeros(30)), (x, x[:, 0])):
        data_set = torch.utils.data.TensorDataset(*columns)
        loader = torch.utils.data.DataLoader(data_set, batch_size=batch_size)
        for data in (loader, data_set, list(loader)):
            (got,) = read_arrays(data, ONE)
            np.testing.assert_array_equal(got, X)


def lists_of(rows):
    for row in rows:
        yield [row]


class Rows:
    """A data set with a length and items, as torch's."""

    def __len__(self):
        return len(X)

    def __getitem__(self, k):
        return X[k], 1


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    has_axis=st.booleans(),
    labelled=st.sampled_from([None, tuple, list]),
    source=st.sampled_from([list, iter, lambda items: lambda: iter(items), Batches]),
)
def test_the_same_rows_come_out_of_every_form(sizes, has_axis, labelled, source):
    ends = np.cumsum(sizes)
    x = np.arange(ends[-1] * 6, dtype="float32").reshape(-1, 3, 2)
    parts = np.split(x, ends[:-1]) if has_axis else list(x)
    # Integers are labels of rows, and not of batches.
    items = [part if labelled is None else labelled([part, np.zeros(len(part))]) for part in parts]
    if not items or not len(x):
        return
    (got,) = read_arrays(source(items), ONE)
    np.testing.assert_array_equal(got, x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PAIR,
        lambda: list(PAIR),
        lambda: {"ids": PAIR[1], "x": PAIR[0]},
        lambda: zip(*PAIR, strict=True),
        lambda: (*PAIR, np.zeros(4)),
        lambda: (PAIR, np.zeros(4)),
        lambda: tf.data.Dataset.from_tensor_slices((PAIR, np.zeros(4))).batch(3),
        lambda: [{"x": PAIR[0], "ids": PAIR[1]}],
        lambda: [PAIR, PAIR][:1],
        lambda: Batches([(PAIR, np.zeros(4))]),
        lambda: lambda: map(list, zip(*PAIR, strict=True)),
        lambda: lambda: ([x[None], ids[None]] for x, ids in zip(*PAIR, strict=True)),
        lambda: [[list(PAIR), np.zeros(4)]],
        lambda: ((x.tolist(), ids.tolist()) for x, ids in zip(*PAIR, strict=True)),
        lambda: lambda: PAIR,
        lambda: lambda: {"ids": PAIR[1], "x": PAIR[0]},
    ],
)
def test_several_inputs(make):
    first, second = read_arrays(make(), TWO, name="data")
    np.testing.assert_array_equal(first, PAIR[0])
    np.testing.assert_array_equal(second, PAIR[1])
    assert second.dtype == "int32"


@given(st.integers(1, 30), st.integers(1, 40))
def test_no_more_rows_than_asked_for(rows, most):
    def batches():
        while True:
            yield X[:7]

    (got,) = read_arrays(X[:rows], ONE, name="data", max_rows=most)
    assert len(got) == min(rows, most)
    np.testing.assert_array_equal(got[0], X[0])
    (got,) = read_arrays(batches(), ONE, name="data", max_rows=most)
    assert len(got) == most


@pytest.mark.parametrize(
    ("data", "specs", "message"),
    [
        (X[:, :2], ONE, r"`data` for input 'x'.*\(rows, 3, 2\).*shape \(30, 2, 2\)"),
        ([], ONE, "at least one row"),
        (np.full((2, 3, 2), np.inf), ONE, "finite.*Received: 12 values"),
        (np.full((2, 3, 2), "a"), ONE, "numbers.*Received: dtype"),
        (3.0, ONE, "iterable.*Received: data=3.0"),
        (len, ONE, "function without arguments.*Received: data=<built-in"),
        (dict, ONE, "function without arguments.*Received: data=<class"),
        (keras.layers.Identity(), ONE, "function without arguments.*Received: data=<Identity"),
        ([[X[0], 1], [X[1], 1, 2, 3]], ONE, "rows of one shape.*Received: list of length 4"),
        ("text", ONE, "iterable.*Received: data='text'"),
        ({"y": X}, ONE, r"\['x'\].*Received: the keys \['y'\]"),
        ((PAIR[0], PAIR[1][:2]), TWO, "same number of rows.*'x': 4, 'ids': 2"),
        ((PAIR[0], PAIR[1] + 0.5), TWO, "integers.*from 0.5"),
        ((PAIR[0], PAIR[1] + 2**40), TWO, "32 bits.*Received"),
        (PAIR[0], TWO, "2 inputs.*Received: ndarray"),
    ],
)
def test_errors_say_what_was_expected_and_received(data, specs, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        read_arrays(data, specs, name="data")


def test_an_open_dtype_is_left_to_the_data():
    spec = [InputSpec("x", (3, 2), None)]
    assert read_arrays(X.astype("int64"), spec, name="data")[0].dtype == "int64"


def test_more_than_a_model_takes_may_be_given_by_name():
    (got,) = read_arrays({"y": PAIR[1], "x": X}, ONE)
    np.testing.assert_array_equal(got, X)


def test_a_dict_may_have_the_keys_of_the_model_or_the_names_of_its_inputs():
    specs = [InputSpec("first:0", (3,), None), InputSpec("second", (2,), None)]
    structure = {"a": "first", "b": "second"}
    for keys in (("a", "b"), ("first:0", "second"), ("first_0", "second")):
        data = dict(zip(keys, PAIR, strict=True))
        first, second = read_arrays(data, specs, structure=structure)
        np.testing.assert_array_equal(first, PAIR[0])
        np.testing.assert_array_equal(second, PAIR[1])


def test_nested_inputs_are_not_taken_for_labels():
    specs = [InputSpec(name, (3,), None) for name in "abc"]
    a, b, c = (np.full((2, 3), k) for k in range(3))
    for data in (((a, b), c), [[a, b], c], iter([((a, b), c)])):
        assert [int(each[0, 0]) for each in read_arrays(data, specs)] == [0, 1, 2]


def test_rows_and_small_batches_are_put_together():
    specs = [InputSpec("x", (3,), None)]
    for data in (iter(np.ones((600, 3))), np.split(np.ones((600, 3)), 150)):
        blocks = list(read_blocks(data, specs))
        assert [len(block[0]) for block in blocks] == [256, 256, 88]
    blocks = list(read_blocks([np.ones((7, 3)), np.ones((30, 3))], specs, rows_together=10))
    assert [len(block[0]) for block in blocks] == [30, 7]
    # Those of one length, where it is free.
    rows = [np.ones((length, 3)) for length in (4, 4, 5, 4)]
    blocks = list(read_blocks(rows, [InputSpec("x", (None, 3), None)]))
    assert [block[0].shape for block in blocks] == [(2, 4, 3), (1, 5, 3), (1, 4, 3)]


def test_all_rows_of_data_without_end_are_a_limited_number(monkeypatch):
    monkeypatch.setattr(row_blocks, "_MOST_ROWS", 10)
    with pytest.warns(UserWarning, match="`data` do not say where they end: the first 10 rows"):
        (got,) = read_arrays(itertools.repeat(X[0]), ONE, name="data")
    assert got.shape == (10, 3, 2)
    # What ends there is used whole, and what says that it ends, too.
    for data in (iter(X[:10]), list(X)):
        (got,) = read_arrays(data, ONE)
        assert len(got) == len(X[:10] if isinstance(data, type(iter(X))) else X)


def test_rows_are_evenly_spaced_in_arrays_and_the_first_of_batches():
    every = np.arange(30.0)[:, None]
    specs = [InputSpec("x", (1,), None)]
    for data in (every, [every], {"x": every}, every.tolist()):
        (got,) = read_arrays(data, specs, max_rows=3)
        assert got[:, 0].tolist() == [0, 14, 29]
    for data in (list(every), [every[:20], every[20:]], iter(every)):
        (got,) = read_arrays(data, specs, max_rows=3)
        assert got[:, 0].tolist() == [0, 1, 2]


def test_texts_are_for_inputs_of_an_open_dtype():
    texts = [InputSpec("text", (2,), None)]
    for dtype in (str, object):
        (got,) = read_arrays(np.array([["a", "b"]], dtype), texts)
        assert got.tolist() == [["a", "b"]]
    with pytest.raises(ValueError, match=r"numbers or strings\. Received: dtype object"):
        read_arrays(np.full((4, 2), None), texts)


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_numbers_of_every_float_dtype_have_to_be_finite(dtype):
    data = tf.cast([[1.0, np.nan]], dtype)
    with pytest.raises(ValueError, match=r"finite.*Received: 1 values"):
        read_arrays(data, [InputSpec("x", (2,), None)])


def test_without_inputs_batches_keep_their_structure():
    x, y = np.ones((4, 3)), np.zeros(4)
    assert read_one([(x, y)]).shape == (4, 3)
    assert [each.shape for each in read_one((x, x[:, :2]))] == [(4, 3), (4, 2)]
    assert {key: each.shape for key, each in read_one([{"a": x}]).items()} == {"a": (4, 3)}
    assert read_one(Batches([(x, y)])).shape == (4, 3)
    for wrong, message in [
        ((x, x[:2]), "same number of rows.*0: 4, 1: 2"),
        ({}, r"batches of rows. Received: arrays of the shapes \[\]"),
        (x * np.inf, "finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            read_one(wrong)


def read_one(data):
    [block] = read_blocks(data, None)
    return block
