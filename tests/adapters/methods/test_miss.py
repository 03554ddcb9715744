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
@pytest.mark.parametrize("rank", [1, 4, 5, ROWS])
def test_adds_one_matrix_to_all_groups_of_rows(kind, rank):
    base, model = adapted(kind, adapters.MiSS(rank=rank))
    assert count(model) == rank * COLUMNS
    randomize(model)
    x = inputs_of(base)
    kernel, bias = kernel_and_bias(base)
    shard = keras.ops.convert_to_numpy(adapter_of(model).shard)
    repeated = np.stack([shard[row % rank] for row in range(ROWS)])
    expected = rows_of(x, ROWS) @ (kernel + repeated) + bias
    np.testing.assert_allclose(
        rows_of(outputs_of(model, x), COLUMNS), expected, rtol=1e-4, atol=1e-4
    )
    merged = adapters.merge(model)
    np.testing.assert_allclose(kernel_and_bias(merged)[0], kernel + repeated, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "input_shape", "output_shape"),
    [("ab,c->abc", (3,), (3, 4)), ("abc,c->ab", (3, 5), (None,)), ("abc,bd->adc", (3, 5), (4, 5))],
)
def test_einsums_of_other_axes(equation, input_shape, output_shape):
    layer = keras.layers.EinsumDense(equation, output_shape, name="hidden")
    base = keras.Sequential([keras.Input(input_shape), layer])
    model = adapters.adapt(base, adapters.MiSS(rank=1), ["hidden"])
    randomize(model)
    x = inputs_of(base)
    merged = adapters.merge(model)
    np.testing.assert_allclose(outputs_of(merged, x), outputs_of(model, x), rtol=1e-4, atol=1e-4)


def test_ranks():
    assert adapters.MiSS().rank == 64
    _, model = adapted("dense", adapters.MiSS(rank=1000, rank_pattern={"hid.*": 3}))
    assert adapter_of(model).rank == 3
    with pytest.raises(ValueError, match="at most 12 for layer 'hidden'"):
        adapted("dense", adapters.MiSS())
    with pytest.raises(ValueError, match="positive integers"):
        adapters.MiSS(rank=0)
    with pytest.raises(TypeError, match="alpha"):
        adapters.MiSS(alpha=2)


def test_tables_are_refused():
    table = keras.layers.Embedding(ROWS, COLUMNS, name="hidden")
    base = keras.Sequential([keras.Input((3,), dtype="int32"), table])
    with pytest.raises(ValueError, match="layer 'hidden', which looks up rows"):
        adapters.adapt(base, adapters.MiSS(rank=2), ["hidden"])
