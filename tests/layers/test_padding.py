import numpy as np
import pytest
import tensorflow as tf

from dart_keras.layers.padding import first_columns, pad_columns, pad_matrix


def test_columns_are_padded_and_cropped():
    x = np.arange(6.0).reshape(2, 3)
    wider = pad_columns(tf.constant(x), 5)
    np.testing.assert_array_equal(wider, [[0, 1, 2, 0, 0], [3, 4, 5, 0, 0]])
    np.testing.assert_array_equal(first_columns(wider, 3), x)


@pytest.mark.parametrize("change", [pad_columns, first_columns])
def test_without_padding_there_is_no_operation(change):
    x = tf.ones((2, 3))
    assert change(x, 3) is x


def test_matrix_is_padded():
    np.testing.assert_array_equal(pad_matrix(np.ones((1, 2)), (2, 3)), [[1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(pad_matrix(np.ones((2, 2)), (2, 2)), np.ones((2, 2)))
