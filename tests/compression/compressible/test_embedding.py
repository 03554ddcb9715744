import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from dart_keras.compression.compressible.dense import shapes_of, two_core_factorizations
from dart_keras.compression.compressible.embedding import CompressibleEmbedding, Frequencies
from dart_keras.layers import TTEmbedding
from dart_keras.tensor_train.ranks import count_multiply_adds

EVERY = np.arange(30)


def compressible_of(kind=layers.Embedding, **arguments):
    table = kind(30, 12, name="table", **arguments)
    table.build()
    rng = np.random.default_rng(0)
    # Rows of different lengths, and columns that have something in common.
    values = rng.normal(size=(30, 12)) @ rng.normal(size=(12, 12)) * rng.uniform(0.1, 3, (30, 1))
    table.embeddings.assign(values)
    return CompressibleEmbedding("path", table)


def looked_up(compressible, seed=0, count=2000):
    """Evidence of ids, small ones far more often than large ones."""
    ids = np.random.default_rng(seed).geometric(0.15, size=(count // 4, 4)) % 30
    evidence = compressible.evidence(None)
    for batch in np.array_split(ids, 3):
        compressible.add(evidence, batch, compressible.kernel[batch])
    return evidence, ids


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=20), max_size=4))
def test_lookups_are_counted(batches):
    table = layers.Embedding(10, 3)
    table.build()
    compressible = CompressibleEmbedding("path", table)
    evidence = compressible.evidence(None)
    for batch in batches:
        compressible.add(
            evidence, np.array(batch)[:, None].astype("float32"), np.zeros((len(batch), 1, 3))
        )
    every = [each for batch in batches for each in batch]
    assert evidence.counts.tolist() == [every.count(k) for k in range(10)]
    assert evidence.shares.sum() == pytest.approx(1)
    # No row is given up for never having been seen.
    assert evidence.shares.min() >= 1 / (len(every) + 10) - 1e-12
    assert np.array_equal(
        np.argsort(evidence.counts, kind="stable"), np.argsort(evidence.shares, kind="stable")
    )


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("kind", [layers.Embedding, layers.ReversibleEmbedding])
def test_factorizations_are_what_they_say(kind, with_data):
    compressible = compressible_of(kind)
    evidence = looked_up(compressible)[0] if with_data else None
    weights = evidence.shares if with_data else np.full(30, 1 / 30)
    factorizations = compressible.factorizations(evidence)
    assert {factorization.kind for factorization in factorizations} == {"low rank", "TT matrix"}
    for factorization in factorizations:
        layer, error = compressible.build(factorization, evidence)
        assert isinstance(layer, TTEmbedding)
        assert layer.count_params() == factorization.parameters < 30 * 12
        assert factorization.multiply_adds == layer.multiply_adds(layer.ranks)
        # A table that was multiplied by twice, and looked up in three times.
        assert compressible.multiply_adds(factorization, 3, 2 * 30 * 12) == (
            3 * layer.multiply_adds(layer.ranks)
            + 2 * count_multiply_adds(layer.output_modes, layer.input_modes, layer.ranks)
        )
        assert error == factorization.error
        if factorization.kind == "low rank" or not with_data:
            lost = weights @ np.sum((np.asarray(layer(EVERY)) - compressible.kernel) ** 2, axis=1)
            measured = lost / (weights @ np.sum(compressible.kernel**2, axis=1))
            assert measured == pytest.approx(factorization.error, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("which", [0, 1], ids=["low rank", "balanced"])
@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("kind", [layers.Embedding, layers.ReversibleEmbedding])
def test_full_ranks_give_the_table(kind, with_data, which):
    compressible = compressible_of(kind)
    modes = shapes_of(30, 12)[which]
    rank = min(modes[0][0] * modes[1][0], modes[0][1] * modes[1][1])
    [factorization] = two_core_factorizations(modes, [rank], [0.0], 0)
    layer, error = compressible.build(
        factorization, looked_up(compressible)[0] if with_data else None
    )
    assert error == 0
    np.testing.assert_allclose(layer(EVERY), compressible.kernel, atol=1e-4)
    if kind is layers.ReversibleEmbedding:
        rows = np.random.default_rng(0).normal(size=(5, 12)).astype("float32")
        expected = compressible.layer(rows, reverse=True)
        np.testing.assert_allclose(layer(rows, reverse=True), expected, atol=1e-3)


def test_rows_that_are_looked_up_often_are_kept_best():
    compressible = compressible_of()
    evidence, ids = looked_up(compressible)
    factorization = next(
        f for f in compressible.factorizations(evidence) if f.kind == "low rank" and f.ranks[1] == 4
    )
    lost = []
    for known in (evidence, None, compressible.evidence(None)):
        layer, _ = compressible.build(factorization, known)
        lost.append(np.mean((np.asarray(layer(ids)) - compressible.kernel[ids]) ** 2))
    assert lost[0] < 0.9 * lost[1]
    # Nothing looked up is nothing known.
    assert lost[2] == lost[1]


def test_lookups_are_told_from_products_with_the_table():
    compressible = compressible_of(layers.ReversibleEmbedding)
    assert compressible.is_forward(EVERY, compressible.layer(EVERY))
    rows = np.zeros((2, 12), "float32")
    assert not compressible.is_forward(rows, compressible.layer(rows, reverse=True))
    assert compressible.dense.multiply_adds == 0
    assert compressible.multiply_adds(compressible.dense, 3, 2 * 30 * 12) == 2 * 30 * 12
    assert compressible.output_rows(np.zeros((2, 5, 12))).shape == (10, 12)


def test_the_variance_is_the_mean_square_of_what_is_looked_up():
    compressible = compressible_of()
    evidence, ids = looked_up(compressible, count=40_000)
    square = np.mean(np.sum(compressible.kernel[ids] ** 2, axis=-1))
    assert compressible.variance(evidence, 3 * np.eye(12)) == pytest.approx(3 * square, rel=0.01)
    unknown = compressible.variance(Frequencies(30), np.eye(12))
    assert unknown == pytest.approx(np.sum(compressible.kernel**2) / 30)


def test_what_belongs_to_the_table_stays():
    compressible = compressible_of(mask_zero=True, dtype="mixed_float16", trainable=False)
    layer, _ = compressible.build(compressible.factorizations()[0])
    assert (layer.name, layer.trainable, layer.mask_zero) == ("table", False, True)
    assert layer.dtype_policy.name == "mixed_float16"


def test_balanced_factorizations_of_tables_count_rows_as_they_are_looked_up():
    compressible = compressible_of()
    compressible.kernel[8:] *= 100
    evidence, _ = looked_up(compressible)
    for factorization in compressible.factorizations(evidence):
        layer, _ = compressible.build(factorization, evidence)
        lost = evidence.shares @ np.sum(
            (np.asarray(layer(EVERY)) - compressible.kernel) ** 2, axis=1
        )
        measured = lost / (evidence.shares @ np.sum(compressible.kernel**2, axis=1))
        assert measured == pytest.approx(factorization.error, rel=1e-3, abs=1e-6)
