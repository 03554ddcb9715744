import keras
import numpy as np
import pytest

from dart_keras import adapters
from tests.adapters.methods.small_layers import (
    COLUMNS,
    LAYERS,
    ROWS,
    adapted,
    adapter_of,
    count,
    inputs_of,
    kernel_and_bias,
    outputs_of,
    randomize,
    rows_of,
)


@pytest.mark.parametrize("kind", LAYERS)
def test_adds_a_vector(kind):
    base, model = adapted(kind, adapters.BitFit())
    assert count(model) == COLUMNS
    randomize(model)
    x = inputs_of(base)
    kernel, bias = kernel_and_bias(base)
    change = keras.ops.convert_to_numpy(adapter_of(model).change)
    expected = rows_of(x, ROWS) @ kernel + bias + change
    np.testing.assert_allclose(rows_of(outputs_of(model, x), COLUMNS), expected, atol=1e-4)
    merged = adapters.merge(model)
    np.testing.assert_allclose(rows_of(outputs_of(merged, x), COLUMNS), expected, atol=1e-4)
    merged_kernel, merged_bias = kernel_and_bias(merged)
    np.testing.assert_array_equal(merged_kernel, kernel)
    np.testing.assert_allclose(merged_bias, bias + change, atol=1e-6)


def test_is_merged_with_its_weight():
    base, model = adapted("dense", adapters.BitFit())
    randomize(model)
    adapters.active(model, {"default": 0.25})
    x = inputs_of(base)
    np.testing.assert_allclose(
        outputs_of(adapters.merge(model), x), outputs_of(model, x), rtol=1e-5, atol=1e-5
    )


def einsum_dense(bias_axes):
    return keras.layers.EinsumDense("abc,cde->abde", (3, 2, 5), bias_axes=bias_axes, name="hidden")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (keras.layers.Dense(4, use_bias=False, name="hidden"), "have a bias"),
        (einsum_dense(None), "have a bias"),
        (einsum_dense("d"), "bias of 10 elements, .*of shape .2, 1"),
        (einsum_dense("bde"), "same bias for all rows.*'bde'"),
    ],
)
def test_layers_without_a_bias_for_each_unit_are_refused(layer, message):
    base = keras.Sequential([keras.Input((3, ROWS)), layer])
    trainable = len(base.trainable_variables)
    with pytest.raises(ValueError, match=message):
        adapters.adapt(base, adapters.BitFit(), ["hidden"])
    assert len(base.trainable_variables) == trainable
    assert base.layers == [layer]


def test_tables_are_refused():
    table = keras.layers.Embedding(ROWS, COLUMNS, name="hidden")
    base = keras.Sequential([keras.Input((3,), dtype="int32"), table])
    with pytest.raises(ValueError, match="layer 'hidden', which looks up rows"):
        adapters.adapt(base, adapters.BitFit(), ["hidden"])


def test_is_no_lora():
    _, model = adapted("dense", adapters.BitFit())
    with pytest.raises(ValueError, match="changes a bias"):
        adapters.to_lora(model, rank=1)
