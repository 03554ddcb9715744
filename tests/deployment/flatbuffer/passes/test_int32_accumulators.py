import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.passes.fold_transposes import fold_transposes
from dart_keras.deployment.flatbuffer.passes.int32_accumulators import narrow_accumulators
from dart_keras.deployment.flatbuffer.serialization import load_schema, operator_name, pack, unpack
from tests.deployment import models

INT32, INT64 = load_schema().TensorType.INT32, load_schema().TensorType.INT64


def accumulator_types(content):
    model = unpack(content)
    return [
        operator.builtinOptions.quantizedBiasType
        for operator in model.subgraphs[0].operators
        if operator_name(model, operator) == "FULLY_CONNECTED"
    ]


def narrow(content):
    return models.changed(content, narrow_accumulators)


def lowered(kernel, bias, rows):
    """A layer whose int8 weights are all at their largest if those of the kernel are equal."""
    layer = keras.layers.Dense(kernel.shape[1], use_bias=bias is not None)
    model = keras.Sequential([keras.Input((len(kernel),)), layer])
    layer.set_weights([kernel] if bias is None else [kernel, bias])
    return models.changed(models.lowered(model, "int16x8", rows), fold_transposes)


@pytest.mark.parametrize("bias", [None, np.array([4.0, -3.0], "float32")])
@pytest.mark.parametrize(("inputs", "fits"), [(500, True), (520, False)])
def test_sums_are_added_up_in_32_bits_only_if_the_largest_fits(inputs, fits, bias):
    # The largest sums that there can be: all weights are 127 and all inputs 32767.
    rows = np.concatenate([np.ones((4, inputs)), -np.ones((4, inputs))]).astype("float32")
    wide = lowered(np.ones((inputs, 2), "float32"), bias, rows)
    content = narrow(wide)
    assert accumulator_types(wide) == [INT64]
    assert accumulator_types(content) == [INT32 if fits else INT64]
    for runtime in ("litert", "tflm"):
        received, expected = (models.raw_outputs(c, rows, runtime) for c in (content, wide))
        assert np.abs(expected).max() > 30_000
        assert np.abs(received.astype(int) - expected).max() <= 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.booleans())
@settings(max_examples=10)
def test_outputs_differ_by_their_rounding_alone(seed, inputs, biased):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(inputs, 8)).astype("float32")
    bias = rng.normal(size=8).astype("float32") if biased else None
    rows = rng.normal(size=(16, inputs)).astype("float32")
    wide = lowered(kernel, bias, rows)
    content = narrow(wide)
    assert accumulator_types(content) == [INT32]
    assert len(content) <= len(wide)
    for runtime in ("litert", "tflm"):
        received, expected = (models.raw_outputs(c, rows, runtime) for c in (content, wide))
        assert np.abs(received.astype(int) - expected).max() <= 2


def test_a_bias_is_kept_for_an_operator_that_does_not_fit():
    rows = models.RNG.normal(size=(16, 60)).astype("float32")
    model = unpack(lowered(np.ones((60, 2), "float32"), np.ones(2, "float32"), rows))
    [graph] = model.subgraphs
    [operator] = graph.operators
    bias = model.buffers[graph.tensors[operator.inputs[2]].buffer]
    bias.data = np.array([2**40, 1], "int64").view("uint8")
    assert accumulator_types(narrow(pack(model))) == [INT64]


def test_other_schemes_have_nothing_to_narrow():
    for quantization in ("float32", "int8"):
        content = models.lowered(
            models.three_cores(), quantization, models.RNG.normal(size=(8, 60))
        )
        assert narrow(content) == models.changed(content)


def test_a_converted_tt_matrix_adds_up_in_32_bits():
    rows = models.RNG.normal(size=(32, 60)).astype("float32")
    artifact = convert(models.three_cores(), quantization="int16x8", calibration_data=rows)
    assert set(accumulator_types(artifact.content)) == {INT32}
