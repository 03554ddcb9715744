import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from dart_keras.compression.compressible import Factorization
from dart_keras.compression.compressible.conv2d import CompressibleConv2D
from tests.compression import models

RNG = np.random.default_rng(0)
# Channels that have something in common.
IMAGES = (RNG.normal(size=(60, 8, 8, 6)) @ RNG.normal(size=(6, 6)) + 1).astype("float32")


def compressible_of(norm=False, size=3, strides=1, padding="same", **arguments):
    layer = layers.Conv2D(8, size, strides, padding, bias_initializer="random_normal", **arguments)
    model = keras.Sequential([keras.Input((8, 8, 6)), layer])
    if norm:
        model.add(layers.BatchNormalization())
        models.randomize(model)
    compressible = CompressibleConv2D("path", layer, model.layers[1] if norm else None)
    return compressible, np.asarray(model(IMAGES))


def evidence_of(compressible, outputs):
    evidence = compressible.evidence(None)
    for x, y in zip(np.array_split(IMAGES, 3), np.array_split(outputs, 3), strict=True):
        compressible.add(evidence, x, y)
    return evidence


def products(layer, inputs):
    """Multiply-adds for all of some images, and the number of places of the output."""
    total = 0
    for each in layer.layers:
        inputs = np.asarray(each(inputs))
        total += int(np.prod(each.kernel.shape)) * inputs[..., 0].size
    return total, inputs[..., 0].size


VARIANTS = [
    {},
    {"use_bias": False},
    {"norm": True},
    {"norm": True, "use_bias": False, "padding": "valid"},
    {"size": 1},
    {"strides": 2},
    {"strides": 3, "padding": "valid"},
    {"size": (1, 3), "dilation_rate": 2, "padding": "valid"},
]


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_factorizations_are_what_they_say(variant, with_data):
    compressible, outputs = compressible_of(**variant)
    evidence = evidence_of(compressible, outputs) if with_data else None
    factorizations = compressible.factorizations(evidence)
    assert [factorization.kind == "folded" for factorization in factorizations[-1:]] == [
        compressible.norm is not None
    ]
    for factorization in factorizations[::7] + factorizations[-1:]:
        layer, error = compressible.build(factorization, evidence)
        assert layer.count_params() == factorization.parameters
        assert error <= factorization.error
        if factorization.kind == "folded":
            assert factorization.multiply_adds == int(np.prod(layer.kernel.shape))
            continue
        if variant.get("padding", "same") == "same" or with_data:
            total, places = products(layer, IMAGES[:1])
            assert total == round(factorization.multiply_adds * places)
        if with_data:
            lost = np.sum((np.asarray(layer(IMAGES)) - outputs) ** 2)
            rows = outputs.reshape(-1, 8)
            measured = lost / np.sum((rows - rows.mean(0)) ** 2)
            assert measured <= factorization.error * 1.02 + 1e-5


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_full_ranks_give_the_layers_outputs(variant, with_data):
    compressible, outputs = compressible_of(**variant)
    evidence = evidence_of(compressible, outputs) if with_data else None
    kinds = [("convolutions", (None, 8))]
    if compressible.norm is not None:
        kinds.append(("folded", ()))
    if compressible.layer.kernel.shape[:2] != (1, 1):
        kinds.append(("convolutions", (6, 8)))
    for kind, ranks in kinds:
        layer, error = compressible.build(Factorization(kind, ranks, (), 0, 0, 0.0), evidence)
        assert error == 0
        assert layer.name == compressible.layer.name
        np.testing.assert_allclose(layer(IMAGES), outputs, atol=1e-4)


@given(st.sampled_from(VARIANTS), st.integers(1, 4))
def test_patches_and_outputs_belong_together(variant, batches):
    compressible, outputs = compressible_of(**variant)
    evidence = compressible.evidence(None)
    for k in range(batches):
        compressible.add(evidence, IMAGES[k : k + 2], outputs[k : k + 2])
    assert evidence.count == batches * 2 * outputs[0, ..., 0].size
    np.testing.assert_allclose(
        evidence.input_covariance @ compressible.kernel, evidence.cross_covariance, atol=2e-3
    )
    variance = compressible.variance(evidence, np.eye(8))
    seen = np.concatenate([outputs[k : k + 2] for k in range(batches)]).reshape(-1, 8)
    assert variance == pytest.approx(np.sum(seen.var(0)), rel=1e-3)


def test_many_patches_are_taken_a_few_images_at_a_time(monkeypatch):
    compressible, outputs = compressible_of()
    whole = evidence_of(compressible, outputs)
    monkeypatch.setattr("dart_keras.compression.compressible.conv2d._MOST_ELEMENTS", 1)
    bit_by_bit = evidence_of(compressible, outputs)
    assert bit_by_bit.count == whole.count
    np.testing.assert_allclose(bit_by_bit.input_covariance, whole.input_covariance, atol=1e-6)
    np.testing.assert_allclose(bit_by_bit.cross_covariance, whole.cross_covariance, atol=1e-6)


def test_the_activation_comes_last():
    compressible, outputs = compressible_of(activation="relu")
    layer, _ = compressible.build(Factorization("convolutions", (6, 8), (), 0, 0, 0.0))
    assert outputs.min() == 0
    np.testing.assert_allclose(layer(IMAGES), outputs, atol=1e-4)
