import functools
import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.passes.fold_transposes import fold_transposes
from dart_keras.deployment.flatbuffer.passes.strip_metadata import strip_metadata
from dart_keras.deployment.flatbuffer.passes.strip_names import strip_names
from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.serialization import load_schema, unpack
from dart_keras.deployment.flatbuffer.size_breakdown import FileParts, file_parts, size_limit
from dart_keras.layers import TTDense, TTEmbedding
from tests.deployment import models

BUILDERS = {
    "sequences": (models.tt_dense_on_sequences, models.RNG.normal(size=(16, 3, 20))),
    "three_cores": (models.three_cores, models.RNG.normal(size=(16, 60))),
    "tt_embedding": (models.tt_embedding, models.IDS),
}


@functools.cache
def lowered(name, quantization):
    build, rows = BUILDERS[name]
    return models.lowered(build(), quantization, rows)


def bytes_of_shapes(content):
    model = unpack(content)
    integers = {load_schema().TensorType.INT32, load_schema().TensorType.INT64}
    buffers = {
        int(tensor.buffer)
        for tensor in model.subgraphs[0].tensors
        if tensor.type in integers and getattr(tensor.quantization, "scale", None) is None
    }
    data = [model.buffers[buffer].data for buffer in buffers]
    return sum(len(values) for values in data if values is not None)


@given(
    st.sampled_from(sorted(BUILDERS)),
    st.sampled_from(["float32", "dynamic", "int8", "int16x8"]),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None, max_examples=10)
def test_the_parts_add_up_to_the_file_and_to_its_constants(name, quantization, folds, names):
    content = lowered(name, quantization)
    passes = [strip_metadata, *[fold_transposes] * folds, *[strip_names] * (not names)]
    content = models.changed(content, *passes)
    parts = file_parts(content)
    assert min(*parts.weights.values(), parts.biases, parts.scales, parts.graph, parts.padding) >= 0
    assert parts.size == len(content)
    assert size_limit(unpack(content)) == parts.limit
    constants = ModelFile(content).weight_bytes
    for dtype, size in parts.weights.items():
        assert size <= constants[dtype]
    # The rest of the constants are shapes and axes.
    assert sum(constants.values()) == (
        sum(parts.weights.values()) + parts.biases + bytes_of_shapes(content)
    )


def test_weights_and_biases_are_those_of_the_model():
    model = models.dense()
    for layer in model.layers:
        layer.bias.assign(models.RNG.normal(size=layer.bias.shape))
    floats = file_parts(convert(model).content)
    assert floats.weights == {"float32": 4 * (20 * 16 + 16 * 4)}
    assert floats.biases == 4 * (16 + 4)
    assert floats.scales == 0
    artifact = convert(model, quantization="int8", calibration_data=models.ROWS)
    integers = file_parts(artifact.content)
    assert integers.weights == {"int8": 20 * 16 + 16 * 4}
    assert integers.biases == 4 * (16 + 4)
    # A float and an integer of eight bytes each.
    assert integers.scales >= 12
    report = json.loads(json.dumps(artifact.report))
    assert FileParts(**report["file_parts"]) == integers
    assert str(integers) in str(artifact)


def test_other_files_are_refused():
    with pytest.raises(ValueError, match="Expected a file that `pack` wrote"):
        file_parts(convert(models.dense()).content + b"more")


def layer(inputs, units, rank, low_rank, **options):
    if low_rank:
        return TTDense(units, rank, (inputs, 1), (1, units), **options)
    return TTDense(units, rank, **options)


TRAINS = {
    "wide": (64, lambda: [layer(64, 4096, 4, True)]),
    "low rank": (320, lambda: [layer(320, 320, 16, True, bias_initializer="normal")]),
    "two modes": (784, lambda: [layer(784, 1024, 8, False, bias_initializer="normal")]),
    "network": (
        256,
        lambda: [layer(256, 512, 16, True, activation="relu"), layer(512, 64, 8, False)],
    ),
}


@pytest.mark.parametrize(
    ("name", "target"),
    [*((name, "raspberry-pi") for name in TRAINS), ("low rank", "microcontroller")],
)
def test_files_of_tt_layers_are_small(name, target):
    keras.utils.set_random_seed(0)
    inputs, layers = TRAINS[name]
    model = keras.Sequential([keras.Input((inputs,)), *layers()])
    rows = np.random.default_rng(0).normal(size=(16, inputs)).astype("float32")
    artifact = convert(model, target, quantization="int8", calibration_data=rows)
    trains = sum(int(np.prod(core.shape)) for x in model.layers for core in x.cores)
    parts = file_parts(artifact.content)
    assert trains >= 10_000
    assert parts.weights == {"int8": trains}
    assert artifact.size <= 1.25 * trains + parts.biases + 2048


def test_the_file_of_an_embedding_is_small():
    table = TTEmbedding(10_000, 64, ranks=8)
    model = keras.Sequential([keras.Input((6,), dtype="int32"), table])
    ids = np.random.default_rng(0).integers(0, 10_000, size=(16, 6))
    artifact = convert(model, quantization="int8", calibration_data=ids)
    weights = artifact.report["file_parts"]["weights"]["int8"]
    assert weights == sum(int(np.prod(core.shape)) for core in table.cores) >= 10_000
    assert artifact.size <= 1.25 * weights + 2048
