import numpy as np
import pytest
import tensorflow as tf

from dart_keras.deployment.flatbuffer.passes.fold_transposes import fold_transposes
from dart_keras.deployment.flatbuffer.serialization import unpack
from tests.deployment import models


def converted(function, shape):
    concrete = tf.function(function).get_concrete_function(tf.TensorSpec(shape, name="x"))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert()


def fold(content):
    return models.changed(content, fold_transposes)


def check_same(content, folded, rows, runtimes=("litert", "tflm")):
    for runtime in runtimes:
        np.testing.assert_array_equal(
            models.raw_outputs(folded, rows, runtime), models.raw_outputs(content, rows, runtime)
        )


@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8", "dynamic"])
@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (models.three_cores, (60,)),
        (models.tt_dense, (20,)),
        (models.tt_dense_on_sequences, (3, 20)),
    ],
)
def test_folded_files_give_the_same_bits(build, shape, quantization):
    rows = models.RNG.normal(size=(32, *shape))
    content = models.lowered(build(), quantization, rows)
    folded = fold(content)
    assert len(models.operators(folded)) < len(models.operators(content))
    assert models.operators(folded).count("TRANSPOSE") <= models.operators(content).count(
        "TRANSPOSE"
    )
    check_same(
        content, folded, rows, ("litert",) if quantization == "dynamic" else ("litert", "tflm")
    )


@pytest.mark.parametrize("seed", range(12))
def test_rows_of_reshapes_and_transposes_of_any_kind(seed):
    rng = np.random.default_rng(seed)
    shapes = [(2, 12), (24,), (4, 6), (6, 4), (2, 3, 4), (3, 2, 4), (2, 2, 6), (1, 24), (3, 8)]
    bias, matrix = rng.normal(size=24).astype("float32"), np.eye(24, 5, dtype="float32")

    def steps(x):
        for _ in range(8):
            kind = rng.integers(4)
            if kind == 0:
                x = tf.nn.relu(x) if rng.integers(2) else x + tf.reshape(bias, x.shape)
            elif kind == 1:
                x = tf.reshape(x, shapes[rng.integers(len(shapes))])
            else:
                x = tf.transpose(x, rng.permutation(len(x.shape)))
        return tf.reshape(x, (1, 24)) @ matrix

    content = converted(steps, (1, 24))
    folded = fold(content)
    assert len(models.operators(folded)) <= len(models.operators(content))
    check_same(content, folded, rng.normal(size=(4, 24)))


def test_between_two_layers_whose_modes_fit_nothing_is_reshaped():
    rows = models.RNG.normal(size=(16, 60))
    folded = models.operators(fold(models.lowered(models.three_cores(), "int8", rows)))
    added = folded.index("ADD")
    assert folded[added - 1] == "FULLY_CONNECTED"
    assert folded[added + 1] != "RESHAPE" or folded[added + 2] == "TRANSPOSE"


def test_a_tensor_with_two_uses_stays():
    def twice(x):
        shaped = tf.reshape(x, (4, 6))
        return tf.transpose(tf.transpose(shaped)), tf.nn.relu(shaped)

    content = converted(lambda x: tf.concat([tf.reshape(t, (1, -1)) for t in twice(x)], 1), (1, 24))
    check_same(content, fold(content), models.RNG.normal(size=(4, 24)))


def test_outputs_and_inputs_keep_their_shapes():
    content = converted(lambda x: tf.transpose(tf.reshape(x, (4, 6))), (1, 24))
    [graph] = unpack(fold(content)).subgraphs
    assert list(graph.tensors[graph.inputs[0]].shape) == [1, 24]
    assert list(graph.tensors[graph.outputs[0]].shape) == [6, 4]


def test_a_shape_that_is_computed_while_the_file_runs_is_left_alone():
    def to_shape_of_data(x):
        width = tf.cast(tf.reduce_max(x) * 0 + 4, "int32")
        return tf.transpose(tf.reshape(x, (-1, width)))

    content = converted(to_shape_of_data, (1, 24))
    check_same(content, fold(content), models.RNG.normal(size=(1, 24)), ("litert",))


def test_float_rows_that_are_quantized_one_by_one_are_not_joined():
    matrix = models.RNG.normal(size=(64, 64)).astype("float32")
    concrete = tf.function(lambda x: tf.reshape(x, (4, 64)) @ matrix).get_concrete_function(
        tf.TensorSpec((8, 32), name="x")
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content = converter.convert()
    assert models.operators(fold(content)) == ["RESHAPE", "FULLY_CONNECTED"]


def test_a_bias_that_rounds_to_zero_goes():
    import keras

    layer = keras.layers.Dense(8)
    model = keras.Sequential([keras.Input((16,)), layer])
    layer.bias.assign(np.full(8, 1e-9))
    rows = models.RNG.normal(size=(32, 16))
    content = models.lowered(model, "int8", rows)
    folded = fold(content)
    [operator] = unpack(folded).subgraphs[0].operators
    assert operator.inputs[2] == -1
    check_same(content, folded, rows)
