import re

import keras
import numpy as np
import pytest

import dart_keras as dk
from dart_keras.compression import candidates, compress
from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding, TTLayer
from dart_keras.layers.replacement import REPLACEMENTS, looks_up_rows, replacement_for

RNG = np.random.default_rng(0)


def dense(**arguments):
    layer = keras.layers.Dense(10, **{"bias_initializer": "normal", **arguments})
    layer.build((None, 12))
    return layer


def einsum_dense(**arguments):
    arguments = {"bias_axes": "de", "bias_initializer": "normal", **arguments}
    layer = keras.layers.EinsumDense("abc,dce->abde", (None, 4, 3), **arguments)
    layer.build((None, None, 12))
    return layer


def embedding(kind=keras.layers.Embedding, **arguments):
    layer = kind(30, 10, **arguments)
    layer.build()
    return layer


def reversible(**arguments):
    return embedding(keras.layers.ReversibleEmbedding, **arguments)


TWINS = [
    (TTDense, dense),
    (TTEinsumDense, einsum_dense),
    (TTEmbedding, embedding),
    (TTEmbedding, reversible),
]

# With input and output modes larger than the dimensions.
PADDED = {
    TTDense: ((4, 4), (3, 4)),
    TTEinsumDense: ((4, 4), (7, 2)),
    TTEmbedding: ((5, 7), (3, 4)),
}


def matrix_of(layer):
    """Return the matrix that the cores should represent."""
    if isinstance(layer, keras.layers.Embedding):
        return layer.embeddings.numpy()
    if isinstance(layer, keras.layers.EinsumDense):
        return layer.kernel.numpy().transpose(1, 0, 2).reshape(12, 12)
    return layer.kernel.numpy()


def batch_for(layer):
    if isinstance(layer, keras.layers.Embedding):
        return np.arange(30).reshape(5, 6)
    return RNG.normal(size=(2, 5, 12)).astype("float32")


def test_a_class_that_replaces_layers_must_say_how():
    with pytest.raises(TypeError, match=r"define `build_like`. Received: Half"):
        type("Half", (TTLayer,), {"replaces": (keras.layers.Conv3D,)})
    assert keras.layers.Conv3D not in REPLACEMENTS


def test_a_layer_takes_a_matrix_with_its_padding():
    dense = keras.layers.Dense(5)
    dense.build((None, 7))
    layer = TTDense.from_dense(dense, input_modes=(3, 3), output_modes=(2, 3))
    np.testing.assert_allclose(layer.to_dense(), dense.kernel, atol=1e-6)
    padded = layer.to_tt().to_dense()
    assert padded.shape == (9, 6)
    np.testing.assert_allclose(padded[7:], 0, atol=1e-6)
    np.testing.assert_allclose(padded[:, 5:], 0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "build", "arguments", "modes"),
    [
        *((kind, build, {}, (None, None)) for kind, build in TWINS),
        *((kind, build, {}, PADDED[kind]) for kind, build in TWINS),
        (TTDense, dense, {}, ((2, 3, 2), None)),
        (TTDense, dense, {}, ((12, 1), None)),
        (TTDense, dense, {"use_bias": False}, (None, (10,))),
        (TTEinsumDense, einsum_dense, {"bias_axes": None}, ((3, 4), None)),
        (TTEmbedding, embedding, {}, ((2, 3, 5), None)),
        (TTEmbedding, reversible, {}, (None, (10,))),
    ],
)
def test_without_a_limit_from_dense_is_exact(kind, build, arguments, modes):
    equivalent = build(**arguments)
    before = equivalent.get_weights()
    layer = kind.from_dense(equivalent, None, None, *modes)
    np.testing.assert_allclose(layer.to_dense(), matrix_of(equivalent), atol=1e-6)
    batch = batch_for(equivalent)
    np.testing.assert_allclose(layer(batch), equivalent(batch), atol=1e-5)
    assert modes[0] in (None, layer.input_modes)
    assert modes[1] in (None, layer.output_modes)
    for old, now in zip(before, equivalent.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


@pytest.mark.parametrize("modes", [(None, None), PADDED[TTEmbedding]])
def test_reversible_table_projects_back(modes):
    equivalent = reversible()
    equivalent.set_weights([RNG.normal(size=(30, 10))])
    layer = TTEmbedding.from_dense(equivalent, None, None, *modes)
    hidden = RNG.normal(size=(2, 6, 10)).astype("float32")
    np.testing.assert_allclose(
        layer(hidden, reverse=True), equivalent(hidden, reverse=True), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(("kind", "build"), TWINS)
@pytest.mark.parametrize("tolerance", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("padded", [False, True])
def test_error_is_within_the_tolerance(kind, build, tolerance, padded):
    equivalent = build()
    modes = PADDED[kind] if padded else (None, None)
    layer = kind.from_dense(equivalent, None, tolerance, *modes)
    matrix = matrix_of(equivalent)
    error = np.linalg.norm(layer.to_dense() - matrix) / np.linalg.norm(matrix)
    assert error <= tolerance + 1e-6


def test_ranks_give_the_best_approximation():
    equivalent = dense()
    layer = TTDense.from_dense(equivalent, ranks=3, input_modes=(12, 1), output_modes=(1, 10))
    u, s, vh = np.linalg.svd(equivalent.kernel.numpy())
    assert layer.ranks == (1, 3, 1)
    np.testing.assert_allclose(layer.to_dense(), (u[:, :3] * s[:3]) @ vh[:3], atol=1e-5)


@pytest.mark.parametrize(("kind", "build"), TWINS)
def test_ranks_are_at_most_the_given_ones(kind, build):
    assert kind.from_dense(build(), ranks=2).ranks == (1, 2, 1)


KERNEL_ARGUMENTS = {
    "activation": "tanh",
    "kernel_initializer": "he_normal",
    "bias_regularizer": "l2",
    "activity_regularizer": "l1",
    "bias_constraint": "non_neg",
}


@pytest.mark.parametrize(
    ("kind", "build", "arguments"),
    [
        (TTDense, dense, KERNEL_ARGUMENTS),
        (TTEinsumDense, einsum_dense, KERNEL_ARGUMENTS),
        (TTEmbedding, embedding, {"embeddings_initializer": "normal", "mask_zero": True}),
        (TTEmbedding, reversible, {"embeddings_initializer": "normal", "mask_zero": True}),
    ],
)
def test_arguments_of_the_layer_are_copied(kind, build, arguments):
    equivalent = build(**arguments, name="projection", dtype="mixed_bfloat16", trainable=False)
    layer = kind.from_dense(equivalent, ranks=2, rank_regularizer="l1")
    ours, theirs = layer.get_config(), equivalent.get_config()
    if "kernel_initializer" in theirs:
        theirs["core_initializer"] = theirs.pop("kernel_initializer")
    shared = set(ours) & set(theirs)
    renamed = {name.replace("kernel", "core") for name in arguments}
    assert {*renamed, "name", "dtype", "trainable"} <= shared
    for name in shared:
        assert ours[name] == theirs[name], name
    assert ours["rank_regularizer"] is not None


@pytest.mark.parametrize(
    ("kind", "unbuilt"),
    [
        (TTDense, keras.layers.Dense(4)),
        (TTEinsumDense, keras.layers.EinsumDense("ab,bc->ac", 4)),
        (TTEmbedding, keras.layers.Embedding(4, 4)),
        (TTEmbedding, keras.layers.ReversibleEmbedding(4, 4)),
    ],
)
def test_other_layers_are_refused(kind, unbuilt):
    equivalent = kind.__name__.removeprefix("TT")
    for layer in (unbuilt, embedding() if kind is TTDense else dense(), None):
        received = re.escape(f"Received: {layer!r}")
        with pytest.raises(ValueError, match=f"a built `{equivalent}`.*{received}$"):
            kind.from_dense(layer)


def test_a_class_that_replaces_nothing_says_so():
    with pytest.raises(ValueError, match="names the Keras layers it `replaces`") as error:
        TTLayer.from_dense(dense())
    assert str(error.value).endswith("Received: TTLayer, which names none")


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"tie_weights": False}, "tie_weights=False"),
        ({"logit_soft_cap": 30.0}, "logit_soft_cap=30.0"),
        ({"reverse_dtype": "float16"}, "reverse_dtype='float16'"),
    ],
)
def test_embedding_with_further_options_is_refused(arguments, received):
    equivalent = reversible(name="tokens", **arguments)
    message = f"tied weights and without `logit_soft_cap`.*Received: .*name=tokens.*, {received}$"
    with pytest.raises(ValueError, match=message):
        TTEmbedding.from_dense(equivalent)


@pytest.mark.parametrize(("kind", "build"), TWINS)
def test_quantized_weights_are_refused(kind, build):
    equivalent = build()
    equivalent.quantize("int8")
    with pytest.raises(ValueError, match="quantized to 'int8'"):
        kind.from_dense(equivalent)


def test_ranks_and_a_tolerance_together_are_refused():
    with pytest.raises(ValueError, match="not both"):
        TTDense.from_dense(dense(), ranks=2, tolerance=0.1)


def test_kernel_of_several_matrices_is_refused():
    equivalent = keras.layers.EinsumDense("abc,bcd->abd", (3, 4))
    equivalent.build((2, 3, 5))
    with pytest.raises(ValueError, match="one matrix for all rows"):
        TTEinsumDense.from_dense(equivalent)


@pytest.fixture
def registry():
    """The registry, as it was before the test afterwards."""
    before = dict(REPLACEMENTS)
    yield REPLACEMENTS
    REPLACEMENTS.clear()
    REPLACEMENTS.update(before)


class DenseOfItsOwn(keras.layers.Dense):
    """A layer that computes something else than a `Dense`."""

    def call(self, inputs):
        return 2 * super().call(inputs)


class DenseByAnotherName(keras.layers.Dense):
    pass


@pytest.mark.parametrize(
    ("layer", "replacement"),
    [
        (keras.layers.Dense(3), TTDense),
        (DenseByAnotherName(3), TTDense),
        (DenseOfItsOwn(3), None),
        (keras.layers.EinsumDense("ab,bc->ac", 3), TTEinsumDense),
        (keras.layers.Embedding(3, 2), TTEmbedding),
        (keras.layers.ReversibleEmbedding(3, 2), TTEmbedding),
        (keras.layers.Conv2D(3, 2), None),
        (TTDense(3), None),
    ],
)
def test_which_layer_stands_for_which(layer, replacement):
    assert replacement_for(layer) is replacement


def test_tables_are_known():
    assert looks_up_rows(TTEmbedding(4, 3))
    assert looks_up_rows(keras.layers.Embedding(4, 3))
    assert not looks_up_rows(TTDense(3))
    assert not looks_up_rows(keras.layers.Dense(3))


def test_a_subclass_says_for_itself_what_it_replaces_and_whether_it_is_quantizable(registry):
    class Wider(TTDense):
        pass

    assert replacement_for(keras.layers.Dense(3)) is TTDense
    assert TTDense.quantizable
    assert not Wider.quantizable
    assert isinstance(Wider.from_dense(dense()), Wider)

    class Other(TTDense):
        replaces = (keras.layers.Dense,)
        quantizable = True

    assert replacement_for(keras.layers.Dense(3)) is Other
    assert Other.quantizable
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, name="only")])
    small, _ = compress(model, dk.budgets.Parameters(2000))
    assert type(small.get_layer("only")) is Other


def test_a_layer_that_is_refused_stays_with_the_reason(registry):
    class Picky(TTDense):
        replaces = (keras.layers.Dense,)

        @classmethod
        def check_replaceable(cls, layer):
            super().check_replaceable(layer)
            if layer.use_bias:
                raise ValueError(f"Expected no bias. Received: {layer!r}")

    stack = [keras.layers.Dense(8, name="a"), keras.layers.Dense(8, use_bias=False, name="b")]
    found = candidates(keras.Sequential([keras.Input((8,)), *stack]))
    assert [each.reason for each in found] == ["Expected no bias.", None]


def test_a_layer_like_another_has_other_weights():
    layer = dense(use_bias=False, activation="relu", name="like")
    matrix = RNG.normal(size=(12, 10)).astype("float32")
    bias = RNG.normal(size=10).astype("float32")
    new = TTDense.dense_like(layer, matrix, bias)
    assert (type(new), new.name, new.activation) == (keras.layers.Dense, "like", layer.activation)
    np.testing.assert_array_equal(TTDense.dense_matrix(new), matrix)
    np.testing.assert_array_equal(TTDense.dense_bias(new), bias)
    assert TTDense.dense_bias(layer) is None
