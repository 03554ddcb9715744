import numpy as np
import pytest

from dart_keras.deployment.flatbuffer.graph import Graph
from dart_keras.deployment.flatbuffer.serialization import pack, sweep, unpack
from tests.deployment import models

ROWS = models.RNG.normal(size=(8, 60))


@pytest.fixture
def model():
    return unpack(models.lowered(models.three_cores(), "int8", ROWS))


def test_it_knows_who_makes_and_who_takes(model):
    graph = Graph(model, model.subgraphs[0])
    assert graph.is_static
    for operator in graph.operators("RESHAPE", "TRANSPOSE"):
        assert graph.producer(operator.outputs[0]) is operator
        assert graph.size(operator.inputs[0]) == graph.size(operator.outputs[0])
    [output] = model.subgraphs[0].outputs
    assert graph.only_consumer(output) is None
    [given] = model.subgraphs[0].inputs
    assert graph.producer(given) is None
    assert graph.constant(given) is None
    assert graph.only_consumer(given).inputs[0] == given
    product = graph.operators("FULLY_CONNECTED")[0]
    assert graph.dtype(product.inputs[1]) == "INT8"
    assert graph.constant(product.inputs[1]).size == graph.size(product.inputs[1])


def test_an_operator_can_be_put_in_the_place_of_others(model):
    expected = models.raw_outputs(pack(model), ROWS, "litert")
    graph = Graph(model, model.subgraphs[0])
    first = graph.operators("TRANSPOSE")[0]
    rows, columns = graph.shape(first.inputs[0])
    order = graph.axes(first.inputs[1])
    assert order == [1, 0]
    # The same in two steps more.
    there = graph.add_tensor(first.outputs[0], (columns, rows))
    back = graph.add_tensor(first.outputs[0], (rows, columns))
    steps = [
        graph.transpose(first.inputs[0], there, (1, 0)),
        graph.transpose(there, back, (1, 0)),
        graph.transpose(back, first.outputs[0], (1, 0)),
    ]
    count = len(model.subgraphs[0].operators)
    graph.replace([first], steps)
    assert len(model.subgraphs[0].operators) == count + 2
    assert graph.producer(back) is steps[1]
    sweep(model)
    np.testing.assert_array_equal(models.raw_outputs(pack(model), ROWS, "litert"), expected)


def test_a_reshape_that_no_operator_needed_before_gets_its_code():
    model = unpack(models.lowered(models.dense(), "float32", models.ROWS))
    assert "RESHAPE" not in models.operators(pack(model))
    graph = Graph(model, model.subgraphs[0])
    [output] = model.subgraphs[0].outputs
    last = graph.producer(output)
    inner = graph.add_tensor(output, graph.shape(output))
    graph.rewire(last, list(last.inputs), inner)
    graph.replace([last], [last, graph.reshape(inner, output)])
    content = pack(model)
    assert models.operators(content)[-1] == "RESHAPE"
    for runtime in ("litert", "tflm"):
        assert models.raw_outputs(content, models.ROWS, runtime).shape == (64, 4)
