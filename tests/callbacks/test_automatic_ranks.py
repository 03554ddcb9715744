"""`RankDiscretization` with a budget and nothing else."""

import itertools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import dart_keras as dk
from dart_keras.budgets import FlashBytes, LossIncrease, MultiplyAdds, Parameters, RelativeError
from dart_keras.callbacks import RankDiscretization
from dart_keras.callbacks.automatic_ranks import AutomaticRanks
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.selection.budget_selection import selection_for
from dart_keras.selection.layer_budget import parameters_of
from dart_keras.tensor_train import TTMatrix

RNG = np.random.default_rng(0)
MODES = (4, 4, 4)
TEACHER = (1, 3, 5, 1)
# What a layer with the teacher's ranks has.
PLANTED = 16 * (3 + 15 + 5)


def pairs():
    """Noisy inputs and outputs of a TT matrix of known ranks."""
    tt = TTMatrix(
        tuple(RNG.normal(size=(left, 4, 4, right)) for left, right in itertools.pairwise(TEACHER))
    )
    x = RNG.normal(size=(2048, 64))
    y = x @ tt.to_dense() / tt.norm() * 8 + 0.1 * RNG.normal(size=(2048, 64))
    return x.astype("float32"), y.astype("float32")


X, Y = pairs()
SMALL = X[:256], Y[:256]


def student(ranks=None, build=True):
    keras.utils.set_random_seed(0)
    layer = TTDense(
        64,
        **({} if ranks is None else {"ranks": ranks}),
        input_modes=MODES,
        output_modes=MODES,
        use_bias=False,
        name="student",
    )
    model = keras.Sequential([keras.Input((64,)), layer] if build else [layer])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def two_layers():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64,))
    hidden = TTDense(64, activation="tanh", name="first")(inputs)
    model = keras.Model(inputs, TTDense(64, name="second")(hidden))
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return model


def layers_of(model):
    return [layer for layer in model.layers if hasattr(layer, "ranks_fixed")]


def ranks_of(model):
    return [layer.ranks for layer in layers_of(model)]


def size_of(model):
    return sum(parameters_of(layer, layer.ranks) for layer in layers_of(model))


def fit(model, *callbacks, data=SMALL, epochs=4, **arguments):
    x, y = data
    return model.fit(
        x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments
    )


@pytest.mark.parametrize("ranks", [None, 2], ids=str)
def test_planted_ranks_are_found_by_size(ranks):
    model = student(ranks)
    cut = RankDiscretization(Parameters(PLANTED))
    history = fit(model, cut, data=(X, Y), epochs=16)
    assert model.layers[0].ranks == TEACHER
    assert model.layers[0].ranks_fixed
    # The noise has a variance of 0.01.
    assert history.history["loss"][-1] < 0.015


def test_small_initial_ranks_are_no_limit():
    seen = []
    for ranks in (None, 2):
        model = student(ranks)
        watch = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, model=model: seen.append(ranks_of(model))
        )
        fit(model, RankDiscretization(Parameters(60)), watch, epochs=2)
    assert seen[0] == seen[len(seen) // 2] == [(1, 8, 8, 1)]


def test_layers_that_do_not_grow_keep_their_initial_values():
    inputs = keras.Input((64,))
    # The second one cannot have more ranks.
    full = TTDense(4, name="full")
    model = keras.Model(inputs, full(TTDense(8, 2, name="grows")(inputs)))
    model.compile("adam", "mse")
    before, seen = full.get_weights(), []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(full.get_weights())
    )
    cut = RankDiscretization(Parameters(150))
    fit(model, cut, watch, data=(SMALL[0], SMALL[1][:, :4]), epochs=2)
    assert max(cut.cuts[0]["ranks_before"]["grows"]) > 2
    for old, new in zip(before, seen[0], strict=True):
        np.testing.assert_array_equal(old, new)


def test_trained_layers_grow_without_a_change_of_the_outputs():
    trained, model, seen = two_layers(), two_layers(), []
    fit(trained, epochs=1)
    # As after loading: its optimizer is new, its weights are not.
    model.set_weights(trained.get_weights())
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(
            (ranks_of(model), np.array(model(SMALL[0])))
        )
    )
    fit(model, RankDiscretization(Parameters(2500)), watch, epochs=2)
    ranks, outputs = seen[0]
    assert ranks != ranks_of(trained)
    np.testing.assert_allclose(outputs, np.array(trained(SMALL[0])), atol=1e-5)


def test_planted_ranks_are_found_by_loss():
    model = student()
    cut = RankDiscretization(LossIncrease(0.05))
    val = X[1536:], Y[1536:]
    data = X[:1536], Y[:1536]
    history = fit(model, cut, data=data, validation_data=val, epochs=24).history
    assert model.layers[0].ranks == TEACHER
    assert model.layers[0].ranks_fixed
    assert cut.loss_limit is not None
    assert history["val_loss"][-1] <= cut.loss_limit


def built_by_its_first_batch():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([TTDense(64, activation="tanh"), TTDense(64)])
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return model


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = TTDense(64, activation="tanh")
        self.out = TTDense(64)

    def call(self, x):
        return self.out(self.hidden(x))


def subclassed():
    keras.utils.set_random_seed(0)
    model = Subclassed()
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return model


@pytest.mark.parametrize(
    ("make", "epochs"), [(two_layers, 4), (built_by_its_first_batch, 2), (subclassed, 2)]
)
def test_the_cut_model_makes_use_of_the_budget(make, epochs):
    model = make()
    cut = RankDiscretization(Parameters(2500))
    fit(model, cut, epochs=epochs)
    assert 0.9 * 2500 < size_of(model) <= 2500
    assert all(layer.ranks_fixed for layer in layers_of(model))
    assert len(cut.cuts) == 1


@pytest.mark.parametrize("epochs", range(2, 13))
@pytest.mark.parametrize("first", [0, 3])
def test_the_cut_is_within_the_first_half_of_training(epochs, first):
    times = AutomaticRanks(selection_for(Parameters(100)))
    times.plan(first + epochs)
    [latest] = times.schedule(first, is_new=True)
    assert 1 <= latest - first <= max(1, epochs / 2) < epochs
    assert times.is_last(latest)


def test_epochs_count_from_the_first_one():
    seen = []
    for first in (0, 5):
        model = two_layers()
        cut = RankDiscretization(Parameters(2500))
        fit(model, cut, epochs=first + 4, initial_epoch=first, shuffle=False)
        seen.append(([entry["epoch"] - first for entry in cut.cuts], size_of(model)))
    assert seen[0][0] == seen[1][0]
    assert all(0.9 * 2500 < size <= 2500 for _, size in seen)
    assert_refused(
        two_layers(), Parameters(2000), "epochs=6, initial_epoch=5", epochs=6, initial_epoch=5
    )


@pytest.mark.parametrize(
    "budget",
    [Parameters(1500), MultiplyAdds(5000), LossIncrease(0.1), RelativeError(0.2)],
    ids=lambda budget: type(budget).__name__,
)
def test_training_goes_on_after_the_cut(budget):
    model, epochs = two_layers(), 3
    cut = RankDiscretization(budget)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RelativeError: nothing to cut is worth a word.
        fit(model, cut, epochs=epochs, validation_data=SMALL)
    assert all(layer.ranks_fixed for layer in layers_of(model))
    assert cut.cuts
    assert all(entry["epoch"] < epochs for entry in cut.cuts)


def test_a_table_and_a_dense_layer_share_a_budget():
    keras.utils.set_random_seed(0)
    ids = RNG.integers(0, 200, (128, 6)).astype("int32")
    inputs = keras.Input((6,), dtype="int32")
    hidden = keras.layers.GlobalAveragePooling1D()(TTEmbedding(200, 32, name="table")(inputs))
    model = keras.Model(inputs, TTDense(32, name="dense")(hidden))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    y = np.eye(32, dtype="float32")[ids[:, 0] % 32]
    fit(model, RankDiscretization(Parameters(1500)), data=(ids, y))
    assert 0.9 * 1500 < size_of(model) <= 1500
    assert all(layer.ranks_fixed for layer in layers_of(model))


def assert_refused(model, budget, message, **arguments):
    """A ValueError before the first step; ranks, weights and optimizer are as they were."""
    ranks, weights = ranks_of(model), model.get_weights()
    with pytest.raises(ValueError, match=message):
        fit(model, RankDiscretization(budget), **arguments)
    assert ranks_of(model) == ranks
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize("epochs", [0, 1])
def test_there_must_be_an_epoch_after_the_cut(epochs):
    if epochs:
        assert_refused(two_layers(), Parameters(2000), "at least 2 epochs.*epochs=1", epochs=1)
    else:
        assert_refused(two_layers(), Parameters(2000), "at least 2 epochs.*epochs=0", epochs=0)


def test_a_loss_needs_validation_data():
    assert_refused(two_layers(), LossIncrease(0.1), "validation_data.*Received: none")


def test_validation_data_must_be_there_every_time():
    once = ((SMALL[0][:64], SMALL[1][:64]) for _ in range(8))
    assert_refused(
        two_layers(), LossIncrease(0.1), "again and again", validation_data=once, validation_steps=1
    )


@pytest.mark.parametrize("kind", [Parameters, MultiplyAdds])
def test_a_budget_out_of_reach_names_the_smallest(kind):
    assert_refused(two_layers(), kind(10), rf"at least {kind.__name__}\(")


def test_a_share_of_the_data_may_be_for_validation():
    model = two_layers()
    fit(model, RankDiscretization(LossIncrease(0.2)), validation_split=0.25)
    assert all(layer.ranks_fixed for layer in layers_of(model))


@pytest.mark.parametrize("kind", ["tf.data", "generator"])
def test_data_that_are_no_arrays(kind):
    model = two_layers()
    data = tf.data.Dataset.from_tensor_slices(SMALL).batch(64)
    if kind == "generator":
        data = ((x[:], y[:]) for x, y in itertools.cycle([SMALL]))
    cut = RankDiscretization(Parameters(2500))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.fit(
            data,
            epochs=4,
            steps_per_epoch=4 if kind == "generator" else None,
            verbose=0,
            callbacks=[cut],
        )
    says = [w for w in seen if "can be gone through only once" in str(w.message)]
    assert len(says) == (1 if kind == "generator" else 0)
    assert 0.9 * 2500 < size_of(model) <= 2500


def test_batches_that_are_given_are_taken():
    model = two_layers()
    data = ((x[:], y[:]) for x, y in itertools.cycle([SMALL]))
    cut = RankDiscretization(Parameters(2500), calibration_data=[SMALL])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="RankDiscretization")
        model.fit(data, epochs=2, steps_per_epoch=4, verbose=0, callbacks=[cut])
    assert size_of(model) <= 2500


class OwnStep(Subclassed):
    """Trained by a step that needs no loss of `compile`."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def test_without_a_compiled_loss_ranks_go_by_the_norm():
    model = OwnStep()
    model.compile(keras.optimizers.Adam(0.003))
    with pytest.warns(UserWarning, match="`compile` was given no loss"):
        fit(model, RankDiscretization(Parameters(2500)), epochs=3)
    assert 0.9 * 2500 < size_of(model) <= 2500


class PowerCut(Exception):  # noqa: N818
    pass


def run_with_backup(folder, budget, stop=None, grow_first=True):
    model = two_layers()
    if not grow_first:
        model = student(2)

    def end(epoch, logs):
        if epoch == stop:
            raise PowerCut

    cut = RankDiscretization(budget)
    seen = []
    callbacks = [
        cut,
        keras.callbacks.BackupAndRestore(folder),
        keras.callbacks.LambdaCallback(on_epoch_begin=end),
        keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: seen.append((epoch, ranks_of(model)))
        ),
    ]
    try:
        fit(model, *callbacks, epochs=6, validation_data=SMALL, shuffle=False)
    except PowerCut:
        return None
    return seen, ranks_of(model), [entry["epoch"] for entry in cut.cuts]


@pytest.mark.parametrize(
    ("budget", "grow_first"),
    [(Parameters(2500), True), (LossIncrease(0.05), False)],
    ids=["by size", "by loss"],
)
def test_a_resumed_training_finds_the_same_ranks(tmp_path, budget, grow_first):
    whole = run_with_backup(tmp_path / "whole", budget, grow_first=grow_first)
    cuts_of_whole = whole[2]
    assert whole[0][0][1] != whole[0][cuts_of_whole[-1]][1]
    for stop in {2, *(cut + 1 for cut in cuts_of_whole)} - {6}:
        folder = tmp_path / f"stopped {stop}"
        assert run_with_backup(folder, budget, stop, grow_first) is None
        seen, ranks, cuts = run_with_backup(folder, budget, grow_first=grow_first)
        assert ranks == whole[1], stop
        assert seen == whole[0][stop:], stop
        assert cuts == [cut for cut in cuts_of_whole if stop <= cut], stop


def test_bytes_of_a_file():
    pytest.importorskip("ai_edge_litert")
    model = two_layers()
    before = size_of(model)
    cut = RankDiscretization(FlashBytes(14_000, "float32", "raspberry-pi"))
    fit(model, cut, epochs=5)
    file = dk.deployment.convert(model, quantization="float32", target="raspberry-pi")
    assert 0.7 * 14_000 < file.size <= 14_000
    assert size_of(model) != before


def test_with_a_steering_nothing_grows():
    model = two_layers()
    before = ranks_of(model)
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(ranks_of(model))
    )
    cut = RankDiscretization(Parameters(800), steering=dk.steering.SteeredStrength())
    fit(model, cut, watch, epochs=6)
    for ranks in seen:
        assert all(
            new <= old
            for a, b in zip(ranks, before, strict=True)
            for new, old in zip(a, b, strict=True)
        )
    assert size_of(model) <= 800


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
def test_callbacks_that_restart_also_do_so_when_ranks_grow(named):
    model = student(2)
    stopping = keras.callbacks.EarlyStopping(
        "val_loss", patience=4, min_delta=10.0, restore_best_weights=True
    )
    cut = RankDiscretization(LossIncrease(1e-3), restarts=[stopping] if named else [])
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append((model.layers[0].ranks, stopping.best))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Not named, it may stop before the cut.
        fit(model, cut, stopping, watch, data=(X, Y), epochs=10, validation_data=SMALL)
    # After 4 epochs the loss needs all ranks; one more and patience would have ended.
    assert max(seen[4][0]) > 2
    for (then, _), (now, best) in itertools.pairwise(seen):
        assert now == then or best is None or not named
    # The weights that were kept are of the ranks that the model has.
    assert np.all(np.isfinite(model.predict(SMALL[0][:4], verbose=0)))


def test_a_second_training_leaves_final_ranks_alone():
    model = two_layers()
    cut = RankDiscretization(Parameters(2500))
    fit(model, cut)
    ranks = ranks_of(model)
    with pytest.warns(UserWarning, match="final"):
        fit(model, RankDiscretization(Parameters(400)), epochs=3)
    assert ranks_of(model) == ranks


def test_a_callback_of_one_training_knows_nothing_of_it_in_the_next():
    cut = RankDiscretization(LossIncrease(0.1))
    small = SMALL[0], 1e-3 * SMALL[1]
    fit(two_layers(), cut, data=small, validation_data=small, epochs=2)
    limit = cut.loss_limit
    fit(two_layers(), cut, validation_data=SMALL, epochs=2)
    assert cut.loss_limit > 1.5 * limit


def test_frozen_layers_neither_grow_nor_shrink():
    model = two_layers()
    model.layers[1].trainable = False
    model.compile("adam", "mse")
    before = model.layers[1].ranks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(model, RankDiscretization(Parameters(1500)))
    assert model.layers[1].ranks == before
    assert not model.layers[1].ranks_fixed
    assert model.layers[2].ranks_fixed
