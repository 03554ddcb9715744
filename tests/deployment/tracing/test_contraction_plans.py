import keras
import pytest

from dart_keras.deployment.flatbuffer.serialization import sweep
from dart_keras.deployment.post_training.tflite_converter import FileConverter
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.contraction_plans import DevicePlans, stored_bytes
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
from dart_keras.layers import TTDense
from tests.deployment import models


def two_layers():
    return keras.Sequential(
        [
            keras.Input((512,)),
            TTDense(64, 6, (8, 8, 8), (4, 4, 4), activation="relu"),
            TTDense(256, 6, (4, 4, 4), (4, 8, 8)),
        ]
    )


@pytest.fixture(scope="module")
def model():
    return two_layers()


@pytest.fixture(params=["raspberry-pi", "microcontroller"])
def plans(request, model):
    plans = DevicePlans(request.param, SCHEMES["int8"])
    export(model, model_signature(model), plans)
    return plans


def cost(plans):
    used = plans.used().values()
    return sum(o.stored for o in used), sum(o.plan.microseconds for o in used)


def test_every_tt_matrix_is_met_and_none_grows(plans, model):
    used = list(plans.used().values())
    assert [option.layer for option in used] == [layer.path for layer in model.layers]
    for option, layer in zip(used, model.layers, strict=True):
        assert option.plan.weights <= sum(core.numpy().size for core in layer.cores)
        assert option.plan.network.rows == 1


def test_more_bytes_make_it_faster_and_are_not_overdrawn(plans, model):
    stored, time = cost(plans)
    for extra in (0, 1_000, 5_000, 20_000, 50_000, 10**6):
        larger = plans.enlarged(extra)
        larger.options = plans.options
        now = cost(larger)
        assert now[0] <= stored + extra
        assert now[1] <= time
        time = now[1]
    fastest = sum(min(o.plan.microseconds for o in found) for found in plans.options.values())
    assert time == pytest.approx(fastest)


def test_the_first_bytes_go_where_they_save_most(plans):
    used = plans.used()
    extra = min(
        option.stored - used[key].stored
        for key, options in plans.options.items()
        for option in options
        if option.saves(used[key]) > 0 and option.stored > used[key].stored
    )
    larger = plans.enlarged(extra)
    larger.options = plans.options
    assert cost(larger)[1] < cost(plans)[1]


def test_nothing_stores_less_than_the_smallest(plans):
    smallest = plans.smallest()
    smallest.options = plans.options
    assert cost(smallest)[0] <= cost(plans)[0]
    for key, options in plans.options.items():
        assert smallest.used()[key].stored == min(option.stored for option in options)


@pytest.mark.parametrize("quantization", ["float32", "int8", "dynamic"])
def test_the_bytes_are_those_of_the_file(model, quantization):
    rows = models.RNG.normal(size=(8, 512))
    scheme = SCHEMES[quantization]
    sizes = {}
    for extra in (0, 10**6):
        plans = DevicePlans("raspberry-pi", scheme)
        signature = model_signature(model)
        exported = export(model, signature, plans)
        if extra:
            plans = plans.enlarged(extra)
            exported = export(model, signature, plans)
        parsed = FileConverter(exported, scheme, [rows.astype("float32")]).model()
        sweep(parsed)
        [graph] = parsed.subgraphs
        weights = {int(o.inputs[1]) for o in graph.operators if len(o.inputs) == 3}
        in_file = 0
        for tensor in (graph.tensors[index] for index in weights):
            in_file += len(parsed.buffers[tensor.buffer].data)
            scales = tensor.quantization and tensor.quantization.scale
            in_file += 0 if scales is None else 4 * len(scales)
        planned = sum(stored_bytes(o.plan, scheme) for o in plans.used().values())
        assert planned == in_file
        sizes[extra] = planned
    assert sizes[10**6] > sizes[0]


def test_a_layer_that_is_called_twice_is_planned_once():
    layer = TTDense(16, 3, (4, 4), (4, 4))
    model = keras.Sequential([keras.Input((16,)), layer, keras.layers.ReLU(), layer])
    plans = DevicePlans("microcontroller", SCHEMES["int8"])
    export(model, model_signature(model), plans)
    assert len(plans.used()) == 1
