import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from dart_keras.private_apis import add_functions, compiling_with_xla, freeze


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


def test_functions_of_a_graph_are_added_under_names_of_their_own():
    def step(y):
        [z] = tf.while_loop(lambda z: z[0] < 3, lambda z: (z + 1,), (y,))
        return (y + z,)

    def count(x):
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 9, step, (x,))

    spec = tf.TensorSpec((2,))
    frozen = freeze(tf.function(count).get_concrete_function(spec))
    content, names, results = frozen.graph.as_graph_def().SerializeToString(), set(), []
    for _ in range(2):
        graph = tf.compat.v1.GraphDef.FromString(content)
        before = {each.signature.name for each in graph.library.function}
        add_functions(graph)
        names |= {each.signature.name for each in graph.library.function} - before
        # Also where the functions of the process that wrote it are not known.
        assert not any(f'"{name}"' in str(graph) for name in before)
        results.append(_imported(graph, frozen, spec)(tf.ones(2)))
    # The condition and the body of either loop, twice.
    assert len(names) == 8
    for [result] in results:
        np.testing.assert_array_equal(result, frozen(tf.ones(2))[0])


def _imported(graph, function, spec):
    def infer(x):
        given, outputs = {function.inputs[0].name: x}, [function.outputs[0].name]
        return tf.graph_util.import_graph_def(graph, given, outputs, name="")

    return tf.function(infer, autograph=False).get_concrete_function(spec)


def test_custom_gradients_are_dropped():
    function = tf.function(tf.nn.silu).get_concrete_function(tf.TensorSpec((1, 3)))
    assert _marked(convert_variables_to_constants_v2(function))
    assert not _marked(freeze(function))


def _marked(function):
    operations = function.graph.get_operations()
    return [o for o in operations if "_gradient_op_type" in o.node_def.attr]
