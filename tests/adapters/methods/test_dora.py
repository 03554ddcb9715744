import keras
import numpy as np
import pytest
from safetensors import safe_open

from dart_keras import adapters
from dart_keras.adapters.methods.dora import DoRAAdapter
from tests.adapters.methods.small_layers import (
    COLUMNS,
    LAYERS,
    RNG,
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


def factors(adapter):
    first, second = (keras.ops.convert_to_numpy(core) for core in adapter.update.cores)
    return first.reshape(ROWS, -1).astype("float64"), second.reshape(-1, COLUMNS)


def magnitude_of(adapter):
    return keras.ops.convert_to_numpy(adapter.magnitude).astype("float64")


@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_are_those_of_the_formula(kind):
    base, model = adapted(kind, adapters.DoRA(rank=2, alpha=3))
    randomize(model)
    x = inputs_of(base)
    kernel, bias = kernel_and_bias(base)
    a, b = factors(adapter_of(model))
    matrix = kernel + 3 / 2 * a @ b
    matrix *= magnitude_of(adapter_of(model)) / np.linalg.norm(matrix, axis=0)
    expected = rows_of(x, ROWS) @ matrix + bias
    np.testing.assert_allclose(
        rows_of(outputs_of(model, x), COLUMNS), expected, rtol=1e-4, atol=1e-4
    )
    merged = adapters.merge(model)
    np.testing.assert_allclose(
        rows_of(outputs_of(merged, x), COLUMNS), expected, rtol=1e-4, atol=1e-4
    )


def test_starts_with_the_lengths_of_the_kernel():
    base, model = adapted("dense", adapters.DoRA(rank=2))
    kernel, _ = kernel_and_bias(base)
    lengths = np.linalg.norm(kernel, axis=0)
    np.testing.assert_allclose(magnitude_of(adapter_of(model)), lengths, rtol=1e-6)
    assert count(model) == COLUMNS + 2 * (ROWS + COLUMNS)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16", "mixed_float16"])
def test_changes_nothing_at_first_in_low_precision(dtype):
    layer = keras.layers.Dense(COLUMNS, name="hidden", dtype=dtype)
    base = keras.Sequential([keras.Input((ROWS,)), layer])
    layer.set_weights([RNG.normal(size=weight.shape) for weight in layer.get_weights()])
    model = adapters.adapt(base, adapters.DoRA(rank=2), ["hidden"])
    x = inputs_of(base)
    outputs = [keras.ops.cast(each(x), "float32") for each in (base, model)]
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, outputs), rtol=1e-5)


def test_a_column_of_zeros_stays_finite():
    base, _ = adapted("dense", adapters.DoRA(rank=2))
    kernel, bias = base.layers[-1].get_weights()
    kernel[:, 3] = 0
    base.layers[-1].set_weights([kernel, bias])
    model = adapters.adapt(base, adapters.DoRA(rank=2), ["hidden"])
    x = inputs_of(base)
    np.testing.assert_allclose(outputs_of(model, x), outputs_of(base, x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        outputs_of(adapters.merge(model), x), outputs_of(base, x), rtol=1e-5, atol=1e-6
    )


def test_lengths_are_constants_in_the_backward_pass():
    base, model = adapted("dense", adapters.DoRA(rank=2, alpha=2))
    randomize(model)
    adapter = adapter_of(model)
    kernel, bias = kernel_and_bias(base)
    (a, b), m = factors(adapter), magnitude_of(adapter)
    x, y = inputs_of(base).astype("float64"), RNG.normal(size=(4, COLUMNS))
    lengths = np.linalg.norm(kernel + a @ b, axis=0)
    direction = x @ (kernel + a @ b) / lengths
    error = 2 * (direction * m + bias - y) / y.size
    gradients = x.T @ (error * m / lengths) @ b.T, (x @ a).T @ (error * m / lengths)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.train_on_batch(x.astype("float32"), y.astype("float32"))
    after = *factors(adapter), magnitude_of(adapter)
    before = a, b, m
    gradients = (*gradients, np.sum(error * direction, axis=0))
    for new, old, gradient in zip(after, before, gradients, strict=True):
        np.testing.assert_allclose(new, old - 0.1 * gradient, rtol=1e-4, atol=1e-4)


def test_a_file_of_adapters_has_no_kernel(tmp_path):
    _, model = adapted("dense", adapters.DoRA(rank=2))
    adapters.save(model, tmp_path / "some.adapter")
    with safe_open(tmp_path / "some.adapter", "numpy") as file:
        sizes = [file.get_tensor(key).size for key in file.keys()]  # noqa: SIM118
    assert sum(sizes) == count(model)


def test_other_ranks():
    base, model = adapted("heads", adapters.DoRA(rank=4))
    randomize(model)
    adapter = adapter_of(model)
    adapter.update.truncate(1)
    assert factors(adapter)[0].shape == (ROWS, 1)
    x = inputs_of(base)
    merged = adapters.merge(model)
    np.testing.assert_allclose(outputs_of(merged, x), outputs_of(model, x), rtol=1e-4, atol=1e-4)


def test_merged_after_another_bias():
    base, model = adapted("heads", adapters.BitFit(), name="bias")
    model = adapters.adapt(model, adapters.DoRA(rank=2), ["hidden"], name="dora")
    adapters.active(model, {"bias": 0.5, "dora": 0.7})
    for name in ("bias", "dora"):
        randomize(adapter_of(model, name))
    x = inputs_of(base)
    merged = adapters.merge(model)
    np.testing.assert_allclose(outputs_of(merged, x), outputs_of(model, x), rtol=1e-4, atol=1e-4)


def test_a_quantized_layer():
    base, _ = adapted("dense", adapters.DoRA(rank=2))
    base.quantize("int8")
    model = adapters.adapt(base, adapters.DoRA(rank=2), ["hidden"])
    x = inputs_of(base)
    np.testing.assert_allclose(outputs_of(model, x), outputs_of(base, x), rtol=1e-5, atol=1e-6)
    randomize(model)
    outputs = outputs_of(model, x)
    merged = outputs_of(adapters.merge(model), x)
    assert np.max(np.abs(merged - outputs)) < 0.03 * np.max(np.abs(outputs))


def test_tables_are_refused():
    table = keras.layers.Embedding(ROWS, COLUMNS, name="hidden")
    base = keras.Sequential([keras.Input((3,), dtype="int32"), table])
    with pytest.raises(ValueError, match="layer 'hidden', which looks up rows"):
        adapters.adapt(base, adapters.DoRA(rank=2), ["hidden"])


def test_a_bias_for_each_position_is_refused():
    layer = keras.layers.EinsumDense("abc,cd->abd", (3, 4), bias_axes="bd", name="hidden")
    base = keras.Sequential([keras.Input((3, 5)), layer])
    with pytest.raises(ValueError, match=r"same bias for all rows.*bias_axes='bd'"):
        adapters.adapt(base, adapters.DoRA(rank=2), ["hidden"])
    assert base.trainable_variables
    assert base.layers == [layer]


def test_a_bias_of_some_axes():
    layer = keras.layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="d", name="hidden")
    base = keras.Sequential([keras.Input((3, 5)), layer])
    layer.bias.assign(RNG.normal(size=layer.bias.shape))
    model = adapters.adapt(base, adapters.DoRA(rank=2), ["hidden"])
    randomize(model)
    x = inputs_of(base)
    merged = adapters.merge(model)
    np.testing.assert_allclose(outputs_of(merged, x), outputs_of(model, x), rtol=1e-4, atol=1e-4)


def test_is_a_lora_with_settings():
    method = adapters.DoRA(rank=2, rank_stabilized=True, alpha_pattern={"hidden": 4})
    _, model = adapted("dense", method)
    assert isinstance(adapter_of(model), DoRAAdapter)
    assert adapter_of(model).scale == pytest.approx(4 / np.sqrt(2))
