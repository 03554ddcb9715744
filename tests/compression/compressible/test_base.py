import itertools

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from dart_keras.compression.compressible import Factorization, find_compressible_layers
from dart_keras.compression.compressible.base import rank_ladder
from tests.compression import models


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
def test_the_dense_form_is_the_layer_and_others_are_smaller(name):
    model, _ = models.build(name)
    compressibles, _, _ = find_compressible_layers(model)
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
            assert 0 <= factorization.multiply_adds <= compressible.dense.multiply_adds
            assert 0 <= factorization.error <= 1
            assert factorization.is_exact == (factorization.kind == "folded")


@pytest.mark.parametrize("name", ["convolutional", "masked_attention", "encoders", "frozen"])
def test_building_a_form_leaves_the_layer_alone(name):
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


def test_layers_too_small_for_any_other_form_have_none():
    for layer in (layers.Dense(2), layers.Conv2D(1, 1), layers.Embedding(2, 2)):
        model = keras.Sequential([keras.Input((4, 4, 2)), layer])
        [compressible] = find_compressible_layers(model)[0]
        assert compressible.factorizations() == []


def test_kinds_of_exact_forms():
    kinds = ["dense", "folded", "low rank", "tensor train", "convolutions"]
    exact = [kind for kind in kinds if Factorization(kind, (), (), 1, 1, 0.0).is_exact]
    assert exact == ["dense", "folded"]
