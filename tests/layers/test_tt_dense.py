import inspect
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras.src import testing

from dart_keras.layers import TTDense
from dart_keras.regularizers import NuclearNorm

RNG = np.random.default_rng(0)


def twin_of(layer):
    """A `keras.layers.Dense` with the kernel that the cores make."""
    twin = keras.layers.Dense(
        layer.units,
        activation=layer.activation,
        use_bias=layer.use_bias,
        dtype=layer.dtype_policy,
    )
    kernel = layer.to_dense()
    twin.build((None, kernel.shape[0]))
    twin.set_weights([kernel, layer.bias.numpy()] if layer.use_bias else [kernel])
    return twin


class TTDenseTest(testing.TestCase):
    def test_keras_layer(self):
        for contraction, shape in itertools.product(
            ("auto", "left_to_right", "rebuild"), ((2, 12), (2, 3, 2, 12))
        ):
            self.run_layer_test(
                TTDense,
                init_kwargs={
                    "units": 10,
                    "ranks": 3,
                    "activation": "relu",
                    "contraction": contraction,
                    "rank_regularizer": "l2",
                    "bias_regularizer": "l2",
                    "activity_regularizer": "l2",
                    "bias_constraint": "max_norm",
                },
                input_shape=shape,
                expected_output_shape=(*shape[:-1], 10),
                expected_num_trainable_weights=3,
                expected_num_non_trainable_weights=0,
                expected_num_seed_generators=0,
                expected_num_losses=4,
                supports_masking=True,
            )

    def test_keras_layer_with_modes_and_no_bias(self):
        self.run_layer_test(
            TTDense,
            init_kwargs={
                "units": 12,
                "ranks": (1, 2, 3, 1),
                "input_modes": (2, 3, 2),
                "output_modes": (3, 2, 2),
                "use_bias": False,
            },
            input_shape=(4, 12),
            expected_output_shape=(4, 12),
            expected_num_trainable_weights=3,
            expected_num_losses=0,
            supports_masking=True,
        )


def test_arguments_and_defaults_are_those_of_dense():
    theirs = inspect.signature(keras.layers.Dense).parameters
    ours = inspect.signature(TTDense).parameters
    # Of the kernel as a whole, or of another way to make layers small.
    left_out = {"kernel_regularizer", "kernel_constraint", "lora_rank", "lora_alpha"}
    left_out |= {"quantization_config"}
    renamed = {"kernel_initializer": "core_initializer"}
    for name, parameter in theirs.items():
        if name not in left_out:
            assert ours[renamed.get(name, name)].default == parameter.default, name
    assert next(iter(ours)) == next(iter(theirs))
    added = {"ranks", "input_modes", "output_modes", "rank_regularizer", "contraction"}
    assert set(ours) - set(theirs) == added | set(renamed.values())


@given(
    st.sampled_from([(7, 5), (12, 10), (1, 4), (4, 1), (16, 16), (30, 11)]),
    st.integers(1, 5),
    st.lists(st.integers(1, 3), max_size=2),
    st.sampled_from(["left_to_right", "rebuild", "auto"]),
    st.booleans(),
)
def test_outputs_are_those_of_dense(dims, ranks, leading, contraction, use_bias):
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
    np.testing.assert_allclose(outputs, twin_of(layer)(x), atol=1e-5)
    assert layer.compute_output_shape(x.shape) == outputs.shape
    symbolic = layer(keras.KerasTensor((None, *leading, dims[0])))
    assert symbolic.shape == (None, *leading, dims[1])


@pytest.mark.parametrize("modes", [((2, 6), (3, 4)), ((12, 1), (1, 10)), ((2, 3, 2), (2, 2, 3))])
@pytest.mark.parametrize("contraction", ["left_to_right", "rebuild", "auto"])
def test_modes_of_more_than_the_dimensions(modes, contraction):
    layer = TTDense(10, 3, *modes, contraction=contraction, bias_initializer="normal")
    x = RNG.normal(size=(2, 3, 11)).astype("float32")
    outputs = layer(x)
    assert layer.to_dense().shape == (11, 10)
    np.testing.assert_allclose(outputs, twin_of(layer)(x), atol=1e-5)
    assert layer(keras.KerasTensor((None, 11))).shape == (None, 10)


def test_padding_does_not_learn():
    layer = TTDense(5, 9, (9, 1), (1, 6), use_bias=False)
    model = keras.Sequential([keras.Input((7,)), layer])
    model.compile("sgd", "mse")
    padded = layer.cores[0].numpy()[:, 7:], layer.cores[1].numpy()[:, :, 5:]
    model.fit(RNG.normal(size=(16, 7)), RNG.normal(size=(16, 5)), verbose=0)
    np.testing.assert_array_equal(layer.cores[0].numpy()[:, 7:], padded[0])
    np.testing.assert_array_equal(layer.cores[1].numpy()[:, :, 5:], padded[1])


def test_no_operation_pads_where_the_modes_fit():
    def kinds(modes):
        layer = TTDense(10, 3, *modes)
        layer.build((None, 12))
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec((4, 12))).graph
        return {operation.type for operation in graph.get_operations()}

    assert not {"Pad", "PadV2", "StridedSlice", "Slice"} & kinds(((3, 4), (5, 2)))
    assert {"StridedSlice"} <= kinds(((3, 4), (3, 4)))


def test_activations_that_look_at_the_whole_last_axis():
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
        np.testing.assert_allclose(model(x), twin_of(layer)(x), atol=1e-5)
    with pytest.raises(ValueError, match=r"known size. Received: input_shape=\(None, None\)$"):
        TTDense(4)(keras.Input((None,)))


def test_the_input_is_checked_as_that_of_dense():
    layer = TTDense(4, 2)
    layer(np.ones((2, 6), "float32"))
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 6"):
        layer(np.ones((2, 8), "float32"))
    with pytest.raises(ValueError, match="min_ndim=2"):
        TTDense(4)(np.ones(6, "float32"))


def test_a_mask_passes_through():
    x = RNG.normal(size=(3, 5, 8)).astype("float32")
    x[1, 2:] = 0
    layer = TTDense(6, 2, bias_initializer="normal")
    inputs = keras.Input((5, 8))
    masked = keras.layers.Masking()(inputs)
    recurrent = keras.layers.LSTM(4)
    ours = keras.Model(inputs, recurrent(layer(masked)))
    theirs = keras.Model(inputs, recurrent(twin_of(layer)(masked)))
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)
    changed = x.copy()
    masked_out = layer(masked)._keras_mask
    assert masked_out.shape == (None, 5)
    # What is masked has no say: the LSTM does not see the bias there.
    shorter = keras.Sequential([layer, recurrent])(changed[1:2, :2])
    np.testing.assert_allclose(ours(x)[1:2], shorter, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
@pytest.mark.parametrize("contraction", ["left_to_right", "rebuild"])
def test_dtypes(policy, contraction):
    layer = TTDense(10, 3, dtype=policy, contraction=contraction)
    x = RNG.normal(size=(4, 12))
    outputs = layer(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    assert {v.dtype for v in layer.weights} == {layer.variable_dtype}
    assert layer.to_dense().dtype == layer.variable_dtype
    expected = x @ layer.to_dense().astype("float64")
    tolerance = {"float64": 1e-12}.get(policy, 0.05)
    np.testing.assert_allclose(np.asarray(outputs, "float64"), expected, atol=tolerance)


@pytest.mark.parametrize("contraction", ["left_to_right", "rebuild"])
def test_xla(contraction):
    layer = TTDense(10, (2, 3), (2, 3, 2), (5, 2, 1), contraction=contraction)
    x = RNG.normal(size=(4, 3, 12)).astype("float32")
    compiled = tf.function(layer, jit_compile=True)
    np.testing.assert_allclose(compiled(x), layer(x), atol=1e-5)


def test_training_under_xla_is_that_without():
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


def test_auto_takes_the_contraction_that_is_cheaper_for_the_batch():
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
        ({"units": 8, "contraction": "einsum"}, "Received: contraction='einsum'"),
        ({"units": 8, "output_modes": (2, 3)}, "dimension 8.*whose product is 6"),
        ({"units": 8, "output_modes": (4, 4)}, "less than 16.*whose product is 16"),
        ({"units": 8, "output_modes": (2, -4)}, "positive integers. Received: output_modes"),
        ({"units": 8, "input_modes": (2.0, 4)}, "positive integers. Received: input_modes"),
        ({"units": 8, "input_modes": (2, 2), "output_modes": (8,)}, "same length"),
        ({"units": 8, "ranks": 0}, "positive integer .*Received: ranks=0"),
        ({"units": 8, "ranks": (2, 1.5)}, r"Received: ranks=\(2, 1.5\)"),
    ],
)
def test_arguments_that_are_not_valid_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        TTDense(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_modes": (2, 4)}, "dimension 12.*whose product is 8$"),
        ({"ranks": (2, 2)}, r"2 cores.*Received: ranks=\(2, 2\)$"),
    ],
)
def test_arguments_that_do_not_fit_the_input_are_refused_by_build(arguments, message):
    with pytest.raises(ValueError, match=message):
        TTDense(8, **arguments).build((None, 12))


def dense_layer(**arguments):
    layer = keras.layers.Dense(
        10, "tanh", bias_initializer="normal", name="classifier", **arguments
    )
    layer.build((None, 12))
    return layer


@pytest.mark.parametrize(
    "modes", [{}, {"input_modes": (2, 3, 2)}, {"output_modes": (10,)}, {"input_modes": (12, 1)}]
)
@pytest.mark.parametrize("use_bias", [True, False])
def test_from_dense_without_limit_is_exact(modes, use_bias):
    dense = dense_layer(use_bias=use_bias)
    weights = dense.get_weights()
    layer = TTDense.from_dense(dense, **modes)
    np.testing.assert_allclose(layer.to_dense(), dense.kernel.numpy(), atol=1e-6)
    x = RNG.normal(size=(5, 12)).astype("float32")
    np.testing.assert_allclose(layer(x), dense(x), atol=1e-5)
    for before, after in zip(weights, dense.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_from_dense_with_padding_is_exact():
    dense = dense_layer()
    layer = TTDense.from_dense(dense, input_modes=(4, 4), output_modes=(3, 4))
    np.testing.assert_allclose(layer.to_dense(), dense.kernel.numpy(), atol=1e-6)
    x = RNG.normal(size=(5, 12)).astype("float32")
    np.testing.assert_allclose(layer(x), dense(x), atol=1e-5)


@pytest.mark.parametrize("tolerance", [0.05, 0.3, 0.6])
def test_from_dense_stays_within_the_tolerance(tolerance):
    dense = dense_layer()
    layer = TTDense.from_dense(dense, tolerance=tolerance, input_modes=(2, 3, 2))
    kernel = dense.kernel.numpy()
    error = np.linalg.norm(layer.to_dense() - kernel) / np.linalg.norm(kernel)
    assert error <= tolerance + 1e-6


def test_from_dense_to_ranks_is_the_best_of_these_ranks():
    dense = dense_layer()
    layer = TTDense.from_dense(dense, ranks=3, input_modes=(12, 1), output_modes=(1, 10))
    u, s, vh = np.linalg.svd(dense.kernel.numpy())
    assert layer.ranks == (1, 3, 1)
    np.testing.assert_allclose(layer.to_dense(), (u[:, :3] * s[:3]) @ vh[:3], atol=1e-5)


def test_from_dense_takes_over_what_the_layer_was_made_with():
    dense = dense_layer(
        kernel_initializer="he_normal",
        bias_regularizer="l2",
        activity_regularizer="l1",
        bias_constraint="non_neg",
        dtype="mixed_bfloat16",
        trainable=False,
    )
    layer = TTDense.from_dense(dense, ranks=2, rank_regularizer="l1")
    ours, theirs = layer.get_config(), dense.get_config()
    assert ours["core_initializer"] == theirs["kernel_initializer"]
    for name in set(ours) & set(theirs) - {"ranks"}:
        assert ours[name] == theirs[name], name
    assert ours["rank_regularizer"] is not None


def test_from_dense_refuses_other_layers():
    for layer in (keras.layers.Dense(4), keras.layers.Embedding(4, 4), None):
        with pytest.raises(ValueError, match=r"Expected a built `keras.layers.Dense`. Received: "):
            TTDense.from_dense(layer)
    with pytest.raises(ValueError, match="not both"):
        TTDense.from_dense(dense_layer(), ranks=2, tolerance=0.1)


def test_from_dense_refuses_quantized_weights():
    dense = keras.layers.Dense(8)
    dense.build((None, 8))
    dense.quantize("int8")
    with pytest.raises(ValueError, match="quantized to 'int8'"):
        TTDense.from_dense(dense)
