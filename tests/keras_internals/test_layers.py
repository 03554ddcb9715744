import keras

from dart_keras.keras_internals import flatten_layers


class Around(keras.layers.Layer):
    def __init__(self, *inner):
        super().__init__()
        self.inner = list(inner)
        self.built = True

    def call(self, inputs):
        return inputs


def test_layers_are_found_at_any_depth_and_once():
    shared, deep, other = (keras.layers.Dense(4) for _ in range(3))
    around = Around(Around(deep), shared)
    nested = keras.Sequential([keras.Input((4,)), shared, other])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, nested(around(shared(inputs))))
    found = flatten_layers(model)
    for layer in (shared, deep, other, around, nested):
        assert sum(each is layer for each in found) == 1
    assert not any(each is model for each in found)
