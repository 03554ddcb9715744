import math
import threading

import numpy as np
import pytest
from keras import layers, ops
from keras.src import backend

from dart_keras.private_apis import tell_product, telling_products

X, Y = np.ones((2, 3, 4), "float32"), np.ones((2, 4, 5), "float32")
MATRIX, LINE = np.ones((4, 6), "float32"), np.ones((2, 9, 3), "float32")


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        (lambda: ops.matmul(X, Y), 2 * 3 * 4 * 5),
        (lambda: ops.matmul(X, MATRIX[:, 0]), 2 * 3 * 4),
        (lambda: ops.dot(X, MATRIX), 2 * 3 * 4 * 6),
        (lambda: ops.tensordot(X, X, axes=[[0, 2], [0, 2]]), 2 * 3 * 4 * 3),
        (lambda: ops.inner(MATRIX, MATRIX), 4 * 6 * 4),
        (lambda: ops.vdot(MATRIX, MATRIX), 24),
        (lambda: ops.einsum("abc,acd->abd", X, Y), 2 * 3 * 4 * 5),
        (lambda: ops.einsum("...c,cd", X, MATRIX), 2 * 3 * 4 * 6),
        # Two operands at a time.
        (lambda: ops.einsum("abc,acd,de->abe", X, Y, MATRIX[:, :5].T), 120 + 2 * 3 * 5 * 4),
        (lambda: ops.conv(LINE, np.ones((3, 3, 2), "float32"), padding="same"), 2 * 9 * 3 * 3 * 2),
        (
            lambda: ops.conv_transpose(LINE, np.ones((3, 2, 3), "float32"), strides=2),
            2 * 9 * 3 * 3 * 2,
        ),
        (lambda: ops.multiply(X, X), 0),
        (lambda: ops.map(lambda x: ops.matmul(x, MATRIX), X), 2 * 3 * 4 * 6),
        (lambda: ops.vectorized_map(lambda x: ops.matmul(x, MATRIX), X), 2 * 3 * 4 * 6),
        (lambda: ops.fori_loop(1, 4, lambda i, x: ops.matmul(x, MATRIX[:, :4]), X), 3 * 2 * 48),
        (lambda: ops.scan(lambda c, x: (c, ops.matmul(x, MATRIX[:, :4])), X[0], X), 2 * 3 * 4 * 4),
        (
            lambda: ops.while_loop(
                lambda i: i < 2, lambda i: (i + ops.max(ops.dot(X, MATRIX)),), [0.0]
            ),
            math.inf,
        ),
        (lambda: tell_product(7), 7),
    ],
)
def test_products_are_told(product, expected):
    told = []
    with telling_products(told.append):
        product()
    assert sum(told) == expected
    product()
    assert sum(told) == expected


def test_recurrent_layers_tell_each_step_where_a_fused_kernel_would_not():
    def fused(*args, **kwargs):
        raise AssertionError

    told, layer, before = [], layers.LSTM(5), backend.lstm
    layer.build((2, 9, 3))
    backend.lstm = fused
    try:
        with telling_products(told.append):
            layer(LINE)
    finally:
        backend.lstm = before
    assert sum(told) == 2 * 9 * 4 * (3 + 5) * 5


def test_other_threads_tell_nothing():
    told = []
    thread = threading.Thread(target=lambda: ops.matmul(X, Y))
    with telling_products(told.append):
        thread.start()
        thread.join()
    assert told == []


def functions_of_keras():
    return backend.numpy.matmul, backend.rnn, layers.RNN._maybe_config_dropout_masks


def test_keras_is_left_as_it_was_after_an_error():
    before = functions_of_keras()

    def fail():
        with telling_products(print):
            assert not set(before) & set(functions_of_keras())
            raise ValueError("meant")

    with pytest.raises(ValueError, match="meant"):
        fail()
    assert functions_of_keras() == before
