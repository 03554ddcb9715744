import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras.src import testing

from dart_keras.layers import TTEmbedding

RNG = np.random.default_rng(0)


def equivalent_of(layer, kind=keras.layers.ReversibleEmbedding):
    equivalent = kind(
        layer.input_dim, layer.output_dim, mask_zero=layer.mask_zero, dtype=layer.dtype_policy
    )
    equivalent.build()
    equivalent.set_weights([layer.to_dense()])
    return equivalent


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


@given(
    st.sampled_from([(7, 5), (12, 10), (1, 4), (4, 1), (16, 16), (30, 11)]),
    st.integers(1, 5),
    st.lists(st.integers(0, 3), max_size=3),
)
def test_outputs_match_keras_in_both_directions(dims, ranks, shape):
    layer = TTEmbedding(*dims, ranks)
    ids = RNG.integers(0, dims[0], shape)
    outputs = layer(ids)
    for kind in (keras.layers.Embedding, keras.layers.ReversibleEmbedding):
        np.testing.assert_allclose(outputs, equivalent_of(layer, kind)(ids), atol=1e-6)
    hidden = RNG.normal(size=(2, *shape, dims[1])).astype("float32")
    logits = layer(hidden, reverse=True)
    np.testing.assert_allclose(logits, equivalent_of(layer)(hidden, reverse=True), atol=1e-5)
    assert layer.compute_output_shape(hidden.shape, reverse=True) == logits.shape
    assert layer.compute_output_shape(tuple(shape)) == outputs.shape
    symbolic = layer(keras.KerasTensor((None, *shape), dtype="int32"))
    assert symbolic.shape == (None, *shape, dims[1])
    symbolic = layer(keras.KerasTensor((None, *shape, dims[1])), reverse=True)
    assert symbolic.shape == (None, *shape, dims[0])


@pytest.mark.parametrize("modes", [{"input_modes": (5, 3, 2)}, {"output_modes": (11,)}])
def test_given_modes(modes):
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
def test_modes_larger_than_the_dimensions(modes):
    layer = TTEmbedding(23, 11, 4, *modes)
    ids = np.arange(23)
    assert layer(ids).shape == (23, 11)
    assert layer.to_dense().shape == (23, 11)
    np.testing.assert_allclose(layer(ids), layer.to_dense(), atol=1e-6)
    hidden = RNG.normal(size=(2, 3, 11)).astype("float32")
    logits = layer(hidden, reverse=True)
    np.testing.assert_allclose(logits, equivalent_of(layer)(hidden, reverse=True), atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 23\)"):
        layer(np.array([23]))


@pytest.mark.parametrize(
    "modes", [((30, 40), (6, 8)), ((40, 30), (48, 1)), ((10, 12, 10), (4, 3, 4))]
)
@pytest.mark.parametrize("rank", [2, 24])
def test_training_with_many_ids_matches_a_dense_table(modes, rank):
    layer = TTEmbedding(1190, 47, rank, *modes)
    layer.build()
    ids = np.minimum(RNG.geometric(0.01, (20, 60)), 1189).astype("int32")
    targets = RNG.normal(size=(20, 60, 47)).astype("float32")

    def losses(training):
        # The plan and gradient for training need the training argument.
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


def test_plans_depend_on_the_ranks():
    layer = TTEmbedding(1000, 64, 16, (10, 10, 10))
    with pytest.raises(ValueError, match="built layer"):
        layer.lookup_plan(64)
    layer.build()
    assert layer.lookup_plan(64).ranks == (1, 16, 16, 1)
    assert layer.contraction_plan(64).network.output_modes == layer.input_modes
    layer.truncate(2)
    assert layer.lookup_plan().ranks == (1, 2, 2, 1)


def masked_equivalents(final):
    layer = TTEmbedding(20, 6, 3, mask_zero=True)
    layer.build()
    return layer, [
        keras.Sequential([keras.Input((5,), dtype="int32"), first, final])
        for first in (layer, equivalent_of(layer), equivalent_of(layer, keras.layers.Embedding))
    ]


PADDED = np.array([[3, 4, 5, 0, 0], [7, 0, 0, 0, 0], [1, 2, 3, 4, 5]])


def test_recurrent_layer_masks_padding():
    layer, (ours, *theirs) = masked_equivalents(keras.layers.LSTM(4))
    for equivalent in theirs:
        np.testing.assert_allclose(ours(PADDED), equivalent(PADDED), atol=1e-6)
        np.testing.assert_allclose(
            ours.predict(PADDED, verbose=0), equivalent.predict(PADDED, verbose=0), atol=1e-6
        )
    unmasked = keras.Sequential([TTEmbedding.from_dense(equivalent_of(layer)), ours.layers[-1]])
    unmasked.layers[0].mask_zero = False
    assert np.abs(np.asarray(unmasked(PADDED) - ours(PADDED)))[0].max() > 1e-5


def test_loss_masks_padding():
    _, (ours, *theirs) = masked_equivalents(keras.layers.Dense(1))
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


def test_tied_table_has_gradients_from_both_directions():
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


def test_training_with_xla_matches_training_without():
    losses = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((5,), dtype="int32"), TTEmbedding(20, 4, 3)])
        model.compile("adam", "mse", jit_compile=jit_compile)
        history = model.fit(PADDED, np.ones((3, 5, 4)), epochs=3, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


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
def test_invalid_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        TTEmbedding(*arguments)
