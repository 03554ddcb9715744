import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python.optimize.calibrator import Calibrator

from dart_keras.deployment.flatbuffer.passes.strip_metadata import strip_metadata
from dart_keras.deployment.flatbuffer.serialization import pack, sweep, unpack
from dart_keras.deployment.post_training.tflite_converter import FileConverter, order_interface
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.contraction_plans import DevicePlans
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
from dart_keras.private_apis import measure_ranges, quantize, set_per_channel
from dart_keras.utils.quiet import quiet
from tests.deployment import models

# TensorFlow 2.18 cannot give dense layers alone a single scale in int16x8, and writes one byte of
# padding otherwise when it measures by itself.
TELLS_DENSE_LAYERS_APART = (
    "disable_per_channel_quantization_for_dense_layers"
    in inspect.signature(Calibrator.calibrate_and_quantize).parameters
)


def skip_int16_of_tensorflow_2_18(quantization):
    if quantization == "int16x8" and not TELLS_DENSE_LAYERS_APART:
        pytest.skip("This TensorFlow's int16x8 quantizer is that of version 2.18")


def file_converter(model, quantization):
    signature = model_signature(model)
    arrays = [
        models.IDS if spec.dtype == "int32" else models.RNG.normal(size=(16, *spec.shape))
        for spec in signature.inputs
    ]
    arrays = [
        array.astype(spec.dtype) for array, spec in zip(arrays, signature.inputs, strict=True)
    ]
    scheme = SCHEMES[quantization]
    exported = export(model, signature, DevicePlans("raspberry-pi", scheme))
    return FileConverter(exported, scheme, arrays)


def stripped(content, names):
    file = unpack(content)
    order_interface(file, names)
    strip_metadata(file)
    sweep(file)
    return pack(file)


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("build", [models.tt_embedding, models.two_in_three_out])
def test_both_halves_make_what_the_converter_makes(build, quantization):
    skip_int16_of_tensorflow_2_18(quantization)
    halves = file_converter(build(), quantization)
    for per_channel in (True, False):
        converter = halves._converter(per_channel)
        with quiet():
            whole = converter.convert()
            # By the calibrator's ranges, which `FileConverter.model` does not take as they are.
            measured = measure_ranges(halves._converter())
            made = quantize(measured, halves.scheme.interface, per_channel)
        names = [spec.name for spec in halves.exported.signature.inputs]
        assert stripped(made, names) == stripped(whole, names)


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_dense_layers_alone_have_a_single_scale_if_asked_for(quantization):
    skip_int16_of_tensorflow_2_18(quantization)
    layers = [keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(5)]
    halves = file_converter(keras.Sequential([keras.Input((6, 6, 2)), *layers]), quantization)
    with quiet():
        made = quantize(halves._with_ranges, halves.scheme.interface, per_channel_dense=False)
    [graph] = unpack(made).subgraphs
    scales = {
        tuple(tensor.shape): len(tensor.quantization.scale)
        for tensor in graph.tensors
        if tensor.quantization is not None and tensor.quantization.scale is not None
    }
    assert (scales[4, 3, 3, 2], scales[5, 64]) == (4, 1)


def test_ranges_are_those_of_the_rows():
    model = keras.Sequential([keras.Input((20,), name="features"), keras.layers.ReLU()])
    halves = file_converter(model, "int8")
    with quiet():
        measured = measure_ranges(halves._converter())
    ranges = [
        (float(tensor.quantization.min[0]), float(tensor.quantization.max[0]))
        for tensor in unpack(measured).subgraphs[0].tensors
    ]
    [rows] = halves.arrays
    low, high = np.float32(rows.min()), np.float32(rows.max())
    assert ranges == [(low, high), (0, high)]


def test_a_single_scale_is_asked_for_by_a_switch_that_tensorflow_has():
    converter = tf.lite.TFLiteConverter([], None)
    assert hasattr(converter, "_experimental_disable_per_channel")
    assert hasattr(converter, "_experimental_calibrate_only")
    for per_channel, scales in ((True, 30), (False, 1)):
        halves = file_converter(
            keras.Sequential([keras.Input((20,)), keras.layers.Dense(30)]), "int8"
        )
        converter = halves._converter()
        set_per_channel(converter, per_channel)
        with quiet():
            model = unpack(converter.convert())
        lengths = [
            len(tensor.quantization.scale)
            for tensor in model.subgraphs[0].tensors
            if list(tensor.shape) == [30, 20]
        ]
        assert lengths == [scales]
