import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from dart_keras.private_apis import compiling_with_xla, freeze


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


def test_variables_become_constants():
    matrix = tf.Variable(tf.ones((3, 2)))
    spec = tf.TensorSpec((1, 3))
    frozen = freeze(tf.function(lambda x: x @ matrix).get_concrete_function(spec))
    matrix.assign(0 * matrix)
    [outputs] = frozen(tf.ones((1, 3)))
    np.testing.assert_array_equal(outputs, [[3, 3]])
    assert "Const" in {operation.type for operation in frozen.graph.get_operations()}


def test_loops_stay_loops():
    def count(x):
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 9, lambda y: (y + 1,), (x,))

    frozen = freeze(tf.function(count).get_concrete_function(tf.TensorSpec((2,))))
    kinds = {operation.type for operation in frozen.graph.get_operations()}
    assert kinds & {"While", "StatelessWhile"}


def test_custom_gradients_are_dropped():
    function = tf.function(tf.nn.silu).get_concrete_function(tf.TensorSpec((1, 3)))
    assert _marked(convert_variables_to_constants_v2(function))
    assert not _marked(freeze(function))


def _marked(function):
    operations = function.graph.get_operations()
    return [o for o in operations if "_gradient_op_type" in o.node_def.attr]
