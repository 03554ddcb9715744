import inspect
import math
import string

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.src import testing

import dart_keras as dk
from dart_keras.keras_internals import changing_state
from dart_keras.layers import TTDense, TTEinsumDense
from dart_keras.tensor_train.ranks import rank_limits

RNG = np.random.default_rng(0)

# With the axes of the output that have a size and come from the kernel, and some for a bias.
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
    """The shape of an input, and the `output_shape` with None for what comes from the input."""
    inputs, output = equation.split(",")[0], equation.split("->")[1]
    size_of = dict(zip(string.ascii_letters, sizes, strict=False))
    size_of |= {letter: sizes[string.ascii_letters.index(letter) % len(sizes)] for letter in "xy"}
    size_of["."] = 2
    shape = [size_of[letter] for letter in inputs.replace("...", "." * elided)]
    named = output[1:] if output[0] != "." else output
    named = named.replace("...", "").replace(".", "")
    return shape, [None if letter in inputs else size_of[letter] for letter in named]


def built_twin(equation, output_shape, shape, **arguments):
    twin = keras.layers.EinsumDense(
        equation, output_shape, bias_initializer="normal", name="projection", **arguments
    )
    twin.build(shape)
    return twin


@given(
    st.sampled_from(EQUATIONS),
    st.lists(st.integers(1, 6), min_size=6, max_size=6),
    st.integers(1, 2),
    st.booleans(),
    st.sampled_from([None, "softmax"]),
)
@settings(max_examples=60)
def test_outputs_are_those_of_einsum_dense(case, sizes, elided, with_bias, activation):
    equation, bias_axes = case
    shape, output_shape = shapes_of(equation, sizes, elided)
    if with_bias and bias_axes in ("bd", "cd", "b"):
        # The twin takes the sizes of the bias from `output_shape` alone.
        size_of = dict(zip(equation.split(",")[0], shape, strict=True))
        named = zip(equation.split("->")[1][1:], output_shape, strict=True)
        output_shape = [size or size_of[axis] for axis, size in named]
    twin = built_twin(
        equation,
        output_shape,
        shape,
        bias_axes=bias_axes if with_bias else None,
        activation=activation,
    )
    layer = TTEinsumDense.from_dense(twin)
    x = RNG.normal(size=shape).astype("float32")
    # Not `twin(x)`: on TensorFlow, Keras 3.15 adds a bias of shape (n, 1) along another axis
    # wherever one of that size comes second or last.
    product = keras.ops.einsum(equation, x, twin.kernel)
    expected = twin.activation(product if twin.bias is None else product + twin.bias)
    outputs = layer(x)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert layer.compute_output_shape(shape) == tuple(outputs.shape)
    assert layer.count_params() - sum(math.prod(core.shape) for core in layer.cores) == (
        math.prod(twin.bias.shape) if twin.bias is not None else 0
    )
    assert layer.bias is None or layer.bias.shape == twin.bias.shape
    symbolic = layer(keras.KerasTensor((None, *shape[1:])))
    assert symbolic.shape == (None, *outputs.shape[1:])
    assert symbolic.dtype == layer.compute_dtype


@pytest.mark.parametrize(("equation", "bias_axes"), EQUATIONS)
def test_outputs_are_those_of_the_layer_itself_where_no_two_sizes_are_equal(equation, bias_axes):
    bias_axes = None if bias_axes in ("bd", "cd", "b") else bias_axes
    shape, output_shape = shapes_of(equation, (3, 4, 5, 6, 7, 8), elided=1)
    twin = built_twin(equation, output_shape, shape, bias_axes=bias_axes, activation="softmax")
    x = RNG.normal(size=shape).astype("float32")
    np.testing.assert_allclose(TTEinsumDense.from_dense(twin)(x), twin(x), atol=1e-5)


def test_arguments_and_defaults_are_those_of_einsum_dense():
    theirs = inspect.signature(keras.layers.EinsumDense).parameters
    ours = inspect.signature(TTEinsumDense).parameters
    left_out = {"kernel_regularizer", "kernel_constraint", "lora_rank", "lora_alpha"}
    left_out |= {"quantization_config", "gptq_unpacked_column_size"}
    renamed = {"kernel_initializer": "core_initializer"}
    for name, parameter in theirs.items():
        if name not in left_out:
            assert ours[renamed.get(name, name)].default == parameter.default, name
    assert list(ours)[:2] == list(theirs)[:2]
    dense = inspect.signature(TTDense).parameters
    assert set(ours) - {"equation", "output_shape", "bias_axes"} == set(dense) - {
        "units",
        "use_bias",
    }


class TTEinsumDenseTest(testing.TestCase):
    def test_keras_layer(self):
        for contraction, equation, shape, sizes in (
            ("auto", "abc,cde->abde", (2, 3, 12), (None, 2, 5)),
            ("left_to_right", "abcd,cde->abe", (2, 3, 4, 3), (None, 10)),
            ("rebuild", "...x,xy->...y", (2, 3, 12), 10),
        ):
            output_shape = (2, 3, *(sizes[1:] if isinstance(sizes, tuple) else (sizes,)))
            self.run_layer_test(
                TTEinsumDense,
                init_kwargs={
                    "equation": equation,
                    "output_shape": sizes,
                    "ranks": 3,
                    "activation": "relu",
                    "bias_axes": equation[-1],
                    "contraction": contraction,
                    "rank_regularizer": "l2",
                    "bias_regularizer": "l2",
                    "activity_regularizer": "l2",
                    "bias_constraint": "max_norm",
                },
                input_shape=shape,
                expected_output_shape=output_shape,
                expected_num_trainable_weights=3,
                expected_num_non_trainable_weights=0,
                expected_num_seed_generators=0,
                expected_num_losses=4,
                supports_masking=False,
            )

    def test_keras_layer_with_modes_and_no_bias(self):
        self.run_layer_test(
            TTEinsumDense,
            init_kwargs={
                "equation": "abc,bd->adc",
                "output_shape": (12, None),
                "ranks": (1, 2, 3, 1),
                "input_modes": (2, 3, 2),
                "output_modes": [3, 2, 2],
            },
            input_shape=(4, 12, 3),
            expected_output_shape=(4, 12, 3),
            expected_num_trainable_weights=3,
            expected_num_losses=0,
            supports_masking=False,
        )


def test_modes_of_more_than_the_dimensions():
    layer = TTEinsumDense(
        "abc,cde->abde", (None, 2, 5), 3, (4, 4), (3, 4), bias_axes="de", bias_initializer="normal"
    )
    x = RNG.normal(size=(2, 3, 11)).astype("float32")
    outputs = layer(x)
    assert layer.to_dense().shape == (11, 10)
    expected = (x @ layer.to_dense()).reshape(2, 3, 2, 5) + layer.bias.numpy()
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_a_truncated_layer_multiplies_by_the_matrix_that_it_has():
    layer = TTEinsumDense("abcd,dce->abe", (None, 12), 6)
    x = RNG.normal(size=(2, 5, 3, 8)).astype("float32")
    layer(x)
    error = layer.truncate(2)
    assert layer.ranks == (1, 2, 1)
    assert 0 < error < 1
    # Rows in the order of the input's axes, not in that of the kernel's.
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


def test_nothing_is_moved_where_the_axes_are_in_place():
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


def test_gradients_are_those_of_einsum_dense_and_reach_every_weight():
    twin = built_twin("abc,cde->abde", (None, 2, 3), (2, 4, 6), bias_axes="d")
    layer = TTEinsumDense.from_dense(twin)
    x = tf.constant(RNG.normal(size=(2, 4, 6)), "float32")
    gradients = {}
    for each in (layer, twin):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(each(x)))
        gradients[each] = tape.gradient(loss, [x, each.bias, *each.trainable_variables])
    for ours, theirs in zip(gradients[layer][:2], gradients[twin][:2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert all(np.any(gradient) for gradient in gradients[layer])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dtypes(policy):
    layer = TTEinsumDense("abc,cde->abde", (None, 2, 5), 3, bias_axes="d", dtype=policy)
    x = RNG.normal(size=(4, 3, 12))
    outputs = layer(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    assert {v.dtype for v in layer.weights} == {layer.variable_dtype}
    expected = (x @ layer.to_dense().astype("float64")).reshape(4, 3, 2, 5)
    tolerance = 1e-12 if policy == "float64" else 0.05
    np.testing.assert_allclose(np.asarray(outputs, "float64"), expected, atol=tolerance)


def test_a_mask_fares_as_in_einsum_dense():
    masked = keras.layers.Masking()(keras.Input((5, 8)))
    for layer in (
        keras.layers.EinsumDense("abc,cd->abd", (None, 6)),
        TTEinsumDense("abc,cd->abd", (None, 6)),
    ):
        with pytest.warns(UserWarning, match="does not support masking"):
            assert getattr(layer(masked), "_keras_mask", None) is None


@pytest.mark.parametrize("projection", ["query", "output"])
def test_inside_multi_head_attention(projection, tmp_path):
    inputs = keras.Input((6, 16))
    attention = keras.layers.MultiHeadAttention(4, 5, bias_initializer="normal")
    model = keras.Model(inputs, attention(inputs, inputs))
    x = RNG.normal(size=(3, 6, 16)).astype("float32")
    expected = model.predict(x, verbose=0)
    name = f"_{projection}_dense"
    dense = getattr(attention, name)
    layer = TTEinsumDense.from_dense(dense, rank_regularizer=dk.regularizers.NuclearNorm(0.01))
    with changing_state(attention):
        attention._tracker.untrack(dense)
        setattr(attention, name, layer)
    model.make_predict_function(force=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    assert [row.name for row in dk.summary(model).layers].count(layer.name) == 1
    [row] = [row for row in dk.summary(model).layers if row.name == layer.name]
    assert (row.type, row.dense_parameters) == ("TTEinsumDense", dense.count_params())

    model.compile("adam", "mse")
    discretization = dk.callbacks.RankDiscretization(dk.selection.Budget(110), epoch=1)
    model.fit(x, x, epochs=2, verbose=0, callbacks=[discretization])
    assert layer.ranks_fixed
    assert layer.ranks[1] < rank_limits(layer.input_modes, layer.output_modes)[1]
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    trained = model.predict(x, verbose=0)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.load_weights(path)
    np.testing.assert_allclose(model.predict(x, verbose=0), trained, atol=1e-6)


def test_a_saved_model_is_the_same(tmp_path):
    inputs = keras.Input((6, 12))
    outputs = TTEinsumDense("abc,cde->abde", (None, 2, 5), 3, bias_axes="de")(inputs)
    outputs = TTEinsumDense("abcd,cde->abe", (None, 7), 3, activation="relu")(outputs)
    model = keras.Model(inputs, outputs)
    model.layers[1].truncate(2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[1].ranks == (1, 2, 1)
    x = RNG.normal(size=(4, 6, 12)).astype("float32")
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


def test_converted_to_litert():
    inputs = keras.Input((6, 12))
    heads = TTEinsumDense(
        "abc,cde->abde", (None, 2, 4), 3, (12, 1), (1, 8), bias_axes="de", bias_initializer="normal"
    )
    merged = TTEinsumDense("abcd,cde->abe", (None, 7), 3, activation="relu")
    model = keras.Model(inputs, merged(heads(inputs)))
    artifact = dk.deployment.convert(model)
    assert "BATCH_MATMUL" not in artifact.operators
    # The bias is in the product of the matrices.
    assert "ADD" not in artifact.operators
    x = RNG.normal(size=(8, 6, 12)).astype("float32")
    np.testing.assert_allclose(artifact.predict(x), model(x), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"equation": "abc,bcd->abd"},
            "one matrix for all rows.*equation='abc,bcd->abd'.*each 'b'",
        ),
        ({"equation": "ab,bc"}, "of the form .*Received: equation='ab,bc'"),
        ({"equation": None}, "Received: equation=None"),
        ({"equation": "ab,bc->abc"}, "another one for each 'b'"),
        ({"equation": "abb,bc->ac"}, "each axis in two"),
        ({"equation": "abc,cd->ad"}, "each axis in two"),
        ({"equation": "ab,bcd->ac"}, "each axis in two"),
        ({"equation": "ab,bc->acd"}, "each axis in two"),
        ({"equation": "ab,bc->ca"}, "the batch first"),
        ({"equation": "ab,ac->bc"}, "the batch first"),
        ({"equation": "...ab,bc->ac"}, "of the form"),
        ({"equation": "...ab...,bc->...ac..."}, "of the form"),
        ({"equation": "...ab,bc->ac..."}, "of the form"),
        ({"output_shape": (3, 8)}, r"sizes of 'c'.*Received: output_shape=\(3, 8\)"),
        ({"output_shape": None}, "Received: output_shape=None"),
        ({"output_shape": (None,)}, r"Received: output_shape=\(None,\)"),
        ({"output_shape": 0}, "Received: output_shape=0"),
        ({"output_shape": 2.5}, "Received: output_shape=2.5"),
        ({"bias_axes": "b"}, "among 'c'. Received: bias_axes='b'"),
        ({"bias_axes": ""}, "Received: bias_axes=''"),
        ({"bias_axes": 1}, "Received: bias_axes=1"),
        ({"contraction": "einsum"}, "Received: contraction='einsum'"),
        ({"ranks": 0}, "Received: ranks=0"),
    ],
)
def test_arguments_that_are_not_valid_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        TTEinsumDense(**({"equation": "ab,bc->ac", "output_shape": 8} | arguments))


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        (("ab,bc->ac", 8), (None, None), r"sizes of the axes 'b'.*input_shape=\(None, None\)"),
        (("ab,bc->ac", 8), (None, 3, 4), "axes 'ab'. Received: one with 3 axes"),
        (("...b,bc->...c", 8), (4,), "axes '...b'. Received: one with 1 axes"),
        (("ab...,bc->ac...", 8), (4,), "axes 'ab...'. Received: one with 1 axes"),
        (("abc,cd->abd", (3, 8)), (None, 4, 4), "axis 'b' has the size 3.*Received"),
        (("ab,bc->ac", 8, 8, None, (2, 3)), (None, 4), "dimension 8.*whose product is 6"),
        (("ab,bc->ac", 8, 8, (2, 4)), (None, 12), "dimension 12.*whose product is 8"),
    ],
)
def test_what_does_not_fit_the_input_is_refused_by_build(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        TTEinsumDense(*arguments).build(shape)


def test_bias_axes_need_a_size():
    layer = TTEinsumDense("abc,cd->abd", (None, 8), bias_axes="bd")
    with pytest.raises(ValueError, match="known sizes of the axes 'cbd'"):
        layer.build((None, None, 4))


def test_the_input_is_checked():
    layer = TTEinsumDense("abc,bd->adc", (4, None), 2)
    layer(np.ones((2, 6, 3), "float32"))
    with pytest.raises(ValueError, match="expected axis 1 of input shape to have value 6"):
        layer(np.ones((2, 8, 3), "float32"))
    with pytest.raises(ValueError, match="expected ndim=3"):
        layer(np.ones((2, 6), "float32"))


@pytest.mark.parametrize("tolerance", [0.05, 0.6])
def test_from_dense_stays_within_the_tolerance(tolerance):
    twin = built_twin("abc,dce->abde", (None, 4, 3), (None, 5, 12))
    layer = TTEinsumDense.from_dense(twin, tolerance=tolerance, input_modes=(3, 4))
    kernel = twin.kernel.numpy().transpose(1, 0, 2).reshape(12, 12)
    error = np.linalg.norm(layer.to_dense() - kernel) / np.linalg.norm(kernel)
    assert error <= tolerance + 1e-6
    assert layer.input_modes == (3, 4)


def test_from_dense_takes_over_what_the_layer_was_made_with():
    twin = built_twin(
        "abc,cde->abde",
        (None, 2, 3),
        (None, None, 6),
        bias_axes="de",
        activation="tanh",
        kernel_initializer="he_normal",
        bias_regularizer="l2",
        activity_regularizer="l1",
        bias_constraint="non_neg",
        dtype="mixed_bfloat16",
        trainable=False,
    )
    before = twin.get_weights()
    layer = TTEinsumDense.from_dense(twin, ranks=2, rank_regularizer="l1")
    ours, theirs = layer.get_config(), twin.get_config()
    assert ours["core_initializer"] == theirs["kernel_initializer"]
    shared = set(ours) & set(theirs)
    assert {"equation", "output_shape", "bias_axes", "name", "trainable"} <= shared
    for name in shared:
        assert ours[name] == theirs[name], name
    assert ours["rank_regularizer"] is not None
    for old, now in zip(before, twin.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


def test_from_dense_refuses_other_layers():
    unbuilt = keras.layers.EinsumDense("ab,bc->ac", 4)
    for layer in (unbuilt, keras.layers.Dense(4), None):
        with pytest.raises(ValueError, match=r"Expected a built `keras.layers.EinsumDense`"):
            TTEinsumDense.from_dense(layer)
    with pytest.raises(ValueError, match="one matrix for all rows"):
        TTEinsumDense.from_dense(built_twin("abc,bcd->abd", (3, 4), (2, 3, 5)))
    quantized = built_twin("ab,bc->ac", 8, (None, 8))
    quantized.quantize("int8")
    with pytest.raises(ValueError, match="quantized to 'int8'"):
        TTEinsumDense.from_dense(quantized)


def test_the_kernel_starts_with_the_variance_of_the_twin():
    layer = TTEinsumDense("abc,cde->abde", (None, 8, 16), 8)
    layer.build((None, None, 64))
    twin = built_twin("abc,cde->abde", (None, 8, 16), (None, None, 64))
    ours, theirs = np.mean(layer.to_dense() ** 2), np.mean(twin.kernel.numpy() ** 2)
    assert ours == pytest.approx(theirs, rel=0.1)
