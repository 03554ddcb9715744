import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras.src import testing

from dart_keras.layers import TTEmbedding

RNG = np.random.default_rng(0)


def twin_of(layer, kind=keras.layers.ReversibleEmbedding):
    twin = kind(
        layer.input_dim, layer.output_dim, mask_zero=layer.mask_zero, dtype=layer.dtype_policy
    )
    twin.build()
    twin.set_weights([layer.to_dense()])
    return twin


class TTEmbeddingTest(testing.TestCase):
    def test_keras_layer(self):
        for shape, dtype in (((2,), "int32"), ((2, 3), "int32"), ((2, 3, 2), "int64")):
            self.run_layer_test(
                TTEmbedding,
                init_kwargs={
                    "input_dim": 12,
                    "output_dim": 10,
                    "ranks": 3,
                    "rank_regularizer": "l2",
                },
                input_data=RNG.integers(0, 12, shape).astype(dtype),
                expected_output_shape=(*shape, 10),
                expected_num_trainable_weights=2,
                expected_num_non_trainable_weights=0,
                expected_num_seed_generators=0,
                expected_num_losses=2,
                supports_masking=False,
            )

    def test_keras_layer_with_a_mask(self):
        self.run_layer_test(
            TTEmbedding,
            init_kwargs={
                "input_dim": 12,
                "output_dim": 12,
                "ranks": (2, 3),
                "input_modes": (2, 3, 2),
                "output_modes": (3, 2, 2),
                "mask_zero": True,
            },
            input_data=RNG.integers(0, 12, (2, 3)),
            expected_output_shape=(2, 3, 12),
            expected_num_trainable_weights=3,
            expected_num_losses=0,
            supports_masking=True,
        )

    def test_keras_layer_in_reverse(self):
        for shape in ((2, 10), (2, 3, 10)):
            self.run_layer_test(
                TTEmbedding,
                init_kwargs={"input_dim": 12, "output_dim": 10, "ranks": 3},
                input_data=RNG.normal(size=shape).astype("float32"),
                call_kwargs={"reverse": True},
                expected_output_shape=(*shape[:-1], 12),
                expected_num_trainable_weights=2,
                # Keras passes no call arguments in these two.
                run_training_check=False,
                run_mixed_precision_check=False,
            )


def test_arguments_and_defaults_are_those_of_the_embeddings_of_keras():
    ours = inspect.signature(TTEmbedding).parameters
    # Of the table as a whole, or of a table in another form.
    left_out = {"embeddings_regularizer", "embeddings_constraint", "weights", "lora_rank"}
    left_out |= {"lora_alpha", "quantization_config", "tie_weights", "reverse_dtype"}
    left_out |= {"logit_soft_cap"}
    for twin in (keras.layers.Embedding, keras.layers.ReversibleEmbedding):
        theirs = inspect.signature(twin).parameters
        for name, parameter in theirs.items():
            if name not in left_out:
                assert ours[name].default == parameter.default, name
        assert list(ours)[:2] == list(theirs)[:2]
    added = {"ranks", "input_modes", "output_modes", "rank_regularizer"}
    assert set(ours) - set(theirs) == added


@given(
    st.sampled_from([(7, 5), (12, 10), (1, 4), (4, 1), (16, 16), (30, 11)]),
    st.integers(1, 5),
    st.lists(st.integers(0, 3), max_size=3),
)
def test_outputs_are_those_of_the_twins_both_ways(dims, ranks, shape):
    layer = TTEmbedding(*dims, ranks)
    ids = RNG.integers(0, dims[0], shape)
    outputs = layer(ids)
    for kind in (keras.layers.Embedding, keras.layers.ReversibleEmbedding):
        np.testing.assert_allclose(outputs, twin_of(layer, kind)(ids), atol=1e-6)
    hidden = RNG.normal(size=(2, *shape, dims[1])).astype("float32")
    logits = layer(hidden, reverse=True)
    np.testing.assert_allclose(logits, twin_of(layer)(hidden, reverse=True), atol=1e-5)
    assert layer.compute_output_shape(hidden.shape, reverse=True) == logits.shape
    assert layer.compute_output_shape(tuple(shape)) == outputs.shape
    symbolic = layer(keras.KerasTensor((None, *shape), dtype="int32"))
    assert symbolic.shape == (None, *shape, dims[1])
    symbolic = layer(keras.KerasTensor((None, *shape, dims[1])), reverse=True)
    assert symbolic.shape == (None, *shape, dims[0])


@pytest.mark.parametrize("modes", [{"input_modes": (5, 3, 2)}, {"output_modes": (11,)}])
def test_modes_of_the_user(modes):
    layer = TTEmbedding(30, 11, 4, **modes)
    ids = np.arange(30)
    np.testing.assert_allclose(layer(ids), layer.to_dense(), atol=1e-6)


PADDED_MODES = [
    ((5, 5), (3, 4)),
    ((5, 6), (11, 1)),
    ((2, 4, 3), (2, 3, 2)),
    ((23, 1), (1, 12)),
]


@pytest.mark.parametrize("modes", PADDED_MODES)
def test_modes_of_more_than_the_dimensions(modes):
    layer = TTEmbedding(23, 11, 4, *modes)
    ids = np.arange(23)
    assert layer(ids).shape == (23, 11)
    assert layer.to_dense().shape == (23, 11)
    np.testing.assert_allclose(layer(ids), layer.to_dense(), atol=1e-6)
    hidden = RNG.normal(size=(2, 3, 11)).astype("float32")
    logits = layer(hidden, reverse=True)
    np.testing.assert_allclose(logits, twin_of(layer)(hidden, reverse=True), atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 23\)"):
        layer(np.array([23]))


def test_from_dense_with_padding_is_exact():
    twin = keras.layers.Embedding(23, 11)
    twin.build()
    layer = TTEmbedding.from_dense(twin, input_modes=(5, 5), output_modes=(3, 4))
    np.testing.assert_allclose(layer.to_dense(), twin.embeddings.numpy(), atol=1e-7)
    table = twin.embeddings.numpy()
    layer = TTEmbedding.from_dense(twin, tolerance=0.3, input_modes=(5, 5), output_modes=(3, 4))
    assert np.linalg.norm(layer.to_dense() - table) <= 0.3 * np.linalg.norm(table) + 1e-6


@pytest.mark.parametrize(
    "modes", [((30, 40), (6, 8)), ((40, 30), (48, 1)), ((10, 12, 10), (4, 3, 4))]
)
@pytest.mark.parametrize("rank", [2, 24])
def test_many_ids_train_the_cores_as_they_train_a_table(modes, rank):
    layer = TTEmbedding(1190, 47, rank, *modes)
    layer.build()
    ids = np.minimum(RNG.geometric(0.01, (20, 60)), 1189).astype("int32")
    targets = RNG.normal(size=(20, 60, 47)).astype("float32")

    def losses(training):
        # Only with training are the plan and the gradient those of training.
        for core, value in zip(layer.cores, start, strict=True):
            core.assign(value)
        found = []
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((layer(ids, training=training) - targets) ** 2)
            found.append(float(loss))
            for core, gradient in zip(
                layer.cores, tape.gradient(loss, [c.value for c in layer.cores]), strict=True
            ):
                core.assign_sub(0.5 * tf.convert_to_tensor(gradient))
        return found

    start = [core.numpy() for core in layer.cores]
    assert len({str(layer.lookup_plan(1200, training)) for training in (True, False)}) == 2
    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-4)


def test_plans_follow_the_ranks():
    layer = TTEmbedding(1000, 64, 16, (10, 10, 10))
    with pytest.raises(ValueError, match="built layer"):
        layer.lookup_plan(64)
    layer.build()
    assert layer.lookup_plan(64).ranks == (1, 16, 16, 1)
    assert layer.contraction_plan(64).network.output_modes == layer.input_modes
    layer.truncate(2)
    assert layer.lookup_plan().ranks == (1, 2, 2, 1)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "float32"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_ids_of_any_dtype_keep_their_value(dtype, policy):
    # Of a vocabulary whose ids half precision rounds.
    layer = TTEmbedding(5000, 4, 3, dtype=policy)
    layer.build()
    largest = 100 if dtype.endswith("8") else 4999
    ids = np.array([[0, 1, largest], [largest - 1, 7, 7]], dtype)
    expected = layer.to_dense()[ids.astype("int64")]
    outputs = layer(ids)
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    np.testing.assert_allclose(np.asarray(outputs, "float32"), expected, atol=2e-3)
    model = keras.Sequential([keras.Input((3,), dtype=dtype), layer])
    np.testing.assert_allclose(model.predict(ids, verbose=0), expected, atol=2e-3)


def test_ids_beyond_what_float32_holds():
    layer = TTEmbedding(2**25, 2, 2, input_modes=(2**12, 2**13))
    layer.build()
    tt = layer.to_tt()
    ids = np.array([0, 2**24, 2**24 + 1, 2**25 - 1], "int64")
    first, second = tt.cores
    rows = [
        np.einsum("amb,bnc->mn", first[:, i // 2**13], second[:, i % 2**13]).ravel() for i in ids
    ]
    np.testing.assert_allclose(layer(ids), rows, rtol=1e-4, atol=1e-7)
    assert np.any(np.asarray(layer(ids[1:2])) != np.asarray(layer(ids[2:3])))


def masked_twins(final):
    layer = TTEmbedding(20, 6, 3, mask_zero=True)
    layer.build()
    return layer, [
        keras.Sequential([keras.Input((5,), dtype="int32"), first, final])
        for first in (layer, twin_of(layer), twin_of(layer, keras.layers.Embedding))
    ]


PADDED = np.array([[3, 4, 5, 0, 0], [7, 0, 0, 0, 0], [1, 2, 3, 4, 5]])


def test_padding_is_left_out_by_a_recurrent_layer():
    layer, (ours, *theirs) = masked_twins(keras.layers.LSTM(4))
    for twin in theirs:
        np.testing.assert_allclose(ours(PADDED), twin(PADDED), atol=1e-6)
        np.testing.assert_allclose(
            ours.predict(PADDED, verbose=0), twin.predict(PADDED, verbose=0), atol=1e-6
        )
    unmasked = keras.Sequential([TTEmbedding.from_dense(twin_of(layer)), ours.layers[-1]])
    unmasked.layers[0].mask_zero = False
    assert np.abs(np.asarray(unmasked(PADDED) - ours(PADDED)))[0].max() > 1e-5


def test_padding_is_left_out_of_the_loss():
    _, (ours, *theirs) = masked_twins(keras.layers.Dense(1))
    targets = RNG.normal(size=(3, 5, 1))
    losses = []
    for model in (ours, *theirs):
        model.compile("sgd", "mse")
        losses.append(model.evaluate(PADDED, targets, verbose=0))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    outputs = np.asarray(ours(PADDED))
    errors = np.square(outputs - targets)[..., 0]
    assert losses[0] == pytest.approx(float(errors[PADDED != 0].mean()), rel=1e-5)


def test_no_mask_without_mask_zero_or_in_reverse():
    plain, masked = TTEmbedding(20, 6, 3), TTEmbedding(20, 6, 3, mask_zero=True)
    assert getattr(plain(PADDED), "_keras_mask", None) is None
    np.testing.assert_array_equal(masked(PADDED)._keras_mask, PADDED != 0)
    assert getattr(masked(np.zeros((2, 6), "float32"), reverse=True), "_keras_mask", None) is None


def test_a_tied_table_trains_from_both_ends():
    layer = TTEmbedding(20, 6, 4)
    inputs = keras.Input((5,), dtype="int32")
    model = keras.Model(inputs, layer(layer(inputs), reverse=True))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    losses = model.fit(PADDED, PADDED, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert len(model.trainable_variables) == 2


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_reverse_in_mixed_precision(policy):
    layer = TTEmbedding(12, 10, 3, dtype=policy)
    hidden = RNG.normal(size=(2, 3, 10)).astype("float32")
    logits = layer(hidden, reverse=True)
    assert keras.backend.standardize_dtype(logits.dtype) == layer.compute_dtype
    assert {v.dtype for v in layer.weights} == {"float32"}
    np.testing.assert_allclose(
        np.asarray(logits, "float32"), hidden @ layer.to_dense().T, atol=5e-3
    )


def test_xla():
    layer = TTEmbedding(12, 10, 3)
    ids, hidden = RNG.integers(0, 12, (2, 3)), RNG.normal(size=(2, 3, 10)).astype("float32")
    np.testing.assert_allclose(tf.function(layer, jit_compile=True)(ids), layer(ids), atol=1e-6)
    backwards = tf.function(lambda x: layer(x, reverse=True), jit_compile=True)
    np.testing.assert_allclose(backwards(hidden), layer(hidden, reverse=True), atol=1e-6)


def test_training_under_xla_is_that_without():
    losses = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((5,), dtype="int32"), TTEmbedding(20, 4, 3)])
        model.compile("adam", "mse", jit_compile=jit_compile)
        history = model.fit(PADDED, np.ones((3, 5, 4)), epochs=3, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.parametrize("ids", [[[20, 0]], [[0, -1]]])
def test_ids_out_of_range_are_refused_everywhere(ids):
    ids = np.array(ids)
    layer = TTEmbedding(20, 4, 2, name="table")
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layer])
    model.compile("sgd", "mse", jit_compile=False)
    targets = np.zeros((1, 2, 4))
    for run in (lambda: layer(ids), lambda: layer(ids.astype("float32")), lambda: model(ids)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 20\)"):
            run()
    # In a graph, the lookup itself may be the first to see it.
    for run in (
        lambda: model.predict(ids, verbose=0),
        lambda: model.fit(ids, targets, verbose=0),
        lambda: model.evaluate(ids, targets, verbose=0),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 20\)"):
            run()


def test_ids_out_of_range_are_refused_by_fit_with_the_defaults_of_compile():
    model = keras.Sequential([keras.Input((2,), dtype="int32"), TTEmbedding(20, 4, 2)])
    model.compile("sgd", "mse")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 20\)"):
        model.fit(np.array([[20, 0]]), np.zeros((1, 2, 4)), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4), "`input_dim` to be a positive integer. Received: input_dim=0$"),
        ((4.0, 4), "Received: input_dim=4.0$"),
        ((4, -1), "`output_dim` to be a positive integer. Received: output_dim=-1$"),
        ((4, 4, 0), "Received: ranks=0$"),
        ((4, 4, 2, (2, 4)), "`input_modes` whose product is the dimension 4.*product is 8$"),
        ((4, 4, 2, None, (3, 1)), "`output_modes` whose product is the dimension 4.*is 3$"),
        ((4, 4, 2, (2, 2), (4,)), "same length"),
    ],
)
def test_arguments_that_are_not_valid_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        TTEmbedding(*arguments)


@pytest.mark.parametrize("kind", [keras.layers.Embedding, keras.layers.ReversibleEmbedding])
@pytest.mark.parametrize("modes", [{}, {"input_modes": (2, 3, 5)}, {"output_modes": (10,)}])
def test_from_dense_without_limit_is_exact(kind, modes):
    twin = kind(30, 10, mask_zero=True, name="tokens")
    twin.build()
    layer = TTEmbedding.from_dense(twin, **modes)
    np.testing.assert_allclose(layer.to_dense(), twin.embeddings.numpy(), atol=1e-7)
    np.testing.assert_allclose(layer(np.arange(30)), twin(np.arange(30)), atol=1e-6)
    assert (layer.name, layer.mask_zero) == ("tokens", True)


@pytest.mark.parametrize("tolerance", [0.05, 0.5])
def test_from_dense_stays_within_the_tolerance(tolerance):
    twin = keras.layers.Embedding(30, 10)
    twin.build()
    layer = TTEmbedding.from_dense(twin, tolerance=tolerance)
    table = twin.embeddings.numpy()
    error = np.linalg.norm(layer.to_dense() - table) / np.linalg.norm(table)
    assert error <= tolerance + 1e-6
    assert TTEmbedding.from_dense(twin, ranks=2).ranks == (1, 2, 1)


def test_from_dense_refuses_other_layers():
    untied = keras.layers.ReversibleEmbedding(8, 4, tie_weights=False)
    untied.build()
    for layer in (keras.layers.Embedding(4, 4), keras.layers.Dense(4), untied):
        with pytest.raises(ValueError, match=r"with tied weights"):
            TTEmbedding.from_dense(layer)


@pytest.mark.parametrize("arguments", [{"logit_soft_cap": 1.0}, {"reverse_dtype": "float32"}])
def test_from_dense_refuses_what_it_cannot_take_over(arguments):
    table = keras.layers.ReversibleEmbedding(10, 8, **arguments)
    table.build()
    with pytest.raises(ValueError, match="without `logit_soft_cap`"):
        TTEmbedding.from_dense(table)
