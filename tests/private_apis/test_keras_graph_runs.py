import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.private_apis import GraphRun, can_be_stepped


def shared_inside():
    x, y = keras.Input((4,)), keras.Input((4,))
    inner = keras.Model([x, y], {"sum": x + y, "product": layers.Dense(4)(x) * y})
    a, b = keras.Input((4,)), keras.Input((4,))
    first = inner([a, b])
    second = inner([first["sum"], layers.Dropout(0.5)(b)])
    return keras.Model({"a": a, "b": b}, [second["product"], first["sum"]])


def masked():
    x = keras.Input((5,), dtype="int32")
    inner = keras.Sequential([keras.Input((5, 4)), layers.LSTM(3)])
    return keras.Model(x, inner(layers.Embedding(9, 4, mask_zero=True)(x)))


RNG = np.random.default_rng(0)
PAIR = {name: RNG.normal(size=(3, 4)).astype("float32") for name in "ab"}
IDS = RNG.integers(0, 3, (3, 5))


@pytest.mark.parametrize(("build", "batch"), [(shared_inside, PAIR), (masked, IDS)])
def test_a_run_taken_up_anywhere_gives_the_models_outputs(build, batch):
    model = build()
    expected = model(batch, training=False)
    for place in range(GraphRun(model, batch).length + 1):
        run = GraphRun(model, batch)
        run.forward(place)
        assert run.place == place
        received = run.copy().outputs()
        keras.tree.assert_same_structure(received, expected)
        for again in (received, run.outputs()):
            pairs = zip(keras.tree.flatten(again), keras.tree.flatten(expected), strict=True)
            for a, b in pairs:
                np.testing.assert_array_equal(a, b)


def test_models_inside_are_gone_through_and_others_are_not():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(4)])
    model = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)])
    # Into the model inside, its two layers, out of it, and the last layer.
    assert GraphRun(model, np.zeros((1, 4))).length == 5

    class Own(keras.Sequential):
        def call(self, inputs, training=None, mask=None):
            return super().call(inputs) + 1

    own = Own([keras.Input((4,)), layers.Dense(4)])
    assert not can_be_stepped(own)
    assert GraphRun(keras.Sequential([keras.Input((4,)), own]), np.zeros((1, 4))).length == 1
    assert not can_be_stepped(layers.Dense(3))


def test_what_is_not_needed_any_more_is_forgotten():
    stack = [layers.Dense(100), layers.Dense(2)]
    run = GraphRun(keras.Sequential([keras.Input((3,)), *stack]), np.zeros((5, 3), "float32"))
    sizes = [run.size]
    for place in (1, 2):
        run.forward(place)
        sizes.append(run.size)
    assert sizes == [5 * 3 * 4, 5 * 100 * 4, 5 * 2 * 4]


def test_dropout_is_off():
    model = keras.Sequential([keras.Input((50,)), layers.Dropout(0.5)])
    rows = np.ones((2, 50), "float32")
    np.testing.assert_array_equal(GraphRun(model, rows).outputs(), rows)
