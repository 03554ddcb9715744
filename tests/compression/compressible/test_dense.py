import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from dart_keras.compression.compressible.dense import (
    CompressibleDense,
    shapes_of,
    two_core_factorizations,
)
from dart_keras.layers import TTDense, TTEinsumDense

RNG = np.random.default_rng(0)


def dense(**arguments):
    return layers.Dense(9, bias_initializer="random_normal", **arguments)


def einsum(equation, shape, bias_axes):
    arguments = {"bias_axes": bias_axes, "bias_initializer": "random_normal"}
    return layers.EinsumDense(equation, shape, **arguments)


# Each with the shape of its inputs.
LAYERS = {
    "Dense": lambda: (dense(), (12,)),
    "Dense of sequences": lambda: (dense(use_bias=False), (5, 12)),
    "ab,bc->ac c": lambda: (einsum("ab,bc->ac", (9,), "c"), (12,)),
    "...b,bc->...c": lambda: (einsum("...b,bc->...c", (9,), None), (12,)),
    "abc,cde->abde": lambda: (einsum("abc,cde->abde", (None, 3, 4), None), (5, 12)),
    "abc,cde->abde de": lambda: (einsum("abc,cde->abde", (None, 3, 4), "de"), (5, 12)),
    "abc,cde->abde e": lambda: (einsum("abc,cde->abde", (None, 3, 4), "e"), (5, 12)),
    "abc,cde->aebd de": lambda: (einsum("abc,cde->aebd", (4, None, 3), "de"), (5, 12)),
    "abcd,cde->abe e": lambda: (einsum("abcd,cde->abe", (None, 10), "e"), (5, 3, 4)),
}


def compressible_of(name, rows=1500):
    """A layer, correlated inputs with a mean and the layer's outputs for them."""
    layer, shape = LAYERS[name]()
    layer.build((None, *shape))
    size = shape[-1]
    mixing = np.linalg.qr(RNG.normal(size=(size, size)))[0] * np.geomspace(2, 0.3, size)
    inputs = (RNG.normal(size=(rows, *shape)) @ mixing + RNG.normal(size=size)).astype("float32")
    return CompressibleDense("path", layer), inputs, np.asarray(layer(inputs))


def evidence_of(compressible, inputs, targets, sensitivity=None):
    evidence = compressible.evidence(sensitivity)
    for x, y in zip(np.array_split(inputs, 3), np.array_split(targets, 3), strict=True):
        compressible.add(evidence, x, y)
    return evidence


def output_error(compressible, layer, inputs, targets):
    lost = compressible.output_rows(np.asarray(layer(inputs)) - targets)
    rows = compressible.output_rows(targets)
    return np.sum(lost**2) / np.sum((rows - rows.mean(0)) ** 2)


def full_rank(compressible, which):
    """Of one of the shapes that are tried, the factorization that loses nothing."""
    modes = shapes_of(*compressible.kernel.shape)[which]
    rank = min(modes[0][0] * modes[1][0], modes[0][1] * modes[1][1])
    return two_core_factorizations(modes, [rank], [0.0], 0)[0]


@pytest.mark.parametrize("which", [0, 1], ids=["low rank", "balanced"])
@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_full_ranks_give_the_layers_outputs(name, with_data, which):
    compressible, inputs, targets = compressible_of(name, rows=300)
    evidence = evidence_of(compressible, inputs, targets) if with_data else None
    layer, error = compressible.build(full_rank(compressible, which), evidence)
    assert isinstance(layer, TTDense if name.startswith("Dense") else TTEinsumDense)
    assert error < 1e-9
    np.testing.assert_allclose(layer(inputs), targets, atol=1e-4)


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_factorizations_are_as_large_as_they_say(name, with_data):
    compressible, inputs, targets = compressible_of(name, rows=50)
    evidence = evidence_of(compressible, inputs, targets) if with_data else None
    factorizations = compressible.factorizations(evidence)
    assert factorizations
    for factorization in factorizations:
        layer, _ = compressible.build(factorization, evidence)
        assert layer.count_params() == factorization.parameters
        assert (layer.input_modes, layer.output_modes, layer.ranks) == (
            *factorization.modes,
            factorization.ranks,
        )
        if factorization.kind == "low rank":
            assert factorization.multiply_adds == sum(np.size(core) for core in layer.cores)


@pytest.mark.parametrize("name", LAYERS)
def test_without_data_errors_are_those_of_the_matrix(name):
    compressible, _, _ = compressible_of(name, rows=1)
    for factorization in compressible.factorizations():
        layer, error = compressible.build(factorization)
        lost = np.linalg.norm(layer.to_tt().to_dense() - compressible.kernel)
        measured = (lost / np.linalg.norm(compressible.kernel)) ** 2
        assert measured == pytest.approx(factorization.error, rel=1e-4, abs=1e-9)
        assert error == pytest.approx(factorization.error, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "abc,cde->abde e"])
def test_with_data_errors_are_those_of_outputs(name):
    compressible, inputs, targets = compressible_of(name)
    evidence = evidence_of(compressible, inputs, targets)
    for factorization in compressible.factorizations(evidence):
        layer, error = compressible.build(factorization, evidence)
        measured = output_error(compressible, layer, inputs, targets)
        # What few rows would not have told counts a little.
        assert measured == pytest.approx(error, rel=0.05, abs=1e-3)
        if factorization.kind == "low rank":
            assert error == pytest.approx(factorization.error, rel=1e-6, abs=1e-9)
        else:
            assert error <= factorization.error * (1 + 1e-6)


@given(st.integers(0, 2**32 - 1))
def test_sensitive_outputs_are_kept_at_the_cost_of_others(seed):
    rng = np.random.default_rng(seed)
    layer = layers.Dense(8)
    layer.build((None, 12))
    compressible = CompressibleDense("path", layer)
    inputs = rng.normal(size=(200, 12)).astype("float32")
    targets = np.asarray(layer(inputs))
    sensitivity = np.diag([1.0] * 2 + [1e-4] * 6)
    lost = []
    for each in (sensitivity, None):
        evidence = evidence_of(compressible, inputs, targets, each)
        factorization = next(
            f
            for f in compressible.factorizations(evidence)
            if f.kind == "low rank" and f.ranks[1] == 2
        )
        small, _ = compressible.build(factorization, evidence)
        lost.append(np.sum((np.asarray(small(inputs)) - targets)[:, :2] ** 2))
    assert lost[0] <= lost[1] * (1 + 1e-4)
    variance = compressible.variance(
        evidence_of(compressible, inputs, targets, sensitivity), sensitivity
    )
    expected = np.sum(np.diag(sensitivity) * targets.var(0))
    assert variance == pytest.approx(expected, rel=0.02)


def test_a_bias_that_is_no_part_of_the_matrix_is_kept():
    compressible, inputs, targets = compressible_of("abc,cde->abde e", rows=100)
    evidence = evidence_of(compressible, inputs, targets)
    assert compressible.bias is None
    assert compressible.factorizations(evidence) == compressible.factorizations()
    layer, _ = compressible.build(compressible.factorizations()[0], evidence)
    np.testing.assert_array_equal(layer.bias, compressible.layer.bias)


def test_what_belongs_to_the_layer_stays():
    dense = layers.Dense(
        9, "relu", bias_constraint="non_neg", dtype="mixed_bfloat16", name="hidden", trainable=False
    )
    dense.build((None, 12))
    compressible = CompressibleDense("path", dense)
    layer, _ = compressible.build(compressible.factorizations()[0])
    assert layer.activation is keras.activations.relu
    assert isinstance(layer.bias_constraint, keras.constraints.NonNeg)
    assert layer.dtype_policy.name == "mixed_bfloat16"
    assert (layer.name, layer.trainable) == ("hidden", False)
