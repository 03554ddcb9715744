"""A run that stops before or after the truncation resumes with the right ranks."""

import json
import tempfile
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

from dart_keras.budgets import Parameters
from dart_keras.callbacks import RankDiscretization
from dart_keras.selection import GumbelSoftmax, Threshold
from tests.callbacks.problem import X, Y, make_model, ranks_of

EPOCHS, CUT_EPOCH = 6, 3


class PowerCut(Exception):  # noqa: N818
    pass


class Stop(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise PowerCut


def selections():
    return {"threshold": Threshold(0.5), "gumbel": GumbelSoftmax(strength=0.3, seed=0)}


def run(model, selection, folder, *more, first=True):
    backup = keras.callbacks.BackupAndRestore(folder / "backup")
    others = [
        keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(folder / "best.keras", "loss", save_best_only=True),
        keras.callbacks.ModelCheckpoint(folder / "last.weights.h5", "loss", save_weights_only=True),
    ]
    discretization = RankDiscretization(selection, epoch=CUT_EPOCH, restarts=others)
    order = [discretization, backup] if first else [backup, discretization]
    return model.fit(
        X,
        Y,
        batch_size=32,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[*order, *others, *more],
    )


@cache
def uninterrupted(name, first):
    model = make_model()
    with tempfile.TemporaryDirectory() as folder:
        run(model, selections()[name], Path(folder), first=first)
    return model


@pytest.mark.parametrize("first", [True, False], ids=["cut listed first", "backup listed first"])
@pytest.mark.parametrize("stop", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["threshold", "gumbel"])
def test_resumed_run_matches_an_uninterrupted_one(tmp_path, name, stop, first):
    whole = uninterrupted(name, first)
    interrupted = make_model()
    with pytest.raises(PowerCut):
        run(interrupted, selections()[name], tmp_path, Stop(stop), first=first)
    resumed = make_model()
    history = run(resumed, selections()[name], tmp_path, first=first)

    assert history.epoch == list(range(stop, EPOCHS))
    assert int(resumed.optimizer.iterations) == int(whole.optimizer.iterations)
    # Gates too: they go on drawing where the interrupted run stopped.
    assert ranks_of(resumed) == ranks_of(whole)
    np.testing.assert_allclose(
        resumed.predict(X, verbose=0), whole.predict(X, verbose=0), atol=1e-4
    )
    if stop >= CUT_EPOCH + 1:
        assert ranks_of(resumed) == ranks_of(interrupted)
    assert all(layer.ranks_fixed and layer.rank_gates is None for layer in resumed.layers)


class KeepState(keras.callbacks.Callback):
    """Saves and restores the state of a truncation with the weights."""

    def __init__(self, discretization, folder):
        super().__init__()
        self.discretization = discretization
        self.file = folder / "state.json"

    def on_train_begin(self, logs=None):
        if self.file.exists():
            self.discretization.set_state(json.loads(self.file.read_text()))

    def on_epoch_end(self, epoch, logs=None):
        self.file.write_text(json.dumps(self.discretization.get_state()))


@pytest.mark.parametrize("stop", [2, 3, 6])
def test_converged_ranks_stay_converged_after_an_interruption(tmp_path, stop):
    def fit(folder, *more):
        model = make_model(strength=0.3)
        folder.mkdir(exist_ok=True)
        discretization = RankDiscretization(
            Threshold(0.5), epoch=8, when="converged", patience=2, tolerance=0.2
        )
        callbacks = [
            discretization,
            keras.callbacks.BackupAndRestore(folder / "backup"),
            KeepState(discretization, folder),
            *more,
        ]
        fitted = {"batch_size": 32, "epochs": 9, "shuffle": False, "verbose": 0}
        model.fit(X, Y, callbacks=callbacks, **fitted)
        return model, discretization

    whole, uninterrupted = fit(tmp_path / "whole")
    [cut] = uninterrupted.cuts
    assert cut["epoch"] < 8, "the ranks are to come to rest before the last moment"
    with pytest.raises(PowerCut):
        fit(tmp_path / "part", Stop(stop))
    resumed, discretization = fit(tmp_path / "part")
    assert ranks_of(resumed) == ranks_of(whole)
    [again] = discretization.cuts
    assert again["epoch"] == cut["epoch"]
    assert again["ranks_after"] == cut["ranks_after"]


class WithinEpoch(keras.callbacks.Callback):
    """Keeps ranks; saves weights and state and stops within an epoch, or goes on from there."""

    def __init__(self, discretization, folder, stop=None, resumes=False):
        super().__init__()
        self.discretization, self.stop, self.resumes = discretization, stop, resumes
        self.weights, self.state = folder / "within.weights.h5", folder / "within.json"
        self.ranks = []

    def on_train_begin(self, logs=None):
        if self.resumes:
            self.model.load_weights(self.weights)
            self.model.optimizer.iterations.assign(1)
            self.discretization.set_state(json.loads(self.state.read_text()))

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.ranks.append(ranks_of(self.model))

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.stop:
            self.model.save_weights(self.weights)
            self.state.write_text(json.dumps(self.discretization.get_state()))
            raise PowerCut


def automatic():
    return RankDiscretization(Parameters(600))


def by_hand():
    return RankDiscretization(Threshold(0.9), epoch=[2, 4])


@pytest.mark.parametrize("make", [automatic, by_hand])
def test_ranks_stay_where_an_epoch_begins_again(tmp_path, make):
    fitted = {"batch_size": 32, "epochs": 7, "shuffle": False, "verbose": 0}
    whole = make()
    make_model().fit(X, Y, callbacks=[whole], **fitted)
    for stop in (0, 1, 2, 3, 6):
        cut = make()
        part = WithinEpoch(cut, tmp_path, stop)
        with pytest.raises(PowerCut):
            make_model().fit(X, Y, callbacks=[cut, part], **fitted)
        ended = json.loads(part.state.read_text())["cuts"]
        resumed = make()
        rest = WithinEpoch(resumed, tmp_path, resumes=True)
        make_model().fit(X, Y, callbacks=[resumed, rest], initial_epoch=stop, **fitted)
        assert rest.ranks[0] == part.ranks[-1]
        # What is cut later depends on the rest of the epoch, which was not repeated here.
        assert [each["epoch"] for each in resumed.cuts][: len(ended)] == [e["epoch"] for e in ended]
        if make is by_hand:
            assert [each["epoch"] for each in resumed.cuts] == [2, 4]
        elif not ended:
            assert resumed.epochs == whole.epochs


def test_checkpoints_have_the_truncated_ranks(tmp_path):
    model = make_model()
    run(model, selections()["threshold"], tmp_path)
    best = keras.models.load_model(tmp_path / "best.keras")
    assert ranks_of(best) == ranks_of(model)
    fresh = make_model()
    fresh.predict(X, verbose=0)
    fresh.load_weights(tmp_path / "last.weights.h5")
    assert ranks_of(fresh) == ranks_of(model)
    assert fresh.losses == []
    fresh.fit(X, Y, verbose=0)


def test_weights_from_before_truncation_restore_the_larger_ranks(tmp_path):
    model = make_model()
    model.save_weights(tmp_path / "before.weights.h5")
    before = model.predict(X, verbose=0)
    run(model, selections()["threshold"], tmp_path)
    model.load_weights(tmp_path / "before.weights.h5")
    assert ranks_of(model) == [(1, 8, 1), (1, 8, 1)]
    np.testing.assert_allclose(model.predict(X, verbose=0), before, atol=1e-6)
    model.fit(X, Y, verbose=0)
