import itertools

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from dart_keras.compression.compressible import Form, parts_of
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
    parts, _, _ = parts_of(model)
    assert parts
    for part in parts:
        held = part.layer.count_params()
        if part.norm is not None:
            held += part.norm.count_params()
        assert part.dense.parameters == held
        assert part.dense.error == 0
        assert part.dense.is_exact
        forms = part.forms()
        assert len(set(forms)) == len(forms)
        for form in forms:
            assert form.parameters < held
            assert 0 <= form.multiply_adds <= part.dense.multiply_adds
            assert 0 <= form.error <= 1
            assert form.is_exact == (form.kind == "folded")


@pytest.mark.parametrize("name", ["convolutional", "masked_attention", "encoders", "frozen"])
def test_building_a_form_leaves_the_layer_alone(name):
    model, _ = models.build(name)
    weights = model.get_weights()
    for part in parts_of(model)[0]:
        forms = part.forms()
        for form in forms[:: max(1, len(forms) - 1)]:
            layer, _ = part.build(form)
            assert layer.built
            assert layer is not part.layer
            assert layer.name == part.layer.name
            assert {weight.trainable for weight in layer.weights} == {
                weight.trainable for weight in part.layer.weights
            }
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_layers_too_small_for_any_other_form_have_none():
    for layer in (layers.Dense(2), layers.Conv2D(1, 1), layers.Embedding(2, 2)):
        model = keras.Sequential([keras.Input((4, 4, 2)), layer])
        [part] = parts_of(model)[0]
        assert part.forms() == []


def test_kinds_of_exact_forms():
    kinds = ["dense", "folded", "low rank", "tensor train", "convolutions"]
    exact = [kind for kind in kinds if Form(kind, (), (), 1, 1, 0.0).is_exact]
    assert exact == ["dense", "folded"]
