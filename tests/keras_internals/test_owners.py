import gc

import keras
import numpy as np

from dart_keras.keras_internals import add_owner, note_calling_model, owners_of


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
