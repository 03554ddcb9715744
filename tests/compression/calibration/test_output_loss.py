import itertools

import keras
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from keras import layers, ops

from dart_keras.compression.calibration.output_loss import (
    OutputStatistics,
    are_probabilities,
    compared_outputs,
    end_error,
    float_outputs,
)

SEEDS = st.integers(0, 2**32 - 1)


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return (shifted / shifted.sum(-1, keepdims=True)).astype("float32")


@st.composite
def pairs_of_outputs(draw):
    """Outputs of several shapes and scales, probabilities among them, and others near them."""
    rng = np.random.default_rng(draw(SEEDS))
    rows, pairs = draw(st.integers(2, 30)), []
    for shape in draw(st.lists(st.sampled_from([(), (1,), (4,), (3, 5)]), min_size=1, max_size=3)):
        expected = rng.normal(size=(rows, *shape)) + rng.normal(size=shape)
        received = expected + draw(st.sampled_from([0.0, 0.1])) * rng.normal(size=expected.shape)
        if shape[-1:] > (1,) and draw(st.booleans()):
            pairs.append((softmax(expected), softmax(received)))
        else:
            scale = draw(st.sampled_from([1.0, 1e-3, 1e3]))
            pairs.append(tuple((y * scale).astype("float32") for y in (expected, received)))
    return pairs


def relative(expected, received):
    y, z = (np.asarray(each, "float64").reshape(len(expected), -1) for each in (expected, received))
    y, z = (each.reshape(-1, expected.shape[-1] if expected.ndim > 1 else 1) for each in (y, z))
    if y.shape[1] > 1 and np.allclose(y.sum(1), 1) and y.min() >= 0:
        y, z = 2 * np.sqrt(y), 2 * np.sqrt(z)
    variance = np.trace(np.atleast_2d(np.cov(y, rowvar=False, bias=True)))
    return variance, np.mean(np.sum((y - z) ** 2, axis=1)) / variance


@given(pairs_of_outputs(), st.lists(st.integers(1, 29), max_size=3))
def test_in_any_batches_statistics_are_those_of_all_rows(pairs, cuts):
    statistics = OutputStatistics()
    rows = len(pairs[0][0])
    edges = sorted({0, rows, *(cut for cut in cuts if cut < rows)})
    for start, end in itertools.pairwise(edges):
        expected, received = ([y[start:end] for y in each] for each in zip(*pairs, strict=True))
        statistics.add(expected, received)
    found = [relative(*pair) for pair in pairs]
    np.testing.assert_allclose(statistics.variances(), [v for v, _ in found], rtol=1e-4)
    mean = np.mean([error for _, error in found])
    np.testing.assert_allclose(statistics.relative_error(), mean, rtol=1e-4, atol=1e-9)


def test_integers_are_no_outputs_to_compare():
    ids, numbers = ops.ones((4, 3), "int32"), ops.ones((4, 2), "float16")
    assert [y.dtype for y in float_outputs({"a": ids, "b": [numbers]})] == ["float16"]
    statistics = OutputStatistics()
    statistics.add([ids], [ids + 1])
    assert statistics.relative_error() == 0
    assert statistics.variances() == []


def test_outputs_that_do_not_vary_count_by_their_squares():
    statistics = OutputStatistics()
    threes, zeros = np.full((5, 2), 3.0), np.zeros((5, 2))
    statistics.add([threes, zeros], [2 * threes, zeros + 1])
    np.testing.assert_allclose(statistics.variances(), [18, 1])
    np.testing.assert_allclose(statistics.relative_error(), (1 + 2) / 2)


@given(SEEDS, st.integers(2, 6), st.sampled_from(["float32", "float16"]))
def test_probabilities_are_told_from_other_values(seed, count, dtype):
    logits = 5 * np.random.default_rng(seed).normal(size=(7, 3, count))
    p = softmax(logits).astype(dtype)
    assert are_probabilities(p)
    assert not are_probabilities(p * 1.1)
    assert not are_probabilities(p[..., :1])
    assert not are_probabilities(np.concatenate([p + 1, -np.ones_like(p)], axis=-1))
    one_row_off = p.copy()
    one_row_off[3, 1, 0] += 0.5
    assert not are_probabilities(one_row_off)


@given(SEEDS)
def test_small_changes_of_probabilities_count_as_their_divergence(seed):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(50, 6))
    p, q = softmax(logits), softmax(logits + 0.03 * rng.normal(size=logits.shape))
    [y], [z] = compared_outputs([p], [p]), compared_outputs([q], [p])
    divergence = np.sum(p * np.log(p / q), dtype="float64")
    np.testing.assert_allclose(np.sum(np.subtract(y, z) ** 2), 2 * divergence, rtol=0.1)
    # What is known of the original decides for both.
    [kept] = compared_outputs([q], [p - 1])
    np.testing.assert_array_equal(kept, q)


def test_end_error_is_zero_for_the_same_model_and_relative_to_scale():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    other = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    batches = list(np.random.default_rng(0).normal(size=(3, 8, 4)).astype("float32"))

    def error_of(received):
        return end_error(map(model, batches), map(received, batches), [None] * len(batches))

    assert error_of(model) == 0
    found = error_of(other)
    y, z = (np.asarray(each(np.concatenate(batches))) for each in (model, other))
    expected = np.sum((y - z) ** 2) / np.sum((y - y.mean(0)) ** 2)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for each in (model, other):
        each.layers[0].kernel.assign(each.layers[0].kernel * 1000)
    np.testing.assert_allclose(error_of(other), found, rtol=1e-4)
