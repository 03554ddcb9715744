import keras
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from dart_keras.deployment.flatbuffer.serialization import pack, unpack
from dart_keras.deployment.post_training.activation_ranges import (
    METHODS,
    Histogram,
    choose_ranges,
)
from dart_keras.deployment.post_training.tflite_converter import FileConverter
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
from tests.deployment import models

VALUES = arrays_of.arrays(np.float32, st.integers(1, 200), elements=st.floats(-1e3, 1e3, width=32))


def histogram(values):
    found = Histogram(float(values.min()), float(values.max()))
    for part in np.array_split(values, 3):
        found.add(part)
    return found


def squared_error(values, low, high, integers):
    """What rounding to the integers of a range really costs."""
    limits = np.iinfo(integers)
    if integers == "int16":
        step, zero = max(high, -low) / limits.max, 0
    else:
        step = (high - low) / (int(limits.max) - int(limits.min))
        zero = np.round(limits.min - low / step)
    rounded = np.clip(np.round(values / step) + zero, limits.min, limits.max)
    return np.sum((step * (rounded - zero) - values) ** 2)


@given(VALUES, st.sampled_from(["percentile", "mse"]), st.sampled_from(["int8", "int16"]))
def test_ranges_hold_zero_and_lie_within_what_was_measured(values, method, integers):
    low, high = METHODS[method](histogram(values), integers)
    assert min(values.min(), 0) <= low <= 0 <= high <= max(values.max(), 0)


@given(VALUES)
def test_every_number_is_counted(values):
    found = histogram(values)
    assume(found.low < found.high)
    assert found.zeros == np.sum(values == 0)
    assert found.counts.sum() + found.zeros == len(values)


@pytest.mark.filterwarnings("error")
def test_nan_is_no_number_and_infinity_is_outside():
    # As a row of padding only leaves them.
    found, without = Histogram(-1, 1), Histogram(-1, 1)
    found.add(np.array([[-0.5, np.nan], [0.0, 0.25]]))
    without.add(np.array([-0.5, 0.0, 0.25]))
    np.testing.assert_array_equal(found.counts, without.counts)
    assert found.zeros == without.zeros == 1
    found.add(np.array([-np.inf, np.inf]))
    assert (found.counts[0], found.counts[-1]) == (1, 1)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_percentiles_are_those_of_numpy(seed, size):
    values = size * np.random.default_rng(seed).standard_t(3, size=50_000).astype("float32")
    found = histogram(values)
    bin_width = found.edges[1] - found.edges[0]
    expected = np.quantile(values, (5e-5, 1 - 5e-5), method="inverted_cdf")
    np.testing.assert_allclose(found.percentile_range("int8"), expected, atol=2 * bin_width)


@pytest.mark.parametrize("integers", ["int8", "int16"])
@given(st.integers(0, 2**32 - 1))
def test_no_other_range_costs_much_less(integers, seed):
    rng = np.random.default_rng(seed)
    # One number in a thousand is far out.
    values = rng.normal(size=20_000) * np.where(rng.random(20_000) < 1e-3, 40, 1)
    values = np.where(rng.random(20_000) < 0.3, 0, values).astype("float32")
    low, high = histogram(values).least_squares_range(integers)
    chosen = squared_error(values, low, high, integers)
    for share in (0.1, 0.25, 0.5, 0.75, 1):
        other = squared_error(values, share * values.min(), share * values.max(), integers)
        assert chosen <= 1.05 * other


def test_a_rare_outlier_is_cut_off_in_int8_and_not_in_int16():
    values = np.append(np.random.default_rng(0).normal(size=1_000_000), 60).astype("float32")
    found = histogram(values)
    assert found.least_squares_range("int8")[1] < 30
    assert found.least_squares_range("int16")[1] == 60


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_the_file_gets_the_ranges_of_what_the_model_computes(method):
    inputs = keras.Input((20,), name="features")
    hidden = keras.layers.Dense(8)(inputs)
    model = keras.Model(inputs, [hidden, keras.layers.ReLU()(hidden)])
    exported = export(model, model_signature(model).resolved(None))
    measured = FileConverter(exported, SCHEMES["int8"], [models.ROWS])._with_ranges
    file = unpack(measured)
    choose_ranges(file, method, "int8", [models.ROWS])
    tensors = file.subgraphs[0]
    ranges = [
        (tensor.quantization.min[0], tensor.quantization.max[0])
        for tensor in tensors.tensors
        if tensor.quantization is not None and tensor.quantization.min is not None
    ]
    for values in (models.ROWS, *exported([models.ROWS])):
        expected = METHODS[method](histogram(values), "int8")
        assert any(np.allclose(found, expected, rtol=0.02, atol=1e-6) for found in ranges)


def test_the_measured_file_is_left_alone_by_min_and_max():
    exported = export(models.dense(), model_signature(models.dense()).resolved(None))
    measured = FileConverter(exported, SCHEMES["int8"], [models.ROWS])._with_ranges
    file = unpack(measured)
    choose_ranges(file, "minmax", "int8", [models.ROWS])
    assert pack(file) == measured
