import copy

import numpy as np
import pytest
import tensorflow as tf

from dart_keras.deployment.flatbuffer.serialization import (
    copy_parsed,
    load_schema,
    pack,
    pack_with_padding,
    sweep,
    unpack,
)
from tests.deployment import models


@pytest.fixture(scope="module")
def content():
    return models.lowered(models.three_cores(), "int8", models.RNG.normal(size=(16, 60)))


def test_a_file_packed_again_is_smaller_and_the_same_to_the_runtimes():
    matrix = models.RNG.normal(size=(20, 30)).astype("float32")
    function = tf.function(lambda x: tf.nn.relu(x @ matrix) @ matrix.T).get_concrete_function(
        tf.TensorSpec((1, 20), name="x")
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ({"x": row[None]} for row in models.ROWS)
    written = converter.convert()
    again = pack(unpack(written))
    assert len(again) < len(written)
    for runtime in ("litert", "tflm"):
        np.testing.assert_array_equal(
            models.raw_outputs(again, models.ROWS, runtime),
            models.raw_outputs(written, models.ROWS, runtime),
        )


def test_packing_twice_changes_nothing(content):
    assert pack(unpack(content)) == content


def test_a_copy_is_changed_by_itself(content):
    model = unpack(content)
    other = copy_parsed(model)
    other.subgraphs[0].operators.pop()
    other.subgraphs[0].tensors[0].name = b"other"
    sweep(other)
    assert pack(model) == content
    constants = {id(buffer.data) for buffer in model.buffers}
    assert {id(buffer.data) for buffer in other.buffers} <= constants | {id(None)}


def test_equal_tables_are_written_once(content):
    schema = load_schema()
    model = unpack(content)
    [graph] = model.subgraphs
    graph.tensors[-1].name = graph.tensors[-2].name = None
    alone = pack(model)
    graph.tensors[-1] = copy.deepcopy(graph.tensors[-2])
    graph.tensors[-1].name = "last"
    named = pack(model)
    graph.tensors[-1].name = None
    shared = pack(model)
    last = [
        schema.Model.GetRootAsModel(shared, 0).Subgraphs(0).Tensors(len(graph.tensors) - back)
        for back in (1, 2)
    ]
    assert last[0]._tab.Pos == last[1]._tab.Pos
    # The table itself is gone, not only what it refers to.
    assert len(shared) <= min(len(alone), len(named)) - 16
    assert len(unpack(shared).subgraphs[0].tensors) == len(graph.tensors)


def test_padding_is_what_nobody_reads(content):
    _, places = pack_with_padding(unpack(content))
    assert places
    filled = bytearray(content)
    for begin, count in places:
        assert not any(filled[begin : begin + count])
        filled[begin : begin + count] = b"\xff" * count
    assert pack(unpack(bytes(filled))) == content
    rows = models.RNG.normal(size=(4, 60))
    for runtime in ("litert", "tflm"):
        np.testing.assert_array_equal(
            models.raw_outputs(bytes(filled), rows, runtime),
            models.raw_outputs(content, rows, runtime),
        )


def test_constants_lie_where_the_schema_asks_for(content):
    again = pack(unpack(content))
    whole = np.frombuffer(again, "uint8")
    model = load_schema().Model.GetRootAsModel(again, 0)
    begin = whole.__array_interface__["data"][0]
    places = [
        model.Buffers(index).DataAsNumpy().__array_interface__["data"][0] - begin
        for index in range(model.BuffersLength())
        if model.Buffers(index).DataLength()
    ]
    assert len(places) > 5
    assert {place % 16 for place in places} == {0}


def test_what_nothing_uses_is_swept_out(content):
    model = unpack(content)
    [graph] = model.subgraphs
    before = len(graph.tensors), len(model.buffers), len(model.operatorCodes)
    graph.operators.pop()
    graph.outputs = graph.operators[-1].outputs
    model.signatureDefs[0].outputs[0].tensorIndex = int(graph.outputs[0])
    sweep(model)
    used = {int(t) for o in graph.operators for t in (*o.inputs, *o.outputs) if t >= 0}
    assert used == set(range(len(graph.tensors)))
    assert len(graph.tensors) < before[0]
    # The converter gives every tensor a buffer, those that hold nothing included.
    assert len(model.buffers) < before[1]
    assert model.signatureDefs[0].outputs[0].tensorIndex == graph.outputs[0]
    models.raw_outputs(pack(model), models.RNG.normal(size=(2, 60)), "tflm")


def test_tensors_come_in_the_order_of_their_use(content):
    model = unpack(content)
    sweep(model)
    [graph] = model.subgraphs
    outputs = [int(operator.outputs[0]) for operator in graph.operators]
    assert outputs == sorted(outputs)
    assert list(graph.inputs) == [0]
