import keras
import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.graph import Graph
from dart_keras.deployment.flatbuffer.passes.int8_weights import narrow_weights
from dart_keras.deployment.flatbuffer.serialization import unpack
from dart_keras.layers import TTDense, TTEmbedding
from tests.deployment import models

IDS = np.random.default_rng(0).integers(0, 200, (64, 3)).astype("int32")


def tied(input_modes, output_modes):
    """A model whose table also makes the logits."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), dtype="int32")
    table = TTEmbedding(200, 16, 4, input_modes, output_modes)
    x = TTDense(16, 4, activation="relu")(keras.layers.Flatten()(table(inputs)))
    return keras.Model(inputs, table(x, reverse=True))


def weights(content):
    """Type and number of scales of each product's weights."""
    model = unpack(content)
    graph = Graph(model, model.subgraphs[0])
    found = [int(product.inputs[1]) for product in graph.operators("FULLY_CONNECTED")]
    return [(graph.dtype(tensor), len(graph.quantization(tensor).scale)) for tensor in found]


@pytest.mark.parametrize("modes", [((10, 20), (4, 4)), ((5, 5, 8), (2, 2, 4))])
def test_a_table_that_makes_logits_runs_in_int16x8_everywhere(modes):
    wide = models.lowered(tied(*modes), "int16x8", IDS)
    assert "INT16" in dict(weights(wide))
    for target in ("raspberry-pi", "microcontroller"):
        artifact = convert(tied(*modes), target, quantization="int16x8", calibration_data=IDS)
        dtypes, counts = zip(*weights(artifact.content), strict=True)
        assert set(dtypes) == {"INT8"}
        assert (max(counts) == 1) is (target == "microcontroller")
        for distances in artifact.verify(IDS).values():
            assert distances[0]["sqnr_db"] > 25


def test_each_channel_is_rounded_by_its_own_scale():
    wide = models.lowered(tied((10, 20), (4, 4)), "int16x8", IDS)
    narrowed = models.changed(wide, narrow_weights)
    expected, received = (models.outputs(c, IDS, "litert") for c in (wide, narrowed))
    error = np.mean((received - expected) ** 2) / np.mean(expected**2)
    assert 0 < error < 1e-4


@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
def test_other_files_stay_as_they_are(quantization):
    rows = models.RNG.normal(size=(8, 60))
    content = models.lowered(models.three_cores(), quantization, rows)
    assert models.changed(content, narrow_weights) == models.changed(content)
