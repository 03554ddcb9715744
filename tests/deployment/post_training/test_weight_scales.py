import keras
import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.graph import Graph
from dart_keras.deployment.flatbuffer.serialization import pack, unpack
from dart_keras.deployment.post_training.weight_scales import EXTRA_TOLERANCE, choose_scales
from tests.deployment import models

TOLERANCE = 0.5


def is_fine(file):
    """Stands for files that are small enough whatever their scales are."""
    return True


def count_scales(file):
    """For each operator with quantized weights, how many scales they have."""
    [graph] = file.subgraphs
    weights = [graph.tensors[o.inputs[1]] for o in graph.operators if len(o.inputs) == 3]
    scales = [tensor.quantization and tensor.quantization.scale for tensor in weights]
    return [len(found) for found in scales if found is not None]


def measured(model, rows):
    return lambda content: [models.decibels(content, model, rows, "litert")]


def pair(model, rows, quantization="int8"):
    return [
        unpack(models.lowered(model, quantization, rows, per_channel=per_channel))
        for per_channel in (True, False)
    ]


def uneven(rng, units, spread):
    """A layer the columns of whose kernel differ by so many orders of magnitude."""
    layer = keras.layers.Dense(units)
    layer.build((None, 16))
    kernel = rng.normal(size=(16, units)) * np.logspace(0, -spread, units)
    layer.set_weights([kernel, rng.normal(size=units)])
    return layer


def large_and_small_channels():
    """A model whose middle layer has them, and rows; they weigh the same in the end."""
    rng = np.random.default_rng(0)
    first, second = uneven(rng, 16, 0), uneven(rng, 16, 2.5)
    last = keras.layers.Dense(4)
    model = keras.Sequential([keras.Input((16,)), first, second, last])
    last.set_weights([np.logspace(0, 2.5, 16)[:, None] * np.ones((16, 4)), np.zeros(4)])
    return model, rng.normal(size=(64, 16)).astype("float32")


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
    file, scales = choose_scales(per_channel, per_tensor, measure, TOLERANCE, is_fine)
    content, finest = pack(file), pack(per_channel)
    assert len(content) <= len(finest)
    assert measure(content)[0] >= measure(finest)[0] - TOLERANCE
    assert sum(count > 1 for count in count_scales(file)) == scales.per_channel


def test_one_scale_for_all_where_the_channels_are_alike():
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(64), keras.layers.Dense(32)])
    for layer in model.layers:
        signs = np.sign(models.RNG.normal(size=layer.kernel.shape))
        layer.kernel.assign(signs)
    rows = models.RNG.normal(size=(32, 16)).astype("float32")
    file, scales = choose_scales(*pair(model, rows), measured(model, rows), TOLERANCE, is_fine)
    assert scales.kind == "per-tensor"
    assert count_scales(file) == [1, 1]


def test_a_scale_for_each_channel_only_where_it_is_worth_it():
    model, rows = large_and_small_channels()
    files = pair(model, rows, "int16x8")
    file, scales = choose_scales(*files, measured(model, rows), TOLERANCE, is_fine)
    assert scales.kind == "mixed"
    counts = count_scales(file)
    assert counts[1] == 16
    assert 1 in counts


def test_a_file_that_is_mostly_scales_may_cost_more():
    model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(2), keras.layers.Dense(512)])
    rows = np.random.default_rng(0).normal(size=(32, 32)).astype("float32")
    files, measure = pair(model, rows), measured(model, rows)
    best = measure(pack(files[0]))[0]

    def has_few_scales(file):
        return sum(count_scales(file)) <= 3

    strict, of_strict = choose_scales(*files, measure, 0.0, is_fine)
    assert not has_few_scales(strict)
    wide, _ = choose_scales(*files, measure, 0.0, has_few_scales)
    assert count_scales(wide) == [2, 1]
    assert best - EXTRA_TOLERANCE <= measure(pack(wide))[0] < best
    # Where the file gets no smaller than that, nothing is lost for it.
    same, of_same = choose_scales(*files, measure, 0.0, lambda file: False)
    assert (pack(same), of_same) == (pack(strict), of_strict)


def test_no_file_costs_more_than_that():
    model, rows = large_and_small_channels()
    files, measure = pair(model, rows, "int16x8"), measured(model, rows)
    file, _ = choose_scales(*files, measure, TOLERANCE, lambda file: max(count_scales(file)) == 1)
    finest, coarsest = (measure(pack(file))[0] for file in files)
    assert coarsest < finest - TOLERANCE - EXTRA_TOLERANCE
    assert count_scales(file)[1] == 16
    assert measure(pack(file))[0] >= finest - TOLERANCE


def test_weights_that_two_operators_share_are_changed_for_both():
    layer = keras.layers.Dense(16)
    inputs = keras.Input((16,))
    model = keras.Model(inputs, layer(keras.ops.relu(layer(inputs))))
    layer.set_weights([np.sign(models.RNG.normal(size=(16, 16))), models.RNG.normal(size=16)])
    rows = models.RNG.normal(size=(32, 16)).astype("float32")
    measure = measured(model, rows)
    per_channel, per_tensor = pair(model, rows)
    before = pack(per_channel), pack(per_tensor)
    file, scales = choose_scales(per_channel, per_tensor, measure, TOLERANCE, is_fine)
    assert scales.kind == "per-tensor"
    assert measure(pack(file)) == measure(before[1])
    # The given ones stay as they are.
    assert (pack(per_channel), pack(per_tensor)) == before


def test_the_artifact_tells():
    artifact = convert(
        models.dense(), "microcontroller", quantization="int8", calibration_data=models.ROWS
    )
    assert sum(artifact.report["weight_scales"].values()) == 2
    assert artifact.weight_scales in ("per-channel", "per-tensor", "mixed")
    assert artifact.weight_scales in str(artifact)
    assert convert(models.dense()).weight_scales is None
    assert "scales" not in repr(convert(models.dense()))


def all_kinds():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, bias_initializer="normal", activation="relu")(image)
    x = keras.layers.DepthwiseConv2D(3, bias_initializer="normal")(x)
    x = keras.layers.Conv2DTranspose(6, 2, bias_initializer="normal", activation="relu")(x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(image, keras.layers.Dense(32, bias_initializer="normal")(x))
    for layer in model.layers[1:]:
        if layer.weights:
            # Channels that a single scale would do harm to.
            kernel = np.array(layer.kernel)
            axis = {4: 2, 2: 1}[kernel.ndim] if "depthwise" in layer.name else -1
            axis = 2 if "transpose" in layer.name else axis
            sizes = [1] * kernel.ndim
            sizes[axis] = -1
            layer.kernel.assign(kernel * np.logspace(0, -2, kernel.shape[axis]).reshape(sizes))
    return model


@pytest.mark.parametrize("target", ["raspberry-pi", "microcontroller"])
def test_int16_products_have_the_sums_and_scales_of_the_target(target):
    rows = models.RNG.normal(size=(16, 8, 8, 3)).astype("float32")
    artifact = convert(all_kinds(), target, quantization="int16x8", calibration_data=rows)
    parsed = unpack(artifact.content)
    graph = Graph(parsed, parsed.subgraphs[0])
    found = {}
    for operator in parsed.subgraphs[0].operators:
        if (name := graph.name(operator)) != "RESHAPE":
            _, weights, *_, bias = operator.inputs
            many = len(graph.quantization(weights).scale) > 1
            found[name] = "many scales" if many else "one scale", graph.dtype(bias)
    boards = target == "microcontroller"
    # CMSIS-NN has one scale and 64 bits for a product, many scales and 64 bits for a convolution.
    dense = ("one scale", "INT64") if boards else ("many scales", "INT32")
    assert found == {
        "CONV_2D": ("many scales", "INT64"),
        "DEPTHWISE_CONV_2D": ("many scales", "INT64"),
        "TRANSPOSE_CONV": ("many scales", "INT64"),
        "FULLY_CONNECTED": dense,
    }
    assert artifact.report["weight_scales"] == {"per-channel": 4 - boards, "per-tensor": boards}
