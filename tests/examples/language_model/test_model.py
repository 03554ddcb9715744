import keras
import numpy as np
import pytest

import dart_keras as dk
from examples.language_model.architecture import SIZES, Architecture
from examples.language_model.model import build_model

TINY = SIZES["tiny"]
ARCHITECTURES = {
    "dense": Architecture("tiny", "dense", 300),
    "tt": Architecture("tiny", "tt", 300, 8, 8),
    "low-rank": Architecture("tiny", "low-rank", 300, 8),
}


def windows(count=3):
    return np.random.default_rng(0).integers(300, size=(count, TINY.length), dtype="int32")


@pytest.mark.parametrize("layers", ARCHITECTURES)
def test_words_do_not_attend_to_later_words(layers):
    model = build_model(ARCHITECTURES[layers])
    words = windows()
    before = model.predict(words, verbose=0)
    assert before.shape == (3, TINY.length, 300)
    changed = words.copy()
    changed[:, 9:] = windows(6)[3:, 9:]
    after = model.predict(changed, verbose=0)
    np.testing.assert_allclose(after[:, :9], before[:, :9], atol=1e-6)
    assert np.abs(after[:, 9:] - before[:, 9:]).max(axis=(0, 2)).min() > 1e-4


@pytest.mark.parametrize("layers", ARCHITECTURES)
def test_file_loads_without_this_code_and_predicts_the_same(tmp_path, layers):
    model = build_model(ARCHITECTURES[layers], 0.1, dk.regularizers.NuclearNorm(0.1))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(windows(), verbose=0), model.predict(windows(), verbose=0)
    )


def test_tt_model_of_full_rank_equals_the_dense_model():
    dense = build_model(ARCHITECTURES["dense"])
    tt_model = build_model(Architecture("tiny", "tt", 300, 32, 64))
    for layer in dense.layers:
        if isinstance(layer, keras.layers.Dense):
            tt = dk.layers.TTDense.from_dense(
                layer, input_modes=(layer.kernel.shape[0], 1), output_modes=(1, layer.units)
            )
            other = tt_model.get_layer(layer.name)
            assert tt.ranks == other.ranks
            other.set_weights(tt.get_weights())
        elif layer.weights and layer.name != "table":
            tt_model.get_layer(layer.name).set_weights(layer.get_weights())
    table = dense.get_layer("table").get_weights()[0]
    start = 0
    for layer in tt_model.layers:
        if isinstance(layer, dk.layers.TTEmbedding):
            rows = dk.tensor_train.TTMatrix.from_dense(
                table[start : start + layer.input_dim], layer.input_modes, layer.output_modes
            )
            layer.set_weights(rows.cores)
            start += layer.input_dim
    assert start == 300
    np.testing.assert_allclose(
        tt_model.predict(windows(), verbose=0), dense.predict(windows(), verbose=0), atol=1e-4
    )


def test_last_word_only(tmp_path):
    model = build_model(ARCHITECTURES["tt"])
    model.save(tmp_path / "model.keras")
    last = build_model(ARCHITECTURES["tt"], last_only=True)
    last.load_weights(tmp_path / "model.keras")
    np.testing.assert_allclose(
        last.predict(windows(), verbose=0), model.predict(windows(), verbose=0)[:, -1], atol=1e-6
    )
