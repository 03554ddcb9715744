import itertools

import numpy as np
import pytest
import tensorflow as tf

from dart_keras.calibration_data import InputSpec, has_targets, labelled_batches, row_blocks

X, Y = np.ones((4, 3)), np.zeros(4)


@pytest.mark.parametrize(
    ("data", "inputs", "expected"),
    [
        ([(X, Y)], 1, True),
        ((X, Y), 1, True),
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(2), 1, True),
        ([((X, X), Y)], 2, True),
        (X, 1, False),
        ([X, X], 1, False),
        (X.tolist(), 1, False),
        ({"x": X}, 1, False),
        ((X, X), 2, False),
        ([(X, X)], 2, False),
        ([], 1, False),
        (zip(X, Y, strict=True), 1, True),
        ([(X[0], 1), (X[1], 0)], 1, True),
        (lambda: iter([(X, Y)]), 1, True),
        (lambda: X, 1, False),
        (X[:, :2].tolist(), 1, False),
    ],
)
def test_pairs_of_inputs_and_targets_are_told_from_inputs(data, inputs, expected):
    assert has_targets(data, inputs) is expected


@pytest.mark.parametrize(
    "data", [[(X, Y), (X, Y)], ([X, Y], [X, Y]), tf.data.Dataset.from_tensors((X, Y)).repeat(2)]
)
def test_pairs_come_as_they_are(data):
    batches = list(labelled_batches(data))
    assert len(batches) == 2
    for x, y in batches:
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y, Y)


@pytest.mark.parametrize(
    "pairs",
    [
        lambda: zip(np.ones((70, 3)), np.zeros(70), strict=True),
        lambda: lambda: ([x, 0] for x in np.ones((70, 3))),
        lambda: [([1, 1, 1], 0)] * 70,
        lambda: tf.data.Dataset.from_tensor_slices((np.ones((70, 3)), np.zeros(70))),
    ],
)
def test_single_rows_make_batches(pairs):
    batches = list(labelled_batches(pairs(), [InputSpec("x", (3,), None)]))
    assert [x.shape for x, _ in batches] == [(32, 3), (32, 3), (6, 3)]
    assert [y.shape for _, y in batches] == [(32,), (32,), (6,)]


def test_single_rows_of_several_inputs_make_batches():
    specs = [InputSpec("a", (3,), None), InputSpec("b", (2,), None)]
    row = ({"a": np.ones(3), "b": np.ones(2)}, np.ones(5))
    [(x, y)] = labelled_batches([row] * 4, specs)
    assert {name: each.shape for name, each in x.items()} == {"a": (4, 3), "b": (4, 2)}
    assert y.shape == (4, 5)


def test_pairs_without_end_come_to_one(monkeypatch):
    monkeypatch.setattr(row_blocks, "_MOST_ROWS", 10)
    with pytest.warns(UserWarning, match="do not say where they end: the first 12 rows"):
        assert len(list(labelled_batches(itertools.repeat((X, Y))))) == 3


def test_one_pair_of_arrays_is_one_batch():
    [(x, y)] = labelled_batches((X, Y))
    assert x is X
    assert y is Y


@pytest.mark.parametrize(
    ("data", "received"),
    [
        (X, "ndarray of length 4"),
        ([X], "ndarray of length 4"),
        ([(X, Y, Y)], "tuple of length 3"),
        ([0.5, 1.5], "float"),
        ([np.array(0.5)], "ndarray"),
    ],
)
def test_what_is_no_pair_is_refused(data, received):
    with pytest.raises(ValueError, match="pairs of inputs and targets") as error:
        list(labelled_batches(data))
    assert str(error.value).endswith(f"Received: {received}")
