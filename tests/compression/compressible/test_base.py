import itertools

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from dart_keras.compression.compressible import (
    CompressibleLayer,
    Factorization,
    find_compressible_layers,
)
from dart_keras.compression.compressible.base import rank_ladder
from dart_keras.compression.compressible.dense import CompressibleDense
from tests.compression import models
from tests.compression.compressible import test_conv2d, test_dense


@given(st.integers(1, 5000))
def test_ranks_go_up_to_the_largest_in_small_steps(largest):
    ladder = rank_ladder(largest)
    assert ladder[0] == 1
    assert ladder[-1] == largest
    for one, other in itertools.pairwise(ladder):
        assert one < other <= max(one + 1, one * 17 / 16)
    # Not many more of them for much larger layers.
    assert len(ladder) <= 34 + 33 * np.log(max(1, largest / 32))


@pytest.mark.parametrize("name", ["convolutional", "masked_attention", "encoders", "frozen"])
def test_the_dense_factorization_is_the_layer_and_others_are_smaller(name):
    model, _ = models.build(name)
    compressibles, _ = find_compressible_layers(model)
    assert compressibles
    for compressible in compressibles:
        held = compressible.layer.count_params()
        if compressible.norm is not None:
            held += compressible.norm.count_params()
        assert compressible.dense.parameters == held
        assert compressible.dense.error == 0
        assert compressible.dense.is_exact
        factorizations = compressible.factorizations()
        assert len(set(factorizations)) == len(factorizations)
        for factorization in factorizations:
            assert factorization.parameters < held
            # A table that is held as it is multiplies nothing.
            most = compressible.dense.multiply_adds or factorization.multiply_adds
            assert 0 < factorization.multiply_adds <= most
            assert 0 <= factorization.error <= 1
            assert factorization.is_exact == (factorization.kind == "folded")


@pytest.mark.parametrize("name", ["convolutional", "masked_attention", "encoders", "frozen"])
def test_building_a_factorization_leaves_the_layer_alone(name):
    model, _ = models.build(name)
    weights = model.get_weights()
    for compressible in find_compressible_layers(model)[0]:
        factorizations = compressible.factorizations()
        for factorization in factorizations[:: max(1, len(factorizations) - 1)]:
            layer, _ = compressible.build(factorization)
            assert layer.built
            assert layer is not compressible.layer
            assert layer.name == compressible.layer.name
            assert {weight.trainable for weight in layer.weights} == {
                weight.trainable for weight in compressible.layer.weights
            }
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_layers_too_small_for_any_other_factorization_have_none():
    for layer in (layers.Dense(2), layers.Conv2D(1, 1), layers.Embedding(2, 2)):
        model = keras.Sequential([keras.Input((4, 4, 2)), layer])
        [compressible] = find_compressible_layers(model)[0]
        assert compressible.factorizations() == []


def test_exact_kinds():
    kinds = ["dense", "folded", "low rank", "TT matrix", "convolutions"]
    exact = [kind for kind in kinds if Factorization(kind, (), (), 1, 1, 0.0).is_exact]
    assert exact == ["dense", "folded"]


WITHOUT = ["Dense of sequences", "...b,bc->...c", "abc,cde->abde", "abc,cde->abde e"]
CONVOLUTIONS = [variant for variant in test_conv2d.VARIANTS if variant.get("use_bias", True)]


def assert_refits(compressible: CompressibleLayer, seen, targets, tolerance):
    """Given other inputs that tell as much, the layer gives the same outputs with other weights."""
    factorization = (
        compressible.factorizations()[-1] if compressible.norm is not None else compressible.dense
    )
    assert factorization.is_exact
    assert compressible.can_refit(factorization)
    evidence = compressible.evidence(None)
    compressible.add(evidence, seen, targets)
    layer, error = compressible.build(factorization, evidence)
    assert type(layer) is type(compressible.layer)
    assert layer is not compressible.layer
    assert layer.count_params() == factorization.parameters
    assert 0 < error < tolerance**2
    lost = compressible.output_rows(np.asarray(layer(seen)) - targets)
    rows = compressible.output_rows(targets)
    assert np.std(lost) < tolerance * np.std(rows)
    assert abs(lost.mean(0)).max() < tolerance * np.std(rows)


@pytest.mark.parametrize("name", [name for name in test_dense.LAYERS if name not in WITHOUT])
def test_matrices_are_refitted(name):
    compressible, inputs, targets = test_dense.compressible_of(name)
    assert_refits(compressible, (0.5 * inputs[..., ::-1] + 1).astype("float32"), targets, 0.01)


@pytest.mark.parametrize("variant", CONVOLUTIONS, ids=str)
def test_convolutions_are_refitted(variant):
    compressible, targets = test_conv2d.compressible_of(**variant)
    assert_refits(compressible, test_conv2d.IMAGES / 2, targets, 0.01)


@pytest.mark.parametrize("name", WITHOUT)
def test_without_a_bias_for_each_column_there_is_nothing_to_take_the_means(name):
    compressible, _, _ = test_dense.compressible_of(name)
    assert not compressible.can_refit(compressible.dense)


def test_smaller_factorizations_and_other_classes_are_not_refitted():
    class Named(layers.Dense):
        pass

    for kind, expected in ((layers.Dense, True), (Named, False)):
        layer = kind(9)
        layer.build((None, 12))
        compressible = CompressibleDense("path", layer)
        assert compressible.can_refit(compressible.dense) == expected
        assert not compressible.can_refit(compressible.factorizations()[0])


def test_layers_whose_normalization_stays_are_not_refitted():
    layer, norm = layers.Dense(9), layers.BatchNormalization()
    keras.Sequential([keras.Input((12,)), layer, norm])
    compressible = CompressibleDense("path", layer, norm)
    assert not compressible.can_refit(compressible.dense)
    assert compressible.can_refit(compressible.factorizations()[-1])
