import itertools

import keras
import numpy as np
import pytest
from keras import ops

from dart_keras.budgets import MultiplyAdds, Parameters, RelativeError
from dart_keras.callbacks import NestedRanks, RankDiscretization
from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding
from dart_keras.layers.nested_gates import NestedGates
from dart_keras.layers.rank_gates import RankGates
from dart_keras.regularizers import GroupLasso
from dart_keras.selection import Threshold

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 16)).astype("float32")
# The singular values fall off: a matrix that small ranks come close to.
Y = (X @ (RNG.normal(size=(16, 16)) * 0.6 ** np.arange(16))).astype("float32")
IDS = RNG.integers(0, 24, (64, 4)).astype("int32")


def sequential():
    keras.utils.set_random_seed(0)
    layer = TTDense(16, 8, name="tt")
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16), layer])
    model.compile("adam", "mse")
    return model, X, Y


def functional():
    keras.utils.set_random_seed(0)
    ids = keras.Input((4,), dtype="int32")
    x = TTEmbedding(24, 16, 6, rank_regularizer=GroupLasso(1e-4), name="table")(ids)
    x = TTEinsumDense("abc,cd->abd", (None, 16), 4, name="einsum")(x)
    x = keras.layers.LayerNormalization()(x)
    model = keras.Model(ids, TTDense(24, 6, name="dense")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(0.01), loss)
    return model, IDS, IDS


def tt_layers(model):
    return [layer for layer in model.layers if hasattr(layer, "ranks")]


def fit(problem, *callbacks, epochs=2, **arguments):
    model, x, y = problem
    options = {"batch_size": 32, "shuffle": False, "verbose": 0, **arguments}
    return model.fit(x, y, epochs=epochs, callbacks=list(callbacks), **options)


def arrays(model):
    return [ops.convert_to_numpy(weight) for weight in model.weights]


@pytest.mark.parametrize("make", [sequential, functional], ids=["sequential", "functional"])
def test_smaller_models_are_the_first_slices_of_the_trained_one(make):
    model, x, y = problem = make()
    nested = NestedRanks(seed=0)
    fit(problem, nested)
    before, outputs = arrays(model), model.predict(x, verbose=0)
    full = [layer.ranks for layer in tt_layers(model)]
    taken = sum(int(np.prod(core.shape)) for layer in tt_layers(model) for core in layer.cores)

    small = nested.model_at(Parameters(taken // 2))
    for layer, whole in zip(tt_layers(small), tt_layers(model), strict=True):
        assert (layer.ranks_fixed, layer.rank_gates, layer.rank_regularizer) == (True, None, None)
        for core, whole_core in zip(layer.cores, whole.cores, strict=True):
            first = ops.convert_to_numpy(whole_core)[: core.shape[0], ..., : core.shape[3]]
            np.testing.assert_array_equal(core, first)
    cores = [core for layer in tt_layers(small) for core in layer.cores]
    assert taken / 4 < sum(int(np.prod(core.shape)) for core in cores) <= taken // 2
    assert small.losses == []
    small.compile("adam", model.loss)
    assert np.isfinite(small.evaluate(x, y, verbose=0))

    # The trained model is as it was, at its full ranks.
    assert [layer.ranks for layer in tt_layers(model)] == full
    assert all(layer.rank_gates is None for layer in tt_layers(model))
    for one, other in zip(arrays(model), before, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.predict(x, verbose=0), outputs)
    whole = nested.model_at(MultiplyAdds(10**9))
    np.testing.assert_allclose(whole.predict(x, verbose=0), outputs, atol=1e-5)
    fine = nested.model_at(RelativeError(1e-6))
    assert [layer.ranks for layer in tt_layers(fine)] == full
    # And ready to be trained further, without draws.
    fit(problem)


def test_the_first_slices_matter_most():
    model = keras.Sequential([keras.Input((16,)), TTDense(16, 8, (4, 4), (4, 4))])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    nested = NestedRanks(seed=1)
    fit((model, X, Y), nested, epochs=15)

    def error(model):
        return float(np.mean(np.square(ops.convert_to_numpy(model(X)) - Y)))

    errors = [error(nested.model_at(Parameters(32 * rank))) for rank in (1, 2, 4)]
    assert errors == sorted(errors, reverse=True)
    # The last four slices alone are worth less than the first four.
    core = model.layers[0].cores[0]
    core.assign(np.where(np.arange(8) < 4, 0, ops.convert_to_numpy(core)))
    assert error(model) > 1.2 * errors[2]


def test_steps_differ_from_those_of_full_ranks_and_repeat_by_the_seed():
    losses = [
        fit(sequential(), *callbacks, epochs=1).history["loss"]
        for callbacks in ([], [NestedRanks(0)], [NestedRanks(0)], [NestedRanks(1)])
    ]
    plain, once, again, other = losses
    assert once == again
    assert all(a != b for a, b in itertools.combinations((plain, once, other), 2))


class PowerCut(Exception):  # noqa: N818
    pass


def cut_power(epoch, logs=None):
    if epoch == 2:
        raise PowerCut


@pytest.mark.parametrize("is_first", [True, False], ids=["listed first", "listed last"])
def test_a_run_that_is_resumed_is_the_same(tmp_path, is_first):
    def run(*more):
        model, *data = sequential()
        backup = keras.callbacks.BackupAndRestore(tmp_path)
        order = [NestedRanks(seed=None), backup][:: 1 if is_first else -1]
        history = fit((model, *data), *order, *more, epochs=4)
        return model, history

    whole, _ = run()
    with pytest.raises(PowerCut):
        run(keras.callbacks.LambdaCallback(on_epoch_begin=cut_power))
    resumed, history = run()
    assert history.epoch == [2, 3]
    for one, other in zip(arrays(resumed), arrays(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_model_is_trained_again_also_after_an_interruption():
    problem = sequential()
    model = problem[0]
    with pytest.raises(PowerCut):
        fit(
            problem,
            NestedRanks(),
            keras.callbacks.LambdaCallback(on_epoch_begin=cut_power),
            epochs=3,
        )
    assert isinstance(model.layers[1].rank_gates, NestedGates)
    for _ in range(2):
        nested = NestedRanks()
        fit(problem, nested)
        assert model.layers[1].rank_gates is None
        assert nested.model_at(Parameters(100)).layers[1].ranks == (1, 3, 1)
    # A cut makes the ranks final.
    fit(problem, RankDiscretization(Parameters(100), epoch=1))
    assert model.layers[1].ranks_fixed


def test_smaller_models_can_be_taken_while_training_runs():
    problem, nested, ranks = sequential(), NestedRanks(seed=0), []

    def take(epoch, logs=None):
        small = nested.model_at(Parameters(100))
        ranks.append(small.layers[1].ranks)
        first = ops.convert_to_numpy(problem[0].layers[1].cores[0])[..., :3]
        np.testing.assert_array_equal(ops.convert_to_numpy(small.layers[1].cores[0]), first)

    history = fit(problem, nested, keras.callbacks.LambdaCallback(on_epoch_end=take))
    assert ranks == [(1, 3, 1)] * 2
    assert history.history == fit(sequential(), NestedRanks(seed=0)).history


def test_a_model_that_the_first_step_builds():
    model = keras.Sequential([TTDense(16, 8)])
    model.compile("adam", "mse")
    nested = NestedRanks(seed=0)
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(model.layers[0].rank_gates)
    )
    fit((model, X, Y), nested, look)
    assert isinstance(seen[1], NestedGates)
    assert model.layers[0].rank_gates is None
    assert nested.model_at(Parameters(100)).layers[0].ranks == (1, 3, 1)


def test_frozen_layers_are_left_alone():
    model = keras.Sequential([keras.Input((16,)), TTDense(16, 8), TTDense(16, 8)])
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    nested = NestedRanks()
    fit((model, X, Y), nested)
    assert [layer.ranks for layer in nested.model_at(Parameters(100)).layers] == [
        (1, 8, 1),
        (1, 3, 1),
    ]


def refused(model, message):
    before = arrays(model)
    gates = [layer.rank_gates for layer in tt_layers(model)]
    with pytest.raises(ValueError, match=message):
        fit((model, X, Y), NestedRanks())
    assert [layer.rank_gates for layer in tt_layers(model)] == gates
    assert int(model.optimizer.iterations) == 0
    for one, other in zip(arrays(model), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bad_input_is_refused_before_training():
    model, *_ = sequential()
    model.layers[1].truncate(4, fix_ranks=True)
    refused(model, "whose ranks are not final")

    model, *_ = sequential()
    layer = model.layers[1]
    layer.add_rank_gates(RankGates(layer.ranks, (4, 4), (4, 4), 0.1, 1.0))
    refused(model, "expected layers without rank gates")

    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16)])
    model.compile("adam", "mse")
    refused(model, "NestedRanks expected a model with TT layers")


def test_model_at_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="Expected a model that `fit` has trained"):
        NestedRanks().model_at(Parameters(100))
    problem, nested = sequential(), NestedRanks()
    fit(problem, nested)
    with pytest.raises(ValueError, match=r"Expected a budget of at least Parameters\(32\)"):
        nested.model_at(Parameters(31))
    with pytest.raises(ValueError, match=r"Expected a budget of `dart_keras\.budgets`"):
        nested.model_at(Threshold(0.1))
    layer = problem[0].layers[1]
    layer.cores[0].assign(np.full(layer.cores[0].shape, np.nan))
    with pytest.raises(ValueError, match="Expected finite weights"):
        nested.model_at(Parameters(100))
