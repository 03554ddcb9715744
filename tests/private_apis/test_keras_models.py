import gc
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from dart_keras.private_apis import (
    add_owner,
    compiled_loss,
    has_compiled_loss,
    input_structure,
    note_calling_model,
    owners_of,
    read_state_back,
    recorded_shapes,
    retrace,
)


class Noting(keras.layers.Layer):
    def call(self, inputs):
        note_calling_model(self)
        return inputs


class Around(keras.layers.Layer):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)


X = np.ones((2, 3), "float32")


def test_a_layer_learns_of_the_model_that_calls_it():
    layer = Noting()
    model = keras.Sequential([keras.Input((3,)), layer])
    model(X)
    assert owners_of(layer) == [model]


def test_training_and_prediction_tell_of_the_model():
    for run in (lambda m: m.predict(X, verbose=0), lambda m: m.fit(X, X, verbose=0)):
        layer = Noting()
        model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(3)])
        model.compile("sgd", "mse")
        run(model)
        assert owners_of(layer) == [model]


def test_it_is_the_outermost_model_also_through_custom_layers():
    layer = Noting()
    inner = keras.Sequential([keras.Input((3,)), Around(layer)])
    inputs = keras.Input((3,))
    outer = keras.Model(inputs, inner(inputs))
    outer(X)
    assert outer in owners_of(layer)
    inner(X)
    assert set(owners_of(layer)) == {outer, inner}


def test_a_subclassed_model_is_learned_of():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = Noting()

        def call(self, inputs):
            return self.inner(inputs)

    model = Subclassed()
    model(X)
    assert owners_of(model.inner) == [model]


def test_a_layer_called_by_itself_has_no_owner():
    layer = Noting()
    layer(X)
    note_calling_model(layer)
    assert owners_of(layer) == []


def test_models_and_layers_are_held_weakly():
    layer = Noting()
    for _ in range(2):
        add_owner(layer, keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    kept = keras.Sequential([keras.layers.Dense(2)])
    add_owner(layer, kept)
    add_owner(layer, kept)
    gc.collect()
    assert owners_of(layer) == [kept]


PAIRS = np.ones((4, 2), "float32")


class Scaled(keras.layers.Layer):
    """Reads a Python number while it is traced, as a layer reads the shape of its variables."""

    scale = 1.0

    def call(self, inputs):
        return inputs * self.scale


class ScaleAfterFirstEpoch(keras.callbacks.Callback):
    def __init__(self, layer, forget):
        super().__init__()
        self.layer, self.forget = layer, forget

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.layer.scale = 3.0
            if self.forget:
                retrace(self.model)


def compiled():
    layer = Scaled()
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile("sgd", "mse")
    return model, layer


def test_functions_are_made_again():
    model, layer = compiled()
    assert model.predict(PAIRS, verbose=0)[0, 0] == 1
    assert model.evaluate(PAIRS, 0 * PAIRS, verbose=0) == 1
    model.train_on_batch(PAIRS, 0 * PAIRS)
    layer.scale = 3.0
    assert model.predict(PAIRS, verbose=0)[0, 0] == 1  # Keras keeps what it has traced
    retrace(model)
    assert model.predict(PAIRS, verbose=0)[0, 0] == 3
    assert model.evaluate(PAIRS, 0 * PAIRS, verbose=0) == 9
    assert model.train_on_batch(PAIRS, 0 * PAIRS) == 9
    assert model.test_on_batch(PAIRS, 0 * PAIRS) == 9


def test_functions_are_made_again_inside_fit():
    for forget, expected in ((False, [1, 1, 1]), (True, [1, 9, 9])):
        model, layer = compiled()
        history = model.fit(
            PAIRS,
            0 * PAIRS,
            epochs=3,
            validation_data=(PAIRS, 0 * PAIRS),
            callbacks=[ScaleAfterFirstEpoch(layer, forget)],
            verbose=0,
        )
        assert history.history["loss"] == expected
        assert history.history["val_loss"] == expected


def test_a_model_that_was_never_run_stays_so():
    model, _ = compiled()
    retrace(model)
    assert model.train_function is None
    assert model.test_function is None
    assert model.predict_function is None
    assert keras.Sequential([keras.layers.Dense(1)]).train_function is None


def test_state_is_read_back_where_the_backend_has_copies():
    model, _ = compiled()
    read_state_back(model)  # nothing to do on TensorFlow
    assert not hasattr(model, "jax_state_sync")
    read = []
    model.jax_state_sync = lambda: read.append(True)
    read_state_back(model)
    assert read == [True]


def test_keras_still_calls_it_that_on_jax():
    # Read, not imported, because JAX need not be there.
    folder = Path(find_spec("keras.src.backend").origin).parent
    assert "def jax_state_sync(self)" in (folder / "jax" / "trainer.py").read_text()


def test_the_compiled_loss_is_without_penalties():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_regularizer="l2")])
    model.compile(loss="mse")
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    outputs = model(x)
    expected = np.mean(np.square(outputs))
    assert float(compiled_loss(model, y, outputs)) == pytest.approx(expected)
    assert float(model.compute_loss(x, y, outputs)) > expected


def test_a_model_may_have_no_compiled_loss():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert not has_compiled_loss(model)
    model.compile("adam")
    assert not has_compiled_loss(model)
    model.compile("adam", "mse")
    assert has_compiled_loss(model)


def test_recorded_shapes_are_those_of_the_first_call():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Subclassed()
    assert recorded_shapes(model) is None
    model(keras.ops.ones((3, 4)))
    assert recorded_shapes(model) == {"input_shape": (3, 4)}


def test_the_inputs_keep_their_structure():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    named = keras.Model({"a": a, "b": b}, keras.layers.Concatenate()([a, b]))
    assert keras.tree.map_structure(lambda x: x.name, input_structure(named)) == {
        "a": "a",
        "b": "b",
    }
    stack = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert input_structure(stack) is stack.inputs[0]
