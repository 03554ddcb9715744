import keras
import numpy as np
import pytest

import dart_keras as dk


def functional():
    ids = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(100, 16, name="table")(ids)
    x = keras.layers.Flatten()(x)
    shared = keras.layers.Dense(80, activation="relu", name="shared")
    x = keras.layers.BatchNormalization()(shared(shared(x)))
    return keras.Model(ids, keras.layers.Dense(3, name="logits")(x))


IDS = np.random.default_rng(0).integers(0, 100, (8, 5))


def test_full_ranks_give_the_same_model_and_leave_the_original_alone():
    model = functional()
    weights = model.get_weights()
    small, report = dk.compression.compress(model, dk.selection.Energy(1e-6))
    np.testing.assert_allclose(
        small.predict(IDS, verbose=0), model.predict(IDS, verbose=0), atol=1e-4
    )
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    assert {layer.name for layer in report.layers} == {"table", "shared", "logits"}
    assert isinstance(small.get_layer("table"), dk.layers.TTEmbedding)


def test_a_budget_holds_over_the_whole_model():
    small, report = dk.compression.compress(functional(), dk.selection.Budget(2000))
    trains = [layer for layer in small.layers if hasattr(layer, "cores")]
    assert sum(np.size(core) for layer in trains for core in layer.cores) <= 2000
    assert report.parameters_after == small.count_params() < report.parameters_before
    assert all(0 <= layer.error < 1 for layer in report.layers)
    assert "shared" in str(report)


def test_sequential_models_nested_in_each_other():
    inner = keras.Sequential([keras.Input((16,)), keras.layers.Dense(64), keras.layers.Dense(16)])
    model = keras.Sequential([keras.Input((16,)), inner, keras.layers.Dense(16)])
    small, report = dk.compression.compress(model, dk.selection.Energy(1e-6))
    x = np.random.default_rng(0).normal(size=(4, 16)).astype("float32")
    np.testing.assert_allclose(small.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-4)
    assert len(report.layers) == 3


def test_refusals():
    with pytest.raises(ValueError, match="with none"):
        dk.compression.compress(
            keras.Sequential([keras.Input((4,)), keras.layers.ReLU()]), dk.selection.Energy(0.1)
        )
    with pytest.raises(ValueError, match="budget"):
        dk.compression.compress(functional(), 1000)
    with pytest.raises(ValueError, match="built"):
        dk.compression.compress(keras.Sequential([keras.layers.Dense(4)]), dk.selection.Energy(0.1))


def test_projections_inside_attention_and_a_save(tmp_path):
    x = keras.Input((6, 32))
    attention = keras.layers.MultiHeadAttention(4, 8, name="attention")
    model = keras.Model(x, keras.layers.Dense(32, name="last")(attention(x, x)))
    small, report = dk.compression.compress(model, dk.selection.Energy(1e-6))
    names = ["query", "key", "value", "attention_output"]
    assert [row.name for row in report.layers] == [*(f"attention/{n}" for n in names), "last"]
    rows = np.random.default_rng(0).normal(size=(3, 6, 32)).astype("float32")
    expected = model.predict(rows, verbose=0)
    np.testing.assert_allclose(small.predict(rows, verbose=0), expected, atol=1e-4)
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(loaded.predict(rows, verbose=0), expected, atol=1e-4)
