import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.budgets import Parameters, RelativeError
from dart_keras.callbacks import RankDiscretization
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.regularizers import NuclearNorm
from dart_keras.selection import GumbelSoftmax, Selection, Threshold
from tests.callbacks.problem import X, Y, make_model, ranks_of

FULL = [(1, 8, 1), (1, 8, 1)]
CUT = Threshold(0.7)


class Recorder(keras.callbacks.Callback):
    """Notes the ranks at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.ranks = []

    def on_epoch_end(self, epoch, logs=None):
        self.ranks.append(ranks_of(self.model))


def fit(model, *callbacks, epochs=4, **arguments):
    return model.fit(
        X, Y, batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments
    )


def is_smaller(ranks, others):
    return all(max(a) < max(b) for a, b in zip(ranks, others, strict=True))


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(1e-2, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(1e-3),
    "adamw": lambda: keras.optimizers.AdamW(1e-3),
    "rmsprop": lambda: keras.optimizers.RMSprop(1e-3, momentum=0.5, centered=True),
    "lion": lambda: keras.optimizers.Lion(1e-4),
    "adafactor": lambda: keras.optimizers.Adafactor(1e-2),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3)),
    "ema": lambda: keras.optimizers.Adam(
        1e-3, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=5
    ),
    "accumulation": lambda: keras.optimizers.Adam(1e-3, gradient_accumulation_steps=3),
    "schedule": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.ExponentialDecay(1e-2, 10, 0.9)
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_with_every_optimizer(name):
    model = make_model(OPTIMIZERS[name]())
    recorder = Recorder()
    history = fit(model, RankDiscretization(CUT, epoch=2), recorder, validation_data=(X, Y))
    assert recorder.ranks[1] == FULL
    assert is_smaller(recorder.ranks[2], FULL)
    assert recorder.ranks[3] == recorder.ranks[2] == ranks_of(model)
    # No step was lost: 8 a epoch, of which gradient accumulation counts every third.
    assert int(model.optimizer.iterations) == (10 if name == "accumulation" else 32)
    assert np.all(np.isfinite(history.history["loss"]))
    assert history.history["loss"][3] < history.history["loss"][2]
    assert model.losses == []


@pytest.mark.parametrize(
    "arguments", [{"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 4}], ids=str
)
def test_all_ways_to_run_a_step_give_the_same(arguments):
    plain = fit(make_model(), RankDiscretization(CUT, epoch=2), validation_data=(X, Y)).history
    other = fit(
        make_model(**arguments), RankDiscretization(CUT, epoch=2), validation_data=(X, Y)
    ).history
    np.testing.assert_allclose(other["val_loss"], plain["val_loss"], rtol=1e-3)
    assert other["first_rank_1"] == plain["first_rank_1"]


def test_predictions_are_of_the_cut_model_at_once():
    model = make_model()
    model.predict(X[:4], verbose=0)
    fit(model, RankDiscretization(CUT, epoch=4))
    expected = np.maximum(X[:4] @ model.layers[0].to_dense() + np.array(model.layers[0].bias), 0)
    expected = expected @ model.layers[1].to_dense() + np.array(model.layers[1].bias)
    np.testing.assert_allclose(model.predict(X[:4], verbose=0), expected, atol=1e-5)


def test_logs_hold_ranks_and_parameters(tmp_path):
    model = make_model()
    history = fit(
        model,
        RankDiscretization(CUT, epoch=2),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path / "board"),
    ).history
    assert history["first_rank_1"][:2] == [8, 8]
    assert history["first_rank_1"][2:] == [model.layers[0].ranks[1]] * 2
    assert history["parameters"][0] > history["parameters"][-1] == model.count_params()
    assert "second_rank_1" in (tmp_path / "log.csv").read_text().splitlines()[0]
    [events] = (tmp_path / "board" / "train").glob("events*")
    tags = {
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    assert "epoch_first_rank_1" in tags


def test_progress_bar_shows_the_ranks(capsys):
    model = make_model()
    model.fit(X, Y, epochs=1, verbose=2, callbacks=[RankDiscretization(CUT, epoch=1)])
    assert "first_rank_1" in capsys.readouterr().out


def test_several_steps_keep_the_regularizer_until_the_last():
    model = make_model(strength=0.05)
    losses = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: losses.append(len(model.losses))
    )
    cut = RankDiscretization(Threshold(0.3), epoch=(1, 3))
    fit(model, cut, watch, epochs=5)
    assert [entry["epoch"] for entry in cut.cuts] == [1, 3]
    assert losses == [4, 4, 4, 0, 0]
    assert cut.cuts[0]["ranks_after"] == cut.cuts[1]["ranks_before"]
    assert cut.cuts[1]["parameters_after"] <= cut.cuts[1]["parameters_before"]


@pytest.mark.parametrize("epochs", [5, 3], ids=["within training", "with the last epoch"])
def test_converged_cuts_once_ranks_rest(epochs):
    model = make_model()
    # Without learning nothing moves, so that the third epoch is the second one at rest.
    model.optimizer.learning_rate = 0.0
    cut = RankDiscretization(CUT, when="converged", patience=2)
    fit(model, cut, epochs=epochs)
    assert [entry["epoch"] for entry in cut.cuts] == [3]
    assert all(layer.ranks_fixed for layer in model.layers)


def test_training_that_ends_too_early_warns():
    model = make_model()
    with pytest.warns(UserWarning, match="no final cut"):
        fit(model, RankDiscretization(CUT, epoch=9))
    assert ranks_of(model) == FULL


def test_training_stopped_before_the_epoch_of_the_cut_is_not_cut():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    model = make_model()
    with pytest.warns(UserWarning, match="no final cut"):
        fit(model, RankDiscretization(CUT, epoch=3), Stop(), epochs=5)
    assert ranks_of(model) == FULL


def test_final_ranks_are_left_alone_by_a_further_fit():
    model = make_model()
    fit(model, RankDiscretization(Threshold(0.3), epoch=1))
    ranks = ranks_of(model)
    again = RankDiscretization(Threshold(0.9), epoch=1)
    fit(model, again)
    assert again.cuts == []
    assert ranks_of(model) == ranks


def test_budget_is_over_the_whole_model():
    model = make_model()
    fit(model, RankDiscretization(Parameters(600), epoch=1), epochs=2)
    assert sum(np.size(core) for layer in model.layers for core in layer.cores) <= 600


@pytest.mark.parametrize("is_built", [True, False])
def test_a_budget_out_of_reach_is_refused_when_training_begins(is_built):
    model = make_model()
    if not is_built:
        model = keras.Sequential([TTDense(64, ranks=8), TTDense(32, ranks=8)])
        model.compile("adam", "mse")
    steps = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(batch)
    )
    with pytest.raises(ValueError, match=r"at least Parameters\(224\)"):
        fit(model, RankDiscretization(Parameters(200), epoch=6), count, epochs=9)
    # A model that is not built has no layers to count before its first step.
    assert len(steps) == (0 if is_built else 1)


def test_recorded_error_stays_within_the_tolerance():
    cut = RankDiscretization(RelativeError(0.3), epoch=1)
    fit(make_model(), cut, epochs=2)
    assert all(0 < error <= 0.3 for error in cut.cuts[0]["error"].values())


def test_gumbel_softmax_waits_for_the_step_that_builds_a_model():
    model = keras.Sequential([TTDense(64, ranks=8), TTDense(32, ranks=8)])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    cut = RankDiscretization(GumbelSoftmax(strength=0.3, seed=0), epoch=4)
    fit(model, cut, epochs=5)
    assert all(1 <= max(ranks) < 8 for ranks in ranks_of(model))
    assert all(layer.rank_gates is None for layer in model.layers)


def test_the_ranks_of_gumbel_softmax_are_those_that_inference_used():
    model = make_model(strength=0.0)
    cut = RankDiscretization(GumbelSoftmax(strength=0.3, seed=0), epoch=4)
    before = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            before.append(self.model.predict(X[:8], verbose=0))

    fit(model, Watch(), cut)
    assert all(layer.rank_gates is None for layer in model.layers)
    # The cut removes slices that were zero already.
    np.testing.assert_allclose(model.predict(X[:8], verbose=0), before[-1], atol=1e-4)
    assert max(cut.cuts[0]["error"].values()) < 1e-5


def functional():
    inputs = keras.Input((64,))
    hidden = TTDense(64, ranks=8, activation="relu", name="first")(inputs)
    return keras.Model(inputs, TTDense(32, ranks=8, name="second")(hidden))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = TTDense(64, ranks=8, activation="relu", name="first")
        self.out = TTDense(32, ranks=8, name="second")

    def call(self, x):
        return self.out(self.hidden(x))


def nested():
    inner = keras.Sequential([TTDense(64, ranks=8, activation="relu", name="first")])
    return keras.Sequential([keras.Input((64,)), inner, TTDense(32, ranks=8, name="second")])


@pytest.mark.parametrize("build", [functional, Subclassed, nested])
def test_other_kinds_of_models_and_tf_data(build):
    model = build()
    model.compile("adam", "mse")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)
    cut = RankDiscretization(CUT, epoch=1)
    model.fit(data, epochs=3, verbose=0, callbacks=[cut], validation_data=data)
    assert cut.cuts[0]["ranks_before"] == {"first": (1, 8, 1), "second": (1, 8, 1)}
    assert max(cut.cuts[0]["ranks_after"]["first"]) < 8
    assert np.all(np.isfinite(model.predict(X[:4], verbose=0)))


def test_embedding_in_front_and_as_tied_head():
    ids = np.random.default_rng(0).integers(1, 100, (64, 6))
    inputs = keras.Input((6,), dtype="int32")
    embedding = TTEmbedding(100, 16, ranks=8, rank_regularizer=NuclearNorm(0.1), name="tied")
    hidden = TTDense(16, ranks=4, activation="tanh", name="hidden")(embedding(inputs))
    model = keras.Model(inputs, embedding(hidden, reverse=True))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    cut = RankDiscretization(CUT, epoch=2)
    history = model.fit(ids, ids, epochs=4, verbose=0, callbacks=[cut]).history
    assert max(cut.cuts[0]["ranks_after"]["tied"]) < 8
    assert history["loss"][3] < history["loss"][2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "epoch=None, when=None"),
        ({"epoch": 0}, "epoch=0"),
        ({"epoch": 1.5}, r"epoch=1\.5"),
        ({"epoch": []}, r"epoch=\[\]"),
        ({"when": "later"}, "when='later'"),
        ({"when": "converged", "patience": 0}, "patience=0"),
        ({"when": "converged", "tolerance": -1}, "tolerance=-1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RankDiscretization(CUT, **arguments)
    with pytest.raises(ValueError, match=r"budget of `dart_keras.budgets`.*Received: 0\.1"):
        RankDiscretization(0.1, epoch=1)


def test_data_that_can_be_gone_through_only_once_are_refused():
    for once in (iter([]), (batch for batch in [(X, Y)]), zip([X], [Y], strict=True)):
        with pytest.raises(ValueError, match="gone through again and again") as error:
            RankDiscretization(Parameters(100), epoch=1, calibration_data=once)
        assert str(error.value).endswith(f"Received: calibration_data={once!r}")


def test_a_model_without_tt_layers_is_refused():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, name="plain")])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="'plain'"):
        fit(model, RankDiscretization(CUT, epoch=1))


def test_nan_weights_are_refused_and_the_model_is_left_as_it_was():
    model = make_model()

    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            core = self.model.layers[1].cores[0]
            core.assign(core * np.nan)

    with pytest.raises(ValueError, match=re.escape("['second']; the model is left as it was")):
        fit(model, RankDiscretization(CUT, epoch=1), Spoil())
    assert ranks_of(model) == FULL
    assert len(model.losses) == 4


@pytest.mark.parametrize("kept", ["nothing of a zero matrix", "rank zero by a custom selection"])
def test_a_cut_that_would_leave_no_rank_is_refused(kept):
    class NoRank(Selection):
        def select(self, model, layers, calibration_data=None):
            return [(1, 0, 1) for _ in layers]

    model = make_model(keras.optimizers.SGD(0.0))
    selection = NoRank()
    if kept.startswith("nothing"):
        selection = CUT
        model.layers[0].cores[0].assign(np.zeros(model.layers[0].cores[0].shape))
    with pytest.raises(ValueError, match=r"at least 1 at every bond\. Received: ranks=\(1, 0, 1\)"):
        fit(model, RankDiscretization(selection, epoch=1))
    assert ranks_of(model) == FULL


def best_values(watching, model, **arguments):
    """The best values of callbacks at the beginning of each epoch."""
    best = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: best.append([each.best for each in watching])
    )
    fit(model, RankDiscretization(CUT, epoch=2, **arguments), *watching, watch)
    return best


def test_callbacks_that_restart_forget_the_larger_model(tmp_path):
    model = make_model()
    # To a loss that the smaller model will not reach.
    fit(model, epochs=5)
    stopping, *_ = watching = [
        keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "loss", save_best_only=True),
        keras.callbacks.ReduceLROnPlateau("loss", patience=9),
    ]
    best = best_values(watching, model, restarts=watching)
    assert None not in best[1]
    assert best[2] == [None] * 3
    assert None not in best[3]
    # The smaller model is what was saved, and what `restore_best_weights` restored.
    assert is_smaller(ranks_of(model), FULL)
    assert ranks_of(keras.saving.load_model(tmp_path / "best.keras")) == ranks_of(model)
    assert stopping.best_epoch >= 2


def test_callbacks_that_are_not_named_go_on_comparing():
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=9)
    best = best_values([plateau], make_model())
    assert best[2] == [min(best[1][0], best[2][0])]


def test_patience_and_baseline_begin_anew_at_a_cut():
    model = make_model()
    model.optimizer.learning_rate = 0.0
    stopping = keras.callbacks.EarlyStopping("loss", patience=2, min_delta=10.0, baseline=1e6)
    # Nothing improves by so much: without the cut, epoch 3 is the second in vain.
    history = fit(model, RankDiscretization(CUT, epoch=2, restarts=[stopping]), stopping, epochs=9)
    assert history.epoch == [0, 1, 2, 3, 4]
    assert stopping.best == pytest.approx(history.history["loss"][2])


@pytest.mark.parametrize("wrong", [None, "loss", keras.callbacks.History()])
def test_only_callbacks_that_keep_a_best_value_can_restart(wrong):
    with pytest.raises(ValueError, match="`restarts` to hold callbacks") as error:
        RankDiscretization(CUT, epoch=1, restarts=[wrong])
    assert str(error.value).endswith(f"Received: {wrong!r}")


def test_callbacks_that_restart_have_to_be_in_fit():
    model, stopping = make_model(), keras.callbacks.EarlyStopping("loss")
    with pytest.raises(ValueError, match="`restarts` to hold callbacks of the same `fit`") as error:
        fit(model, RankDiscretization(CUT, epoch=1, restarts=[stopping]))
    assert repr(stopping) in str(error.value)
    assert ranks_of(model) == FULL
    # Nor does it help that it was in the `fit` of another model.
    fit(make_model(), stopping, epochs=1)
    with pytest.raises(ValueError, match="of the same `fit`"):
        fit(model, RankDiscretization(CUT, epoch=1, restarts=[stopping]))


def test_resting_ranks_that_nothing_would_cut_have_not_converged():
    model = make_model()
    model.optimizer.learning_rate = 0.0
    with pytest.warns(UserWarning, match="no final cut"):
        fit(model, RankDiscretization(Threshold(1e-6), when="converged"), epochs=5)
    assert ranks_of(model) == FULL
    assert len(model.losses) == 4


def test_its_repr_is_the_call_that_makes_it():
    cut = RankDiscretization(Threshold(0.1), epoch=(8, 4), when="converged")
    selection = repr(cut.selection)
    assert repr(cut) == (
        f"RankDiscretization(selection={selection}, epoch=[4, 8], when='converged')"
    )
    assert "epoch=None" in repr(RankDiscretization(Threshold(0.1), when="converged"))
