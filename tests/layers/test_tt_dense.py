import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.layers import TTDense
from dart_keras.regularizers import NuclearNorm

RNG = np.random.default_rng(0)


def equivalent_of(layer):
    """Return a `keras.layers.Dense` with the kernel of the cores."""
    equivalent = keras.layers.Dense(
        layer.units,
        activation=layer.activation,
        use_bias=layer.use_bias,
        dtype=layer.dtype_policy,
    )
    kernel = layer.to_dense()
    equivalent.build((None, kernel.shape[0]))
    equivalent.set_weights([kernel, layer.bias.numpy()] if layer.use_bias else [kernel])
    return equivalent


@given(
    st.sampled_from([(7, 5), (12, 10), (1, 4), (4, 1), (16, 16), (30, 11)]),
    st.integers(1, 5),
    st.lists(st.integers(1, 3), max_size=2),
    st.sampled_from(["left_to_right", "rebuild", "auto"]),
    st.booleans(),
)
def test_outputs_match_dense(dims, ranks, leading, contraction, use_bias):
    layer = TTDense(
        dims[1],
        ranks,
        activation="tanh",
        use_bias=use_bias,
        contraction=contraction,
        bias_initializer="normal",
    )
    x = RNG.normal(size=(2, *leading, dims[0])).astype("float32")
    outputs = layer(x)
    np.testing.assert_allclose(outputs, equivalent_of(layer)(x), atol=1e-5)
    assert layer.compute_output_shape(x.shape) == outputs.shape
    symbolic = layer(keras.KerasTensor((None, *leading, dims[0])))
    assert symbolic.shape == (None, *leading, dims[1])


@pytest.mark.parametrize("modes", [((2, 6), (3, 4)), ((12, 1), (1, 10)), ((2, 3, 2), (2, 2, 3))])
@pytest.mark.parametrize("contraction", ["left_to_right", "rebuild", "auto"])
def test_modes_larger_than_the_dimensions(modes, contraction):
    layer = TTDense(10, 3, *modes, contraction=contraction, bias_initializer="normal")
    x = RNG.normal(size=(2, 3, 11)).astype("float32")
    outputs = layer(x)
    assert layer.to_dense().shape == (11, 10)
    np.testing.assert_allclose(outputs, equivalent_of(layer)(x), atol=1e-5)
    assert layer(keras.KerasTensor((None, 11))).shape == (None, 10)


def test_padding_does_not_learn():
    layer = TTDense(5, 9, (9, 1), (1, 6), use_bias=False)
    model = keras.Sequential([keras.Input((7,)), layer])
    model.compile("sgd", "mse")
    padded = layer.cores[0].numpy()[:, 7:], layer.cores[1].numpy()[:, :, 5:]
    model.fit(RNG.normal(size=(16, 7)), RNG.normal(size=(16, 5)), verbose=0)
    np.testing.assert_array_equal(layer.cores[0].numpy()[:, 7:], padded[0])
    np.testing.assert_array_equal(layer.cores[1].numpy()[:, :, 5:], padded[1])


def test_no_padding_operation_if_the_modes_match():
    def kinds(modes):
        layer = TTDense(10, 3, *modes)
        layer.build((None, 12))
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec((4, 12))).graph
        return {operation.type for operation in graph.get_operations()}

    assert not {"Pad", "PadV2", "StridedSlice", "Slice"} & kinds(((3, 4), (5, 2)))
    assert {"StridedSlice"} <= kinds(((3, 4), (3, 4)))


def test_activations_over_the_last_axis():
    layer = TTDense(6, 2, activation="softmax")
    outputs = np.asarray(layer(np.ones((2, 3, 4, 8), "float32")))
    np.testing.assert_allclose(outputs.sum(-1), 1, rtol=1e-5)


def test_inputs_of_unknown_sizes():
    inputs = keras.Input((None, None, 12))
    layer = TTDense(10, 3)
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, 10)
    for shape in ((2, 3, 1, 12), (1, 2, 4, 12), (0, 2, 4, 12)):
        x = RNG.normal(size=shape).astype("float32")
        np.testing.assert_allclose(model(x), equivalent_of(layer)(x), atol=1e-5)
    with pytest.raises(ValueError, match=r"known size. Received: input_shape=\(None, None\)$"):
        TTDense(4)(keras.Input((None,)))


def test_input_is_checked_as_in_dense():
    layer = TTDense(4, 2)
    layer(np.ones((2, 6), "float32"))
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 6"):
        layer(np.ones((2, 8), "float32"))
    with pytest.raises(ValueError, match="min_ndim=2"):
        TTDense(4)(np.ones(6, "float32"))


def test_mask_passes_through():
    x = RNG.normal(size=(3, 5, 8)).astype("float32")
    x[1, 2:] = 0
    layer = TTDense(6, 2, bias_initializer="normal")
    inputs = keras.Input((5, 8))
    masked = keras.layers.Masking()(inputs)
    recurrent = keras.layers.LSTM(4)
    ours = keras.Model(inputs, recurrent(layer(masked)))
    theirs = keras.Model(inputs, recurrent(equivalent_of(layer)(masked)))
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)
    changed = x.copy()
    masked_out = layer(masked)._keras_mask
    assert masked_out.shape == (None, 5)
    # The LSTM ignores masked steps, so it does not see the bias there.
    shorter = keras.Sequential([layer, recurrent])(changed[1:2, :2])
    np.testing.assert_allclose(ours(x)[1:2], shorter, atol=1e-6)


@pytest.mark.parametrize("contraction", ["left_to_right", "rebuild"])
def test_xla(contraction):
    layer = TTDense(10, (2, 3), (2, 3, 2), (5, 2, 1), contraction=contraction)
    x = RNG.normal(size=(4, 3, 12)).astype("float32")
    compiled = tf.function(layer, jit_compile=True)
    np.testing.assert_allclose(compiled(x), layer(x), atol=1e-5)


def test_training_with_xla_matches_training_without():
    x, y = RNG.normal(size=(16, 12)), RNG.normal(size=(16, 4))
    losses = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(1)
        regularizer = NuclearNorm(0.1)
        model = keras.Sequential(
            [keras.Input((12,)), TTDense(4, 3, rank_regularizer=regularizer), TTDense(4, 2)]
        )
        model.compile("adam", "mse", jit_compile=jit_compile)
        losses.append(model.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_auto_chooses_the_fastest_contraction_for_the_batch():
    layer = TTDense(32 * 32, 24, (32, 32), (32, 32))
    layer.build((None, 1024))

    def dense_kernels_made(rows):
        specification = tf.TensorSpec((rows, 1024), tf.float32)
        graph = tf.function(layer).get_concrete_function(specification).graph
        shapes = [t.shape.as_list() for op in graph.get_operations() for t in op.outputs]
        return [1024, 1024] in shapes

    assert dense_kernels_made(2048)
    assert not dense_kernels_made(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "Expected `units` to be a positive integer. Received: units=0"),
        ({"units": 2.5}, "Received: units=2.5"),
        ({"units": "8"}, "Received: units='8'"),
        ({"units": 8, "output_modes": (2, 3)}, "dimension 8.*whose product is 6"),
        ({"units": 8, "output_modes": (4, 4)}, "less than 16.*whose product is 16"),
    ],
)
def test_invalid_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        TTDense(**arguments)
