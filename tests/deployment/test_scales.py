import keras
import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.packing import unpack
from dart_keras.deployment.scales import choose_scales

from . import models

TOLERANCE = 0.5


def count_scales(content):
    """For each operator with quantized weights, how many scales they have."""
    model = unpack(content)
    [graph] = model.subgraphs
    weights = [graph.tensors[o.inputs[1]] for o in graph.operators if len(o.inputs) == 3]
    scales = [tensor.quantization and tensor.quantization.scale for tensor in weights]
    return [len(found) for found in scales if found is not None]


def measured(model, rows):
    return lambda content: [models.decibels(content, model, rows, "litert")]


def pair(model, rows, quantization="int8"):
    return [
        models.lowered(model, quantization, rows, per_channel=per_channel)
        for per_channel in (True, False)
    ]


def uneven(rng, units, spread):
    """A layer the columns of whose kernel differ by so many orders of magnitude."""
    layer = keras.layers.Dense(units)
    layer.build((None, 16))
    kernel = rng.normal(size=(16, units)) * np.logspace(0, -spread, units)
    layer.set_weights([kernel, rng.normal(size=units)])
    return layer


@pytest.mark.parametrize("quantization", ["int8", "int16x8", "dynamic"])
def test_the_switch_for_a_single_scale_still_works(quantization):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64), keras.layers.Dense(32)])
    rows = models.RNG.normal(size=(16, 64))
    per_channel, per_tensor = pair(model, rows, quantization)
    assert count_scales(per_channel) == [64, 32]
    assert count_scales(per_tensor) == [1, 1]


@pytest.mark.parametrize("quantization", ["int8", "int16x8", "dynamic"])
def test_the_chosen_file_is_no_larger_and_hardly_worse(quantization):
    model = models.three_cores()
    rows = models.RNG.normal(size=(64, 60)).astype("float32")
    per_channel, per_tensor = pair(model, rows, quantization)
    measure = measured(model, rows)
    scaled = choose_scales(per_channel, per_tensor, measure, TOLERANCE)
    assert len(scaled.content) <= len(per_channel)
    assert measure(scaled.content)[0] >= measure(per_channel)[0] - TOLERANCE
    assert sum(count > 1 for count in count_scales(scaled.content)) == scaled.per_channel


def test_one_scale_for_all_where_the_channels_are_alike():
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(64), keras.layers.Dense(32)])
    for layer in model.layers:
        signs = np.sign(models.RNG.normal(size=layer.kernel.shape))
        layer.kernel.assign(signs)
    rows = models.RNG.normal(size=(32, 16)).astype("float32")
    scaled = choose_scales(*pair(model, rows), measured(model, rows), TOLERANCE)
    assert scaled.kind == "per-tensor"
    assert count_scales(scaled.content) == [1, 1]


def test_a_scale_for_each_channel_only_where_it_is_worth_it():
    rng = np.random.default_rng(0)
    first, second = uneven(rng, 16, 0), uneven(rng, 16, 2.5)
    # Large and small channels weigh the same in the end.
    last = keras.layers.Dense(4)
    model = keras.Sequential([keras.Input((16,)), first, second, last])
    last.set_weights([np.logspace(0, 2.5, 16)[:, None] * np.ones((16, 4)), np.zeros(4)])
    rows = rng.normal(size=(64, 16)).astype("float32")
    scaled = choose_scales(*pair(model, rows, "int16x8"), measured(model, rows), TOLERANCE)
    assert scaled.kind == "mixed"
    counts = count_scales(scaled.content)
    assert counts[1] == 16
    assert 1 in counts


def test_weights_that_two_operators_share_are_changed_for_both():
    layer = keras.layers.Dense(16)
    inputs = keras.Input((16,))
    model = keras.Model(inputs, layer(keras.ops.relu(layer(inputs))))
    layer.set_weights([np.sign(models.RNG.normal(size=(16, 16))), models.RNG.normal(size=16)])
    rows = models.RNG.normal(size=(32, 16)).astype("float32")
    measure = measured(model, rows)
    per_channel, per_tensor = pair(model, rows)
    scaled = choose_scales(per_channel, per_tensor, measure, TOLERANCE)
    assert scaled.kind == "per-tensor"
    assert measure(scaled.content) == measure(per_tensor)


def test_the_artifact_tells():
    artifact = convert(
        models.dense(), "microcontroller", quantization="int8", representative_data=models.ROWS
    )
    assert sum(artifact.report["weight_scales"].values()) == 2
    assert artifact.weight_scales in ("per-channel", "per-tensor", "mixed")
    assert artifact.weight_scales in str(artifact)
    assert convert(models.dense()).weight_scales is None
    assert "scales" not in repr(convert(models.dense()))
