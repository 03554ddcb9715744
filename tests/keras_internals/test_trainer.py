from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from dart_keras.keras_internals import compiled_loss, read_state_back, retrace

X = np.ones((4, 2), "float32")


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
    assert model.predict(X, verbose=0)[0, 0] == 1
    assert model.evaluate(X, 0 * X, verbose=0) == 1
    model.train_on_batch(X, 0 * X)
    layer.scale = 3.0
    assert model.predict(X, verbose=0)[0, 0] == 1  # Keras keeps what it has traced
    retrace(model)
    assert model.predict(X, verbose=0)[0, 0] == 3
    assert model.evaluate(X, 0 * X, verbose=0) == 9
    assert model.train_on_batch(X, 0 * X) == 9
    assert model.test_on_batch(X, 0 * X) == 9


def test_functions_are_made_again_inside_fit():
    for forget, expected in ((False, [1, 1, 1]), (True, [1, 9, 9])):
        model, layer = compiled()
        history = model.fit(
            X,
            0 * X,
            epochs=3,
            validation_data=(X, 0 * X),
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
