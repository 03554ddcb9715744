import keras
import numpy as np
import pytest

from dart_keras.callbacks import RankDiscretization
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.regularizers import NuclearNorm
from dart_keras.selection import GumbelSoftmax
from tests.selection.models import select

X = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")


def model_with():
    model = keras.Sequential(
        [
            keras.Input((16,)),
            TTDense(16, 6, (4, 4), (4, 4)),
            TTDense(16, (3, 4), (2, 4, 2), (2, 4, 2)),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def test_beginning_puts_gates_into_every_layer_and_into_the_optimizer():
    model = model_with()
    model.fit(X, X, verbose=0)
    GumbelSoftmax().begin(model, model.layers)
    assert [len(layer.rank_gates.logits) for layer in model.layers] == [1, 2]
    held = {id(v) for v in model.optimizer._trainable_variables}
    assert held == {id(v) for v in model.trainable_variables}
    gates = [layer.rank_gates for layer in model.layers]
    GumbelSoftmax().begin(model, model.layers)  # as a second `fit` does
    assert all(layer.rank_gates is each for layer, each in zip(model.layers, gates, strict=True))


def test_the_temperature_falls_to_the_final_one():
    model = model_with()
    selection = GumbelSoftmax(temperature=2.0, final_temperature=0.5, decay=0.5)
    selection.begin(model, model.layers)
    for epoch, temperature in ((0, 2.0), (1, 1.0), (2, 0.5), (9, 0.5)):
        selection.on_epoch(model.layers, epoch)
        for layer in model.layers:
            assert float(layer.rank_gates.temperature) == temperature


def test_a_strong_cost_leaves_low_ranks_and_no_cost_does_not():
    expected = []
    for strength in (0.0, 5.0):
        keras.utils.set_random_seed(0)
        model = model_with()
        model.compile(keras.optimizers.Adam(0.1), "mse")
        selection = GumbelSoftmax(strength=strength, seed=1)
        selection.begin(model, model.layers)
        model.fit(X, X, epochs=15, verbose=0)
        expected.append(selection.effective_ranks(model.layers))
        chosen = selection.select(model, model.layers)
        assert chosen == [layer.rank_gates.selected_ranks() for layer in model.layers]
    assert expected[0].shape == (3,)
    assert np.all(expected[1] < expected[0])
    assert np.all(expected[1] < 2)


def test_selected_ranks_are_the_likeliest_and_those_of_the_matrix_that_inference_uses():
    model = model_with()
    selection = GumbelSoftmax()
    selection.begin(model, model.layers)
    wanted = [(1, 3, 1), (1, 2, 4, 1)]
    for layer, ranks in zip(model.layers, wanted, strict=True):
        for logits, rank in zip(layer.rank_gates.logits, ranks[1:-1], strict=True):
            logits.assign(3.0 * np.eye(logits.shape[0])[rank - 1])
    assert selection.select(model, model.layers) == wanted
    before = model.predict(X, verbose=0)
    for layer, ranks in zip(model.layers, wanted, strict=True):
        for values, rank in zip(layer.bond_singular_values(), ranks[1:-1], strict=True):
            assert np.sum(values > 1e-9 * values[0]) == rank
        assert layer.truncate(ranks) < 1e-6
        layer.forget_adaptation()
    np.testing.assert_allclose(model.predict(X, verbose=0), before, atol=1e-4)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_gates_are_float32_under_every_policy(policy):
    ids = np.arange(32).reshape(8, 4) % 16
    arguments = {"ranks": 4, "input_modes": (4, 4), "output_modes": (4, 4), "dtype": policy}
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            TTEmbedding(16, 16, name="table", **arguments),
            TTDense(16, rank_regularizer=NuclearNorm(0.1), name="dense", **arguments),
        ]
    )
    # Adam's epsilon is zero in float16, whatever the layers are.
    model.compile(keras.optimizers.SGD(0.1), "mse")
    cut = RankDiscretization(GumbelSoftmax(strength=0.5, seed=0), epoch=2)
    logits, costs = [], []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch < 2:
                gates = [layer.rank_gates for layer in self.model.layers]
                assert {v.dtype for each in gates for v in each.weights} == {"float32"}
                logits.append(np.concatenate([v.numpy() for g in gates for v in g.logits]))
                costs.append(gates[0].penalty())

    history = model.fit(
        ids, np.ones((8, 4, 16)), epochs=3, batch_size=4, verbose=0, callbacks=[cut, Watch()]
    )
    assert np.all(np.isfinite(history.history["loss"]))
    # The cost moves the logits, also where half precision would round its small steps away.
    assert np.all(np.abs(logits[0]) > 0)
    assert {keras.backend.standardize_dtype(cost.dtype) for cost in costs} == {"float32"}
    assert keras.backend.standardize_dtype(model(ids).dtype) == policy.removeprefix("mixed_")
    assert all(layer.ranks_fixed for layer in model.layers)


def test_layers_without_gates_are_refused():
    layer = TTDense(16, 4, name="lonely")
    layer.build((None, 16))
    with pytest.raises(ValueError, match="Received: layer 'lonely' without rank gates"):
        select(GumbelSoftmax(), layer)
    with pytest.raises(ValueError, match="Received: layer 'lonely' without rank gates"):
        GumbelSoftmax().effective_ranks([layer])


@pytest.mark.parametrize(
    "arguments",
    [
        {"strength": -1},
        {"strength": float("nan")},
        {"temperature": 0.05},
        {"final_temperature": 0},
        {"temperature": -1.0, "final_temperature": -2.0},
        {"decay": 0},
        {"decay": 1.5},
        {"decay": "0.5"},
    ],
)
def test_arguments_out_of_range_are_refused(arguments):
    name, value = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: .*{name}={value!r}"):
        GumbelSoftmax(**arguments)
