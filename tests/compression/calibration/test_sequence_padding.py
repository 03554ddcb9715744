"""Rows of padding do not count, whether a mask or an input says which they are."""

import keras
import keras_hub
import numpy as np
import pytest

from dart_keras.budgets import Parameters
from dart_keras.compression import compress
from dart_keras.compression.calibration import sequence_padding
from dart_keras.compression.calibration.batches import CalibrationBatches
from dart_keras.compression.calibration.layer_statistics import calibration_statistics
from dart_keras.compression.calibration.sequence_padding import VisibleRows, without_padding
from dart_keras.compression.compressible import find_compressible_layers

ROWS, WIDTH = 48, 12
LENGTHS = np.random.default_rng(0).integers(2, 9, size=ROWS)


def sentences(width=WIDTH):
    ids = np.random.default_rng(1).integers(1, 40, size=(ROWS, 8))
    ids = np.pad(ids, ((0, 0), (0, width - 8)), constant_values=3)
    mask = (np.arange(width) < LENGTHS[:, None]).astype("int32")
    return {"token_ids": ids * mask, "padding_mask": mask, "segment_ids": 0 * ids}


def encoder():
    keras.utils.set_random_seed(0)
    model = keras_hub.models.BertBackbone(40, 2, 2, 16, 24, dropout=0, max_sequence_length=16)
    return keras.Model(model.inputs, model.output["sequence_output"])


def evidence_of(model, data):
    compressibles, found = find_compressible_layers(model)
    batches = CalibrationBatches(model, data).some
    statistics = calibration_statistics(model, compressibles, batches, found)
    return {x.path: y for x, y in zip(compressibles, statistics.evidence, strict=True)}


def test_more_padding_makes_no_other_model():
    model = encoder()
    budget = Parameters(int(0.6 * model.count_params()))
    narrow, wide = (compress(model, budget, sentences(width)) for width in (8, 16))
    for a, b in zip(narrow[0].get_weights(), wide[0].get_weights(), strict=True):
        assert a.shape == b.shape
    outputs = [np.asarray(small(sentences(8), training=False)) for small, _ in (narrow, wide)]
    np.testing.assert_allclose(*outputs, atol=2e-2)
    before, after = (report.agreement.outputs[0]["sqnr_db"] for _, report in (narrow, wide))
    assert before == pytest.approx(after, abs=0.1)


def test_tokens_are_counted_and_padding_is_not():
    for path, evidence in evidence_of(encoder(), sentences()).items():
        count = evidence.counts.sum() if hasattr(evidence, "counts") else evidence.count
        assert count == np.sum(LENGTHS), path


def test_masks_of_keras_count():
    ids = keras.Input((WIDTH,), dtype="int32")
    x = keras.layers.Embedding(40, 8, mask_zero=True, name="table")(ids)
    x = keras.layers.Dense(8, name="dense")(x)
    model = keras.Model(ids, keras.layers.Dense(4, name="last")(x))
    found = evidence_of(model, sentences()["token_ids"])
    tokens = np.sum(sentences()["token_ids"] != 0)
    assert [found["table"].counts.sum(), found["dense"].count, found["last"].count] == [tokens] * 3


def test_batches_are_as_long_as_their_data(monkeypatch):
    monkeypatch.setattr(sequence_padding, "_MOST_ROWS", 32)
    model = encoder()
    rows = sentences()
    found = without_padding(model, [rows, rows])
    batches = [batch for batch, _ in found]
    every = np.concatenate([rows["token_ids"]] * 2)
    for batch, places in found:
        ids = np.asarray(batch["token_ids"])
        np.testing.assert_array_equal(ids, every[places, : ids.shape[1]])
    widths = [batch["token_ids"].shape[1] for batch in batches]
    assert max(widths) == max(LENGTHS)
    assert min(widths) < max(widths)
    for batch in batches:
        assert {x.shape for x in batch.values()} == {batch["token_ids"].shape}
        assert np.asarray(batch["padding_mask"])[:, -1].any()
    kept = sorted(
        tuple(np.asarray(ids)[np.asarray(mask) == 1])
        for batch in batches
        for ids, mask in zip(batch["token_ids"], batch["padding_mask"], strict=True)
    )
    given = [tuple(i[m == 1]) for i, m in zip(rows["token_ids"], rows["padding_mask"], strict=True)]
    assert kept == sorted([*given, *given])


def pooling():
    """A model that takes padding for data."""
    inputs = encoder().inputs
    x = keras.layers.Embedding(40, 8)(inputs[-1])
    mask = keras.ops.cast(inputs[0], "float32")[..., None]
    return keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x + mask))


def of_one_length():
    inputs = {name: keras.Input((WIDTH,), dtype="int32", name=name) for name in sentences()}
    x = keras.layers.Embedding(40, 8)(inputs["token_ids"])
    return keras.Model(inputs, x * keras.ops.cast(inputs["padding_mask"][..., None], "float32"))


class Subclassed(keras.Model):
    """A model that takes one length, of which its inputs do not tell."""

    def __init__(self):
        super().__init__()
        self.flat = keras.layers.Dense(4)

    def call(self, inputs):
        return self.flat(keras.ops.cast(inputs["token_ids"], "float32"))


def subclassed():
    model = Subclassed()
    model(sentences())
    return model


@pytest.mark.parametrize("build", [pooling, of_one_length, subclassed])
def test_batches_stay_where_padding_matters(build):
    model = build()
    rows = sentences()
    assert without_padding(model, [rows]) is None


def test_without_a_mask_all_rows_are_data():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    batch = np.zeros((3, 4), "float32")
    assert VisibleRows(model, batch).of(batch, 3) is None
    assert without_padding(model, [batch]) is None


def test_data_that_keras_masks_are_refused():
    stack = [keras.layers.Embedding(40, 8, mask_zero=True), keras.layers.Dense(8)]
    model = keras.Sequential([keras.Input((4,), dtype="int32"), *stack])
    with pytest.raises(ValueError, match="mask hides all rows"):
        compress(model, Parameters(200), np.zeros((8, 4), "int32"))


def test_data_of_padding_alone_are_refused():
    data = sentences()
    data["padding_mask"] = 0 * data["padding_mask"]
    with pytest.raises(ValueError, match="nothing but padding"):
        compress(encoder(), Parameters(2000), data)
