"""Models of KerasHub, whose layers hold their attention under names of their own."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.budgets import Parameters, RelativeError
from dart_keras.compression import candidates, compress
from dart_keras.layers import TTEmbedding
from tests.compression.helpers import assert_close, outputs, saved_and_loaded
from tests.compression.planting import plant_rank_one

keras_hub = pytest.importorskip("keras_hub", reason="KerasHub is in the extra `tests` alone")

VOCABULARY, LENGTH, WIDTH = 50, 6, 16
TABLES = ["token_embedding", "segment_embedding"]
PROJECTIONS = [f"self_attention_layer/{n}" for n in ("query", "key", "value", "attention_output")]
FEEDFORWARD = ["feedforward_intermediate_dense", "feedforward_output_dense"]


def encoder():
    keras.utils.set_random_seed(0)
    return keras_hub.models.BertBackbone(
        VOCABULARY,
        num_layers=1,
        num_heads=2,
        hidden_dim=WIDTH,
        intermediate_dim=2 * WIDTH,
        max_sequence_length=LENGTH,
    )


def sequences(rows=8):
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (rows, LENGTH), dtype="int32")
    padding, segments = np.ones_like(ids), np.zeros_like(ids)
    padding[::2, -2:] = 0
    segments[:, 3:] = 1
    return {"token_ids": ids, "padding_mask": padding, "segment_ids": segments}


def classifier():
    """The encoder inside another model, for one length as a device needs it."""
    backbone = encoder()
    inputs = {name: keras.Input((LENGTH,), dtype="int32", name=name) for name in backbone.input}
    return keras.Model(inputs, layers.Dense(3, name="classes")(backbone(inputs)["pooled_output"]))


def language_model():
    """A causal decoder that gives logits by the transpose of its table."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((LENGTH,), dtype="int32")
    table = keras_hub.layers.ReversibleEmbedding(VOCABULARY, WIDTH, name="table")
    x = keras_hub.layers.TransformerDecoder(2 * WIDTH, num_heads=2, name="decoder")(table(ids))
    return keras.Model(ids, table(x, reverse=True))


def held_table():
    """As `language_model`, its table inside a layer that adds positions."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((LENGTH,), dtype="int32")
    embedding = keras_hub.layers.TokenAndPositionEmbedding(VOCABULARY, LENGTH, WIDTH, name="both")
    x = keras_hub.layers.TransformerEncoder(2 * WIDTH, num_heads=2, name="encoder")(embedding(ids))
    return keras.Model(ids, embedding.token_embedding(x, reverse=True))


MODELS = {
    "encoder": (encoder, sequences()),
    "classifier": (classifier, sequences()),
    "language model": (language_model, sequences()["token_ids"]),
    "held table": (held_table, sequences()["token_ids"]),
}


def smallest(model):
    """The fewest parameters that can be reached."""
    with pytest.raises(ValueError, match="at least") as refusal:
        compress(model, Parameters(1))
    return int(re.search(r"at least Parameters\(([\d_]+)\)", str(refusal.value))[1])


def test_all_tables_and_matrices_of_an_encoder_are_found():
    found = [path for path, _, reason in candidates(encoder()) if reason is None]
    block = [f"transformer_layer_0/{name}" for name in PROJECTIONS + FEEDFORWARD]
    assert sorted(found) == sorted([*TABLES, *block, "pooled_dense"])


@pytest.mark.parametrize(
    ("name", "calibrated"),
    [*((name, False) for name in MODELS), ("classifier", True), ("held table", True)],
)
def test_full_ranks_give_the_same_outputs_also_from_a_file(name, calibrated, tmp_path):
    build, data = MODELS[name]
    model = build()
    plant_rank_one(model)
    before = outputs(model, data)
    small, report = compress(model, RelativeError(1e-6), data if calibrated else None)
    replaceable = {path for path, _, reason in candidates(model) if reason is None}
    stay = {row.name for row in report.layers if row.reason}
    if not calibrated:
        assert not replaceable & stay
    assert replaceable - stay
    assert type(small).__name__ == type(model).__name__
    after = outputs(small, data)
    assert_close(after, before, 1e-4)
    assert_close(outputs(saved_and_loaded(small, tmp_path), data), after, 1e-6)


@pytest.mark.parametrize(
    ("name", "calibrated"), [*((name, False) for name in MODELS), ("encoder", True)]
)
def test_a_budget_of_parameters_holds_also_from_a_file(name, calibrated, tmp_path):
    build, data = MODELS[name]
    model = build()
    before = outputs(model, data)
    limit = (smallest(model) + model.count_params()) // 2
    small, report = compress(model, Parameters(limit), data if calibrated else None)
    assert report.parameters_after == small.count_params() <= limit
    after = outputs(small, data)
    assert all(np.isfinite(y).all() for y in after)
    loaded = saved_and_loaded(small, tmp_path)
    assert loaded.count_params() == small.count_params()
    assert_close(outputs(loaded, data), after, 1e-6)
    assert_close(outputs(model, data), before, 0)


def test_a_tied_table_becomes_one_tt_matrix_that_is_used_both_ways(tmp_path):
    table = keras_hub.layers.ReversibleEmbedding(VOCABULARY, WIDTH, name="table")
    ids = keras.Input((LENGTH,), dtype="int32")
    model = keras.Model(ids, table(layers.Dense(WIDTH)(table(ids)), reverse=True))
    data = sequences()["token_ids"]
    plant_rank_one(model)
    small, _ = compress(model, RelativeError(1e-6), layers="table")
    loaded = saved_and_loaded(small, tmp_path)
    for each in (small, loaded):
        assert isinstance(each.get_layer("table"), TTEmbedding)
        assert len(each.get_layer("table")._inbound_nodes) >= 2
        assert_close(outputs(each, data), outputs(model, data), 1e-4)


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_a_compressed_encoder_runs_on_a_device(quantization):
    pytest.importorskip("ai_edge_litert", reason="LiteRT is in the extra `deployment` alone")
    from dart_keras.deployment import convert

    model, data = classifier(), sequences()
    limit = (smallest(model) + model.count_params()) // 2
    small, _ = compress(model, Parameters(limit))
    artifact = convert(small, quantization=quantization, calibration_data=data)
    received = artifact.predict({name: data[name] for name in small.input})
    tolerance = 1e-5 if quantization == "float32" else 0.1
    scale = np.abs(outputs(small, data)[0]).max()
    assert np.abs(received - outputs(small, data)[0]).max() <= tolerance * scale
