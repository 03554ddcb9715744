import numpy as np
import pytest
import tensorflow as tf

from dart_keras.calibration_data import has_targets, labelled_batches

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
    ],
    ids=str,
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
