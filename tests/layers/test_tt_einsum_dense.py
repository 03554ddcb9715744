import math
import string

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dart_keras.layers import TTDense, TTEinsumDense
from dart_keras.layers.einsum_axes import einsum_axes

RNG = np.random.default_rng(0)

# With the sized output axes of the kernel, and some axes for a bias.
EQUATIONS = [
    ("ab,bc->ac", "c"),
    ("...x,xy->...y", "y"),
    ("abc,cd->abd", "bd"),
    ("abc,cde->abde", "de"),
    ("abc,cde->abde", "d"),
    ("abcd,cde->abe", "e"),
    ("...ab,bac->...c", "c"),
    ("ab...,bc->ac...", "c"),
    ("abc,bd->adc", "d"),
    ("abc,bd->acd", "cd"),
    ("abcd,dfbe->aecf", "ef"),
    ("abcd,bdef->afce", "fe"),
    ("ab,c->abc", None),
    ("abc,c->ab", "b"),
]


def shapes_of(equation, sizes, elided=2):
    """Return an input shape, and the `output_shape` with None for sizes from the input."""
    inputs, output = equation.split(",")[0], equation.split("->")[1]
    size_of = dict(zip(string.ascii_letters, sizes, strict=False))
    size_of |= {letter: sizes[string.ascii_letters.index(letter) % len(sizes)] for letter in "xy"}
    size_of["."] = 2
    shape = [size_of[letter] for letter in inputs.replace("...", "." * elided)]
    named = output[1:] if output[0] != "." else output
    named = named.replace("...", "").replace(".", "")
    return shape, [None if letter in inputs else size_of[letter] for letter in named]


def built_equivalent(equation, output_shape, shape, **arguments):
    equivalent = keras.layers.EinsumDense(
        equation, output_shape, bias_initializer="normal", name="projection", **arguments
    )
    equivalent.build(shape)
    return equivalent


@given(st.sampled_from(EQUATIONS), st.lists(st.integers(1, 6), min_size=6, max_size=6))
def test_a_layer_like_another_has_the_kernel_of_its_matrix(case, sizes):
    equation, _ = case
    # A layer of one column cannot have a bias of its columns.
    assume(einsum_axes(equation).new)
    shape, output_shape = shapes_of(equation, sizes, 1)
    equivalent = built_equivalent(equation, output_shape, shape)
    kernel = np.asarray(equivalent.kernel)
    matrix = TTEinsumDense.dense_matrix(equivalent)
    bias = RNG.normal(size=matrix.shape[1]).astype("float32")
    again = TTEinsumDense.dense_like(equivalent, matrix, bias)
    np.testing.assert_array_equal(again.kernel, kernel)
    np.testing.assert_array_equal(TTEinsumDense.dense_bias(again), bias)


@given(
    st.sampled_from(EQUATIONS),
    st.lists(st.integers(1, 6), min_size=6, max_size=6),
    st.integers(1, 2),
    st.booleans(),
    st.sampled_from([None, "softmax"]),
)
@settings(max_examples=60)
def test_outputs_match_einsum_dense(case, sizes, elided, with_bias, activation):
    equation, bias_axes = case
    shape, output_shape = shapes_of(equation, sizes, elided)
    if with_bias and bias_axes in ("bd", "cd", "b"):
        # The equivalent takes the sizes of the bias from `output_shape` alone.
        size_of = dict(zip(equation.split(",")[0], shape, strict=True))
        named = zip(equation.split("->")[1][1:], output_shape, strict=True)
        output_shape = [size or size_of[axis] for axis, size in named]
    equivalent = built_equivalent(
        equation,
        output_shape,
        shape,
        bias_axes=bias_axes if with_bias else None,
        activation=activation,
    )
    layer = TTEinsumDense.from_dense(equivalent)
    x = RNG.normal(size=shape).astype("float32")
    # Not `equivalent(x)`: on TensorFlow, Keras 3.15 adds a bias of shape (n, 1) along another axis
    # wherever one of that size comes second or last.
    product = keras.ops.einsum(equation, x, equivalent.kernel)
    expected = equivalent.activation(
        product if equivalent.bias is None else product + equivalent.bias
    )
    outputs = layer(x)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert layer.compute_output_shape(shape) == tuple(outputs.shape)
    assert layer.count_params() - sum(math.prod(core.shape) for core in layer.cores) == (
        math.prod(equivalent.bias.shape) if equivalent.bias is not None else 0
    )
    assert layer.bias is None or layer.bias.shape == equivalent.bias.shape
    symbolic = layer(keras.KerasTensor((None, *shape[1:])))
    assert symbolic.shape == (None, *outputs.shape[1:])
    assert symbolic.dtype == layer.compute_dtype


@pytest.mark.parametrize(("equation", "bias_axes"), EQUATIONS)
def test_outputs_match_the_keras_layer_if_all_sizes_differ(equation, bias_axes):
    bias_axes = None if bias_axes in ("bd", "cd", "b") else bias_axes
    shape, output_shape = shapes_of(equation, (3, 4, 5, 6, 7, 8), elided=1)
    equivalent = built_equivalent(
        equation, output_shape, shape, bias_axes=bias_axes, activation="softmax"
    )
    x = RNG.normal(size=shape).astype("float32")
    np.testing.assert_allclose(TTEinsumDense.from_dense(equivalent)(x), equivalent(x), atol=1e-5)


def test_modes_larger_than_the_dimensions():
    layer = TTEinsumDense(
        "abc,cde->abde", (None, 2, 5), 3, (4, 4), (3, 4), bias_axes="de", bias_initializer="normal"
    )
    x = RNG.normal(size=(2, 3, 11)).astype("float32")
    outputs = layer(x)
    assert layer.to_dense().shape == (11, 10)
    expected = (x @ layer.to_dense()).reshape(2, 3, 2, 5) + layer.bias.numpy()
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_truncated_layer_multiplies_by_its_matrix():
    layer = TTEinsumDense("abcd,dce->abe", (None, 12), 6)
    x = RNG.normal(size=(2, 5, 3, 8)).astype("float32")
    layer(x)
    error = layer.truncate(2)
    assert layer.ranks == (1, 2, 1)
    assert 0 < error < 1
    # Rows in the order of the input's axes, not of the kernel's.
    expected = x.reshape(2, 5, 24) @ layer.to_dense()
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_inputs_of_unknown_sizes():
    inputs = keras.Input((None, 12))
    layer = TTEinsumDense("abc,cde->abde", (None, 2, 5), 3, bias_axes="de")
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, 2, 5)
    for shape in ((2, 3, 12), (1, 4, 12), (0, 4, 12)):
        x = RNG.normal(size=shape).astype("float32")
        expected = (x @ layer.to_dense()).reshape(*shape[:2], 2, 5)
        np.testing.assert_allclose(model(x), expected, atol=1e-5)


def test_no_transpose_if_the_axes_are_in_order():
    def kinds(layer, shape):
        layer.build(shape)
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec(shape)).graph
        return sorted(operation.type for operation in graph.get_operations())

    def einsum_kinds(equation, output_shape, shape):
        return kinds(TTEinsumDense(equation, output_shape, 3, (12, 1), (1, 10)), shape)

    dense = kinds(TTDense(10, 3, (12, 1), (1, 10), use_bias=False), (4, 12))
    assert einsum_kinds("ab,bc->ac", 10, (4, 12)) == dense
    assert "Transpose" not in einsum_kinds("abcd,dce->abe", (None, 10), (2, 3, 4, 3))
    assert "Transpose" not in einsum_kinds("abc,cde->abed", (None, 2, 5), (2, 3, 12))
    assert "Transpose" in einsum_kinds("abc,bd->adc", (10, None), (2, 12, 3))


def test_gradients_match_einsum_dense_and_reach_every_weight():
    equivalent = built_equivalent("abc,cde->abde", (None, 2, 3), (2, 4, 6), bias_axes="d")
    layer = TTEinsumDense.from_dense(equivalent)
    x = tf.constant(RNG.normal(size=(2, 4, 6)), "float32")
    gradients = {}
    for each in (layer, equivalent):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(each(x)))
        gradients[each] = tape.gradient(loss, [x, each.bias, *each.trainable_variables])
    for ours, theirs in zip(gradients[layer][:2], gradients[equivalent][:2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert all(np.any(gradient) for gradient in gradients[layer])


def test_mask_as_in_einsum_dense():
    masked = keras.layers.Masking()(keras.Input((5, 8)))
    for layer in (
        keras.layers.EinsumDense("abc,cd->abd", (None, 6)),
        TTEinsumDense("abc,cd->abd", (None, 6)),
    ):
        with pytest.warns(UserWarning, match="does not support masking"):
            assert getattr(layer(masked), "_keras_mask", None) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"equation": "ab,bc->abc"}, "one matrix for all rows"),
        ({"output_shape": (3, 8)}, r"sizes of 'c'.*Received: output_shape=\(3, 8\)"),
        ({"output_shape": None}, "Received: output_shape=None"),
        ({"output_shape": (None,)}, r"Received: output_shape=\(None,\)"),
        ({"output_shape": 0}, "Received: output_shape=0"),
        ({"output_shape": 2.5}, "Received: output_shape=2.5"),
        ({"bias_axes": "b"}, "among 'c'. Received: bias_axes='b'"),
        ({"bias_axes": ""}, "Received: bias_axes=''"),
        ({"bias_axes": 1}, "Received: bias_axes=1"),
    ],
)
def test_invalid_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        TTEinsumDense(**({"equation": "ab,bc->ac", "output_shape": 8} | arguments))


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        (("ab,bc->ac", 8), (None, None), r"sizes of the axes 'b'.*input_shape=\(None, None\)"),
        (("ab,bc->ac", 8), (None, 3, 4), "axes 'ab'. Received: one with 3 axes"),
        (("abc,cd->abd", (3, 8)), (None, 4, 4), "axis 'b' has the size 3.*Received"),
        (("ab,bc->ac", 8, 8, None, (2, 3)), (None, 4), "dimension 8.*whose product is 6"),
        (("ab,bc->ac", 8, 8, (2, 4)), (None, 12), "dimension 12.*whose product is 8"),
    ],
)
def test_build_refuses_arguments_that_do_not_match_the_input(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        TTEinsumDense(*arguments).build(shape)


def test_bias_axes_need_a_size():
    layer = TTEinsumDense("abc,cd->abd", (None, 8), bias_axes="bd")
    with pytest.raises(ValueError, match="known sizes of the axes 'cbd'"):
        layer.build((None, None, 4))


def test_input_is_checked():
    layer = TTEinsumDense("abc,bd->adc", (4, None), 2)
    layer(np.ones((2, 6, 3), "float32"))
    with pytest.raises(ValueError, match="expected axis 1 of input shape to have value 6"):
        layer(np.ones((2, 8, 3), "float32"))
    with pytest.raises(ValueError, match="expected ndim=3"):
        layer(np.ones((2, 6), "float32"))


def test_kernel_starts_with_the_variance_of_a_dense_layer_with_the_same_matrix():
    layer = TTEinsumDense("abc,cde->abde", (None, 8, 16), 8)
    layer.build((None, None, 64))
    # Not of `EinsumDense`: before Keras 3.14 it counts the fans of a convolution's kernel.
    equivalent = keras.layers.Dense(8 * 16)
    equivalent.build((None, 64))
    ours, theirs = np.mean(layer.to_dense() ** 2), np.mean(equivalent.kernel.numpy() ** 2)
    assert ours == pytest.approx(theirs, rel=0.1)
