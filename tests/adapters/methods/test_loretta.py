import keras
import numpy as np
import pytest

from dart_keras import adapters
from dart_keras.callbacks import RankDiscretization
from dart_keras.regularizers import NuclearNorm
from dart_keras.selection import Threshold
from tests.adapters.methods.small_layers import (
    COLUMNS,
    LAYERS,
    RNG,
    ROWS,
    adapted,
    adapter_of,
    count,
    inputs_of,
    kernel_and_bias,
    outputs_of,
    randomize,
    rows_of,
)

METHODS = [adapters.LoRETTA(rank=3, tt_rank=2), adapters.LoRETTAAdp(width=6, tt_rank=2)]


@pytest.mark.parametrize("kind", LAYERS)
def test_adds_a_product_of_two_tt_matrices(kind):
    base, model = adapted(kind, adapters.LoRETTA(rank=4, tt_rank=2, alpha=6))
    randomize(model)
    x = inputs_of(base)
    kernel, bias = kernel_and_bias(base)
    adapter = adapter_of(model)
    a, b = adapter.first.to_dense(), adapter.second.to_dense()
    assert a.shape == (ROWS, 4)
    assert b.shape == (4, COLUMNS)
    expected = rows_of(x, ROWS) @ (kernel + 6 / 4 * a @ b) + bias
    np.testing.assert_allclose(
        rows_of(outputs_of(model, x), COLUMNS), expected, rtol=1e-4, atol=1e-4
    )


def test_a_table_in_both_directions():
    table = keras.layers.ReversibleEmbedding(30, COLUMNS, name="hidden")
    base = keras.Sequential([keras.Input((3,), dtype="int32"), table])
    model = adapters.adapt(base, adapters.LoRETTA(rank=2, alpha=2), ["hidden"])
    randomize(model)
    adapter = adapter_of(model)
    matrix = table.get_weights()[0] + adapter.first.to_dense() @ adapter.second.to_dense()
    ids = RNG.integers(30, size=(4, 3))
    np.testing.assert_allclose(outputs_of(model, ids), matrix[ids], rtol=1e-4, atol=1e-4)
    x = RNG.normal(size=(4, COLUMNS)).astype("float32")
    logits = keras.ops.convert_to_numpy(model.layers[-1](x, reverse=True))
    np.testing.assert_allclose(logits, x @ matrix.T, rtol=1e-4, atol=1e-4)


def test_counts_of_parameters():
    layer = keras.layers.Dense(768, name="hidden")
    base = keras.Sequential([keras.Input((768,)), layer])
    model = adapters.adapt(base, adapters.LoRETTA(), ["hidden"])
    # Modes 12, 8, 8 and 8 of the first matrix, 8, 8, 8 and 12 of the second one.
    assert count(model) == 2 * 5 * (12 + 8 * 5 + 8 * 5 + 8)
    assert adapter_of(model).scale == 2
    model = adapters.adapt(base, adapters.LoRETTAAdp(), ["hidden"])
    assert count(model) == 2 * 5 * (12 + 8 * 5 + 8 * 5 + 8 * 5 + 8) + 64 + 768


def test_starts_with_one_zero_core():
    _, model = adapted("dense", adapters.LoRETTA(rank=3, tt_rank=2))
    zero = [not np.any(keras.ops.convert_to_numpy(w)) for w in model.trainable_variables]
    assert zero == [False] * (len(zero) - 1) + [True]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_bottleneck(kind, activation):
    method = adapters.LoRETTAAdp(width=6, tt_rank=2, activation=activation)
    base, model = adapted(kind, method)
    randomize(model)
    x = inputs_of(base)
    adapter = adapter_of(model)
    biases = [keras.ops.convert_to_numpy(x.bias) for x in (adapter.first, adapter.second)]
    outputs = rows_of(outputs_of(base, x), COLUMNS)
    hidden = outputs @ adapter.first.to_dense() + biases[0]
    hidden = np.tanh(hidden) if activation == "tanh" else np.maximum(hidden, 0)
    expected = outputs + hidden @ adapter.second.to_dense() + biases[1]
    np.testing.assert_allclose(
        rows_of(outputs_of(model, x), COLUMNS), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("use", [adapters.merge, lambda model: adapters.to_lora(model, rank=1)])
def test_a_bottleneck_cannot_be_merged(use):
    _, model = adapted("dense", METHODS[1])
    with pytest.raises(ValueError, match="cannot be merged"):
        use(model)


@pytest.mark.parametrize("method", METHODS)
def test_ranks_are_learned(method, tmp_path):
    base, model = adapted("heads", method)
    randomize(model)
    x = inputs_of(base, 8)
    model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)
    cut = RankDiscretization(Threshold(0.99), epoch=1)
    model.fit(x, np.zeros((8, 3, 2, 5)), epochs=2, verbose=0, callbacks=[cut])
    adapter = adapter_of(model)
    assert set(cut.cuts[0]["ranks_after"]) == {adapter.first.name, adapter.second.name}
    assert set(adapter.first.ranks) == {1}
    for path in (tmp_path / "some.keras", tmp_path / "some.adapter"):
        if path.suffix == ".keras":
            model.save(path)
            loaded = keras.models.load_model(path)
        else:
            adapters.save(model, path)
            loaded = adapters.load(base, path)
        assert adapter_of(loaded).second.ranks == adapter.second.ranks
        np.testing.assert_allclose(outputs_of(loaded, x), outputs_of(model, x), atol=1e-5)


@pytest.mark.parametrize("kind", [adapters.LoRETTA, adapters.LoRETTAAdp])
def test_a_rank_regularizer_of_both_matrices(kind, tmp_path):
    size = {"rank": 3} if kind is adapters.LoRETTA else {"width": 6}
    _, model = adapted("dense", kind(rank_regularizer=NuclearNorm(0.01), **size))
    adapter = adapter_of(model)
    assert len(model.losses) == len(adapter.first.cores) + len(adapter.second.cores)
    model.save(tmp_path / "some.keras")
    loaded = adapter_of(keras.models.load_model(tmp_path / "some.keras"))
    assert isinstance(loaded.second.rank_regularizer, NuclearNorm)


def test_refusals():
    with pytest.raises(ValueError, match="at most 10 for layer 'hidden'"):
        adapted("dense", adapters.LoRETTA(rank=11))
    with pytest.raises(ValueError, match=r"`tt_rank` of `LoRETTA`.*tt_rank=0"):
        adapters.LoRETTA(tt_rank=0)
    with pytest.raises(ValueError, match=r"`width` of `LoRETTAAdp`.*width=2.5"):
        adapters.LoRETTAAdp(width=2.5)
    with pytest.raises(ValueError, match="activation='gelu'"):
        adapters.LoRETTAAdp(activation="gelu")
    table = keras.layers.Embedding(ROWS, COLUMNS, name="hidden")
    base = keras.Sequential([keras.Input((3,), dtype="int32"), table])
    with pytest.raises(ValueError, match="layer 'hidden', which looks up rows"):
        adapters.adapt(base, METHODS[1], ["hidden"])
