"""What is learned, for how long, and what of the model is trained."""

import itertools
from types import SimpleNamespace

import keras
import keras_hub
import numpy as np
import pytest
from keras import layers, ops

from dart_keras.budgets import Parameters
from dart_keras.compression import compress, recover
from dart_keras.compression.calibration.batches import CalibrationBatches
from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.calibration.output_loss import end_error
from dart_keras.compression.calibration.sequence_padding import VisibleRows
from dart_keras.compression.distillation import recover as recovery
from dart_keras.compression.distillation import student_training, trainer
from dart_keras.model_surgery.clone import copy_model
from tests.compression import models
from tests.compression.distillation.small_models import (
    ROWS,
    assert_unchanged,
    classifier,
    compressed,
    distance,
    regression,
)
from tests.compression.helpers import assert_close


def sentences(width=12):
    lengths = np.random.default_rng(0).integers(1, 9, size=100)
    ids = np.random.default_rng(1).integers(1, 40, size=(100, 8))
    mask = (np.arange(width) < lengths[:, None]).astype("int32")
    ids = np.pad(ids, ((0, 0), (0, width - 8)), constant_values=3)
    return {"token_ids": ids * mask, "padding_mask": mask, "segment_ids": 0 * ids}


def encoder():
    keras.utils.set_random_seed(0)
    model = keras_hub.models.BertBackbone(40, 2, 2, 16, 24, dropout=0, max_sequence_length=16)
    for weight in model.trainable_weights:
        weight.assign(10 * weight if len(weight.shape) > 1 else weight)
    return keras.Model(model.inputs, model.output["sequence_output"])


def visible_distance(model, small):
    batch = sentences()
    visible = [VisibleRows(model, batch)]
    return end_error([infer(model, batch)], [infer(small, batch)], visible)


def test_padding_is_not_learned():
    model, results = encoder(), []
    start = compress(model, Parameters(int(0.6 * model.count_params())), sentences())[0]
    before = visible_distance(model, start)
    for width in (8, 16):
        small = copy_model(start)[0]
        recover(small, model, sentences(width), epochs=3, learning_rate=3e-3)
        results.append(small.get_weights())
        assert visible_distance(model, small) < 0.9 * before
    assert_close(*results, 1e-3)


def test_a_trial_takes_batches_of_all_lengths(monkeypatch):
    model = encoder()
    small = compress(model, Parameters(int(0.6 * model.count_params())), sentences())[0]
    weights = small.get_weights()
    monkeypatch.setattr(trainer, "_LEAST_STEPS", 3)
    monkeypatch.setattr(trainer, "_RATES", (1e-3,))
    data = CalibrationBatches(model, sentences(), every_row=True)
    distillation = trainer.Distillation(model, data, 1, 4)
    some = distillation._batches.some(3)
    widths = {batch[0].shape[1] for batch, *_ in (distillation._batches[k] for k in range(25))}
    assert {some[k][0][0].shape[1] for k in range(2)} == {min(widths), max(widths)}
    assert distillation.best_rate(small) == 1e-3
    assert_unchanged(small, weights)


def test_rows_that_are_not_finite_are_named_where_they_are_in_the_data():
    x = keras.Input((16,))
    model = keras.Model(x, layers.Dense(3)(x) / ops.any(x != 0, axis=1, keepdims=True))
    rows = ROWS.copy()
    rows[[5, 70]] = 0
    small = keras.Model(x, layers.Dense(3)(x))
    with pytest.raises(ValueError, match=r"finite\. Received: .*\((5|70)"):
        recover(small, model, rows, epochs=1, learning_rate=1e-3)


def two_headed():
    x = keras.Input((16,))
    common = layers.Dense(24, "relu", name="common")(x)
    return keras.Model(x, [layers.Dense(4, name=name)(common) for name in ("left", "right")])


@pytest.mark.parametrize("outputs", ["left", lambda y: y[0], {"left": 2.0}])
def test_only_outputs_that_matter_are_learned(outputs):
    model = two_headed()
    small = compressed(model, 0.5)
    before = [distance(y, z, ROWS) for y, z in heads(model, small)]
    weights = small.get_layer("right").get_weights()
    recover(small, model, ROWS, epochs=10, learning_rate=3e-3, outputs=outputs)
    after = [distance(y, z, ROWS) for y, z in heads(model, small)]
    assert after[0] < 0.95 * before[0]
    assert_unchanged(small.get_layer("right"), weights)


def heads(*pair):
    return zip(*([keras.Model(m.input, y) for y in m.output] for m in pair), strict=True)


def test_compression_recovers_what_matters(one_rate):
    model = two_headed()
    rows, budget = ROWS, Parameters(int(0.5 * model.count_params()))
    plain, _ = compress(model, budget, rows, outputs="left")
    healed, _ = compress(model, budget, rows, outputs="left", recovery_epochs=10)
    errors = [distance(*next(iter(heads(model, small))), rows) for small in (plain, healed)]
    assert errors[1] < errors[0]


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a twentieth of a second whenever it is looked at."""
    times = itertools.count(0, 0.05)
    fake = SimpleNamespace(monotonic=lambda: next(times))
    for module in (recovery, trainer, student_training):
        monkeypatch.setattr(module, "time", fake)
    return fake


@pytest.mark.parametrize("learning_rate", [3e-3, None])
def test_as_many_steps_are_taken_as_there_are_minutes_for(learning_rate, clock):
    model = classifier()
    models.randomize(model)
    small = compressed(model)
    before, started = distance(model, small, ROWS), clock.monotonic()
    history = recover(small, model, ROWS, minutes=1, learning_rate=learning_rate)
    assert 20 < clock.monotonic() - started < 61
    # Three steps an epoch, each of which looks at the clock once.
    assert len(history.history["loss"]) > 50
    assert distance(model, small, ROWS) < before


def test_an_interrupted_trial_leaves_the_weights(monkeypatch):
    model = regression()
    small = compressed(model)
    weights = small.get_weights()

    def interrupt(self, student):
        assert any(np.any(a != b) for a, b in zip(student.get_weights(), weights, strict=True))
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Distillation, "error", interrupt)
    with pytest.raises(KeyboardInterrupt):
        recover(small, model, ROWS, epochs=1)
    assert_unchanged(small, weights)


def test_training_ends_when_the_time_is_up(clock):
    # Whatever the plan was: here a step takes longer than it did while it was timed.
    model = regression()
    small = compressed(model)
    data = CalibrationBatches(model, ROWS, every_row=True)
    distillation = trainer.Distillation(model, data, 1, end=clock.monotonic() + 20)
    steps = itertools.count(1)
    slow = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: [clock.monotonic() for _ in range(next(steps))]
    )
    batches = distillation._batches
    history = distillation._fit(small, 1e-3, batches, 1000, [slow])
    assert next(steps) < 40
    assert len(history.history["loss"]) < 14


def test_too_few_minutes_are_refused_and_nothing_is_changed():
    model = classifier()
    small = compressed(model)
    weights = small.get_weights()
    with pytest.raises(ValueError, match=r"^Expected `minutes` for some steps of .* Received: "):
        recover(small, model, ROWS, minutes=1e-4)
    assert_unchanged(small, weights)


def test_layers_that_keep_their_size_can_rest():
    model = regression()
    models.randomize(model)
    path = model.layers[3].name
    small = compress(model, Parameters(900), ROWS, layers=path)[0]
    kernel, cores = small.layers[-1].get_weights(), small.get_layer(path).get_weights()
    small.layers[0].trainable = False
    recover(small, model, ROWS, epochs=2, learning_rate=1e-3, replaced_only=True)
    assert not small.layers[0].trainable_weights
    small.layers[0].trainable = True
    assert_unchanged(small.layers[-1], kernel)
    assert any(
        np.any(a != b) for a, b in zip(small.get_layer(path).get_weights(), cores, strict=True)
    )
    assert all(layer.trainable for layer in small.layers)
    with pytest.raises(ValueError, match=r"`replaced_only` trains.*Received: "):
        recover(model, model, ROWS, epochs=1, learning_rate=1e-3, replaced_only=True)


def test_half_precision_trains_weights_of_single_precision():
    model = regression()
    models.randomize(model)
    small = compressed(model)
    policies = [layer.dtype_policy for layer in small.layers]
    before = distance(model, small, ROWS)
    rates = {"epochs": 10, "learning_rate": 1e-2}
    recover(small, model, ROWS, **rates, dtype_policy="mixed_bfloat16")
    assert distance(model, small, ROWS) < 0.9 * before
    assert [layer.dtype_policy for layer in small.layers] == policies
    assert {str(weight.dtype) for weight in small.trainable_weights} == {"float32"}
    with pytest.raises(ValueError, match="dtype"):
        recover(small, model, ROWS, **rates, dtype_policy="half")
