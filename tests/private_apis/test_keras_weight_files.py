import keras
import numpy as np
import pytest

from dart_keras.private_apis import current_load, is_rehearsing, rehearse


class Asking(keras.layers.Layer):
    """Keeps what it learns of the load while its weights are loaded."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), name="scale")
        self.built = True

    def call(self, inputs):
        return self.scale * inputs

    def load_own_variables(self, store):
        assert float(store["0"]) == 3
        if is_rehearsing():
            return
        self.load = current_load()
        self.errors = rehearse(self.load, store, [])
        self.values_after = [v.numpy() for v in self.others()]


def built(units=2):
    asking = Asking(name="asking")
    inner = keras.Sequential([keras.Input((2,)), asking, keras.layers.Dense(units, name="inner")])
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(2, name="outer")])
    # A function, or Keras would take them for the layer's own.
    asking.others = lambda: [*inner.layers[1].weights, *model.layers[1].weights]
    asking.scale.assign(3)
    return model, asking


@pytest.fixture
def path(tmp_path):
    model, _ = built()
    model.save_weights(tmp_path / "model.weights.h5")
    return tmp_path / "model.weights.h5"


def test_a_layer_learns_which_model_is_loaded(path):
    model, asking = built()
    model.load_weights(path)
    assert asking.load.model is model
    assert not asking.load.skip_mismatch
    model.load_weights(path, skip_mismatch=True)
    assert asking.load.skip_mismatch


def test_outside_of_a_load_there_is_none():
    assert current_load() is None
    assert not is_rehearsing()


def test_a_rehearsal_changes_nothing(path):
    model, asking = built()
    before = [v.numpy() for v in asking.others()]
    model.load_weights(path)
    assert asking.errors == {}
    for old, after in zip(before, asking.values_after, strict=True):
        np.testing.assert_array_equal(old, after)
    assert np.any(before[0] != asking.others()[0].numpy())


def test_a_rehearsal_finds_layers_that_do_not_fit(path):
    model, asking = built(units=3)
    with pytest.raises(ValueError, match="could not be loaded"):
        model.load_weights(path)
    assert set(asking.errors) == {"inner", "outer"}
