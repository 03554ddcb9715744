"""Runs that are stopped within an epoch and resumed."""

from dataclasses import replace

import keras
import keras_hub
import numpy as np
import pytest

from examples.language_model.architecture import Architecture
from examples.language_model.batches import Position, evaluation_batches, training_batches
from examples.language_model.checkpoint import read_state, write_checkpoint
from examples.language_model.checkpoint_callbacks import BEST, LAST, BestCheckpoint, LastCheckpoint
from examples.language_model.corpus import Corpus
from examples.language_model.settings import Settings
from examples.language_model.training import train
from examples.language_model.vocabulary import Vocabulary

VOCABULARY = Vocabulary(list("abcdef"))
LENGTH, BATCH, EPOCHS = 4, 2, 3
TEXT = np.random.default_rng(0).integers(0, len(VOCABULARY), 63).astype("int32")
STEPS = 7


class PowerCut(Exception):  # noqa: N818
    pass


class Stop(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            raise PowerCut


class StopInValidation(Stop):
    def on_test_begin(self, logs=None):
        super().on_train_batch_end(0)

    def on_train_batch_end(self, batch, logs=None):
        pass


def run(folder, *more, every=2):
    """Train a model of two layers, as these callbacks do not depend on the layers."""
    keras.utils.set_random_seed(0)
    position = Position()
    batches, steps = training_batches(TEXT, LENGTH, BATCH, position, 0)
    assert steps == STEPS
    words = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Dropout(0.5)(keras.layers.Embedding(len(VOCABULARY), 8)(words))
    model = keras.Model(words, keras.layers.Dense(len(VOCABULARY))(x))
    model.compile(
        keras.optimizers.Adam(0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras_hub.metrics.Perplexity(from_logits=True, name="perplexity")],
    )

    def write(path, model, state):
        write_checkpoint(path, model, VOCABULARY, state)

    folder.mkdir(exist_ok=True)
    state = folder / LAST
    best = BestCheckpoint(folder / BEST, write)
    last = LastCheckpoint(state, write, position, steps, every, best, None, None)
    model.fit(
        batches,
        epochs=EPOCHS,
        initial_epoch=read_state(state)["epoch"] if state.exists() else 0,
        validation_data=evaluation_batches(TEXT, LENGTH, BATCH),
        callbacks=[*more, best, last],
        verbose=0,
    )
    return model, last


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run(tmp_path_factory.mktemp("uninterrupted"))


# Before the first checkpoint, after one in each epoch, and in an epoch's last step.
@pytest.mark.parametrize("stop", [1, 5, STEPS, STEPS + 3, 2 * STEPS + 4])
def test_resumed_run_matches_the_steps_logs_and_weights_of_an_uninterrupted_one(
    tmp_path, uninterrupted, stop
):
    model, last = uninterrupted
    with pytest.raises(PowerCut):
        run(tmp_path, Stop(stop))
    resumed, its = run(tmp_path)
    assert int(resumed.optimizer.iterations) == EPOCHS * STEPS
    assert its.history == last.history
    assert its.keeper.best == min(log["val_perplexity"] for log in last.history)
    for found, expected in zip(resumed.weights, model.weights, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_run_stopped_after_the_last_step_of_an_epoch_finishes_that_epoch(tmp_path, uninterrupted):
    with pytest.raises(PowerCut):
        run(tmp_path, StopInValidation(STEPS), every=1)
    state = read_state(tmp_path / LAST)
    assert (state["epoch"], state["step"]) == (0, STEPS - 1)
    resumed, its = run(tmp_path, every=STEPS)
    assert int(resumed.optimizer.iterations) == EPOCHS * STEPS
    assert its.history == uninterrupted[1].history


def test_finished_run_does_not_change(tmp_path, uninterrupted):
    run(tmp_path)
    model, last = run(tmp_path)
    assert int(model.optimizer.iterations) == EPOCHS * STEPS
    assert last.history == uninterrupted[1].history
    assert read_state(tmp_path / LAST)["epoch"] == EPOCHS


SETTINGS = Settings(
    dataset="ptb",
    architecture=Architecture("tiny", "tt", len(VOCABULARY), 4, 4),
    epochs=2,
    batch=1,
    learning_rate=1e-3,
    projection_rate=0.5,
    weight_decay=0.0,
    dropout=0.1,
    regularizer="group-lasso",
    strength=0.01,
    selection="threshold",
    threshold=0.1,
    parameters=None,
    table_parameters=None,
    cut_epoch=1,
    converged=False,
    seed=0,
)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (replace(SETTINGS, epochs=3, seed=1), "epochs=3 where the run has 2, seed=1 where"),
        (
            replace(SETTINGS, architecture=replace(SETTINGS.architecture, layers="dense")),
            "layers='dense' where the run has 'tt'",
        ),
    ],
)
def test_run_with_other_settings_is_refused(tmp_path, uninterrupted, changed, message):
    state = {"epoch": 1, "settings": SETTINGS.to_json()}
    write_checkpoint(tmp_path / LAST, uninterrupted[0], VOCABULARY, state)
    before = (tmp_path / LAST).read_bytes()
    with pytest.raises(ValueError, match=f"or another folder. Received: {message}"):
        train(changed, Corpus(VOCABULARY, TEXT, TEXT, TEXT), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [LAST]
    assert (tmp_path / LAST).read_bytes() == before


def test_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / LAST).write_bytes(b"half of a fi")
    with pytest.raises(ValueError, match=r"Expected a file that `train.py` wrote"):
        train(SETTINGS, Corpus(VOCABULARY, TEXT, TEXT, TEXT), tmp_path)
