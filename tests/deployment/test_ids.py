"""Ids that a file splits into digits, every one of a vocabulary, on the runtimes."""

import math

import keras
import numpy as np
import pytest

from dart_keras.deployment.flatbuffer.graph import Graph
from dart_keras.deployment.flatbuffer.passes.int8_tables import narrow_tables
from dart_keras.deployment.flatbuffer.serialization import unpack
from dart_keras.layers import TTEmbedding
from dart_keras.layers.lookup import split_ids
from tests.deployment.models import changed, lowered, outputs, raw_outputs

AT_ONCE = 2**13


class Digits(keras.layers.Layer):
    """The digits of ids, one after the other."""

    def __init__(self, modes):
        super().__init__()
        self.modes = modes

    def call(self, ids):
        return keras.ops.concatenate(split_ids(ids, self.modes), axis=-1)


@pytest.mark.parametrize(
    ("vocabulary", "modes"),
    [
        (2**20, (1024, 1024)),
        (2**20, (2**19, 2)),
        (2**20, (32, 32, 32, 32)),
        # A prime; the modes hold more.
        (1_048_573, (1000, 1049)),
        (1_048_573, (3, 349_525)),
        (1_048_573, (349_525, 3)),
        (999_999, (7, 142_857)),
        (999_999, (142_857, 7)),
        (999_999, (3, 9, 37, 1001)),
        (999_999, (1001, 37, 27)),
        (10_000, (10, 10, 10, 10)),
        (10_000, (9, 7, 159)),
        (10_000, (41, 1, 244)),
    ],
)
def test_every_id_of_a_vocabulary_has_its_digits(vocabulary, modes):
    # Further ones are as good as any.
    rows = np.arange(math.ceil(vocabulary / AT_ONCE) * AT_ONCE, dtype="int32") % vocabulary
    rows = rows.reshape(-1, AT_ONCE)
    model = keras.Sequential([keras.Input((AT_ONCE,), dtype="int32"), Digits(modes)])
    content = lowered(model, "float32", rows[:1])
    expected = np.stack(np.unravel_index(rows, modes), axis=1)
    for runtime in ("litert", "tflm"):
        digits = raw_outputs(content, rows, runtime).reshape(len(rows), len(modes), AT_ONCE)
        np.testing.assert_array_equal(digits, expected, err_msg=runtime)


def bits(count):
    """For each number below `count` its binary digits as signs, and a positive one."""
    places = np.arange(math.ceil(math.log2(count)))
    signs = 1.0 - 2.0 * (np.arange(count)[:, None] >> places & 1)
    return np.hstack([signs, np.ones((count, 1))])


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "int8", "int16x8"])
@pytest.mark.parametrize("modes", [(100, 100), (7, 1429), (17, 3, 197)])
def test_every_row_of_a_table_is_found_in_every_scheme(quantization, modes):
    codes = [bits(mode) for mode in modes]
    table = TTEmbedding(
        10_000, math.prod(c.shape[1] for c in codes), 1, modes, [c.shape[1] for c in codes]
    )
    model = keras.Sequential([keras.Input((1000,), dtype="int32"), table])
    for core, code in zip(table.cores, codes, strict=True):
        core.assign(code.reshape(core.shape))
    rows = np.arange(10_000, dtype="int32").reshape(10, 1000)
    content = lowered(model, quantization, rows)
    # An outer product of signs: no rounding can turn one into another.
    expected = table.to_dense()
    for runtime in ("litert", "tflm")[: 1 if quantization == "dynamic" else 2]:
        file = changed(content, narrow_tables) if runtime == "tflm" else content
        found = outputs(file, rows, runtime).reshape(10_000, -1)
        np.testing.assert_array_equal(np.sign(found), expected, err_msg=runtime)
        assert abs(np.abs(found) - 1).max() < 0.02


@pytest.mark.parametrize("quantization", ["dynamic", "int8", "int16x8"])
def test_ids_are_split_in_float_whatever_else_is_quantized(quantization):
    layers = [TTEmbedding(1000, 16, 4, (10, 10, 10)), keras.layers.Dense(4, activation="relu")]
    model = keras.Sequential([keras.Input((6,), dtype="int32"), *layers])
    rows = np.random.default_rng(0).integers(0, 1000, (16, 6)).astype("int32")
    file = unpack(lowered(model, quantization, rows))
    graph = Graph(file, file.subgraphs[0])
    dividing = graph.operators("FLOOR_DIV", "FLOOR_MOD")
    assert dividing
    for operator in dividing:
        assert {graph.dtype(t) for t in (*operator.inputs, *operator.outputs)} == {"FLOAT32"}
