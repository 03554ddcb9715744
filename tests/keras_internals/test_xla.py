import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.keras_internals import compiling_with_xla


class Recorder(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.found = []

    def call(self, inputs):
        self.found.append(compiling_with_xla())
        return inputs


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_layer_knows_in_fit(jit_compile):
    recorder = Recorder()
    model = keras.Sequential([keras.Input((2,)), recorder, keras.layers.Dense(1)])
    recorder.found.clear()
    model.compile("sgd", "mse", jit_compile=jit_compile)
    model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
    assert recorder.found
    assert set(recorder.found) == {jit_compile}


def test_a_function_inside_a_compiled_one_knows():
    found = []

    @tf.function
    def inner(x):
        found.append(compiling_with_xla())
        return x

    tf.function(inner, jit_compile=True)(tf.zeros(2))
    tf.function(inner)(tf.zeros(3))
    assert found == [True, False]
    assert not compiling_with_xla()
