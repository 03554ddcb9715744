import keras
import numpy as np
import pytest
from keras import layers, ops

from dart_keras.compression.calibration.product_counts import count_products
from dart_keras.compression.compressible import Candidate
from dart_keras.model_surgery.clone import copy_model
from dart_keras.model_surgery.replace import layers_with_paths
from tests.compression.calibration.product_cases import CASES, counted, counts_of, of


@pytest.mark.parametrize("name", CASES)
def test_every_product_counts(name):
    assert counted(name) == (CASES[name][1], ())


class Hidden(layers.Layer):
    """Multiplies without Keras's operations."""

    def build(self, shape):
        self.w = self.add_weight((shape[-1], 3))

    def call(self, x):
        return x @ self.w.value


class Doubling(layers.Layer):
    """A loop of which nobody knows how long it runs."""

    def call(self, x):
        square = ops.ones((4, 4))
        _, x = ops.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x @ square), (0, x))
        return ops.while_loop(
            lambda x: ops.max(x) < 3, lambda x: (ops.matmul(x, square) + 1,), (x,)
        )[0]


def test_what_cannot_be_counted_is_named():
    stack = [layers.Dense(4), Hidden(name="hidden"), layers.Dense(4)]
    model = keras.Sequential([keras.Input((4,)), *stack])
    counts = counts_of(model, np.zeros((2, 4), "float32"))
    assert counts.uncounted == ("hidden (Hidden)",)
    assert [counts.of_layers[id(layer)] for layer in stack] == [16, np.inf, 12]
    model = of(Doubling(), 4)
    assert counts_of(model, np.zeros((2, 4), "float32")).uncounted == (
        f"{model.name} (Functional)",
    )


def test_rows_of_several_lengths_count_on_average():
    model = of(layers.Dense(3), None, 4)
    copy, copies = copy_model(model)
    found = [Candidate(path, layer, None) for path, layer in layers_with_paths(model)]
    batches = [np.zeros((n, t, 4), "float32") for n, t in ((1, 8), (2, 2), (1, 8))]
    assert count_products(copy, copies, found, batches).total == 5 * 4 * 3


def test_batches_of_a_fixed_size_count_for_one_row():
    x = keras.Input((4,), batch_size=2)
    model = keras.Model(x, layers.Dense(3)(x))
    assert counts_of(model, np.zeros((2, 4), "float32")).total == 12


def test_the_model_is_left_as_it_was():
    model = of(layers.LSTM(3), 5, 4)
    counts_of(model, np.zeros((2, 5, 4), "float32"))
    assert all("call" not in vars(layer) for layer in model.layers)
