import itertools
from types import SimpleNamespace

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from dart_keras.budgets import Parameters, RelativeError
from dart_keras.compression import compress, recover
from dart_keras.compression.calibration.batches import CalibrationBatches
from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.calibration.output_loss import end_error
from dart_keras.compression.calibration.sequence_padding import VisibleRows
from dart_keras.compression.distillation import recover as recovery
from dart_keras.compression.distillation import student_training, trainer
from dart_keras.model_surgery.clone import copy_model
from tests.compression import models
from tests.compression.helpers import assert_close, outputs

ROWS = np.random.default_rng(0).normal(size=(96, 16)).astype("float32")


def regression():
    stack = [layers.Dense(24, "relu"), layers.Dropout(0.5), layers.BatchNormalization()]
    return keras.Sequential([keras.Input((16,)), *stack, layers.Dense(24, "tanh"), layers.Dense(3)])


def classifier():
    stack = [layers.Dense(24, "relu"), layers.Dropout(0.5), layers.Dense(6, "softmax")]
    return keras.Sequential([keras.Input((16,)), *stack])


def compressed(model, share=0.6):
    return compress(model, Parameters(int(share * model.count_params())))[0]


def distance(model, small, data):
    return end_error([infer(model, data)], [infer(small, data)], [None])


def assert_unchanged(model, weights):
    for ours, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, before)


@pytest.mark.parametrize("build", [regression, classifier])
def test_recovery_comes_closer_to_the_original_and_leaves_it_alone(build):
    model = build()
    models.randomize(model)
    small = compressed(model)
    weights, before = model.get_weights(), distance(model, small, ROWS)
    history = recover(small, model, ROWS, epochs=10, learning_rate=1e-2)
    assert distance(model, small, ROWS) < 0.9 * before
    assert len(history.history["loss"]) == 10
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert not small.compiled
    assert not model.compiled
    assert_unchanged(model, weights)


def test_rows_that_come_once_and_one_by_one_train_as_an_array_does():
    model = regression()
    models.randomize(model)

    def representative_dataset():
        for row in ROWS:
            yield [row[None]]

    found = []
    for data in (ROWS, representative_dataset):
        keras.utils.set_random_seed(0)
        small, _ = compress(model, RelativeError(0.3), data, recovery_epochs=1)
        found.append(small.get_weights())
    assert_close(*found, 1e-5)
    small = compressed(model)
    weights = small.get_weights()
    recover(small, model, iter(ROWS), epochs=1, learning_rate=1e-2)
    assert not np.array_equal(small.get_weights()[0], weights[0])


@pytest.mark.parametrize(
    "name",
    [
        "dictionaries",
        "nested_input_lists",
        "nested_output_structure",
        "normalized_convolutions",
        "language_model",
        "subclassed_with_dictionaries",
        "half_precision_convolutions",
    ],
)
def test_models_of_all_shapes_end_no_farther_from_the_original(name):
    model, batch = models.build(name)
    before = outputs(model, batch)
    small, _ = compress(model, RelativeError(0.7))
    known = distance(model, small, batch)
    weights = small.get_weights()
    recover(small, model, batch, epochs=2, learning_rate=1e-3)
    assert 0 < distance(model, small, batch) <= known
    assert any(np.any(a != b) for a, b in zip(small.get_weights(), weights, strict=True))
    assert_close(outputs(model, batch), before, 0)


@pytest.mark.parametrize("learning_rate", [1e6, 1e30])
def test_weights_are_put_back_where_training_made_it_worse(learning_rate):
    model = regression()
    small = compressed(model)
    weights = small.get_weights()
    assert recover(small, model, ROWS, epochs=1, learning_rate=learning_rate).history["loss"]
    assert_unchanged(small, weights)


def test_statistics_of_normalizations_and_frozen_layers_rest():
    model = regression()
    models.randomize(model)
    # The normalization is after an activation, and so still there.
    small = compress(model, Parameters(900), layers=lambda layer: layer is model.layers[3])[0]
    assert isinstance(small.layers[2], layers.BatchNormalization)
    small.layers[0].trainable = False
    frozen = small.layers[0].get_weights()
    statistics = [np.array(v) for v in small.layers[2].non_trainable_variables]
    kernel = np.array(small.layers[-1].kernel)
    recover(small, model, ROWS, epochs=2, learning_rate=1e-3)
    assert np.any(kernel != small.layers[-1].kernel)
    assert_unchanged(small.layers[0], frozen)
    for variable, value in zip(small.layers[2].non_trainable_variables, statistics, strict=True):
        np.testing.assert_array_equal(variable, value)


def divergence(p, q):
    return np.mean(np.sum(p * np.log(p / q), axis=1))


def softened(probabilities, temperature):
    powers = probabilities ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_loss_for_probabilities_is_the_divergence_at_two_temperatures():
    model = classifier()
    small = compressed(model)
    # One batch: the loss of the epoch is that of the weights before it.
    p, q = outputs(model, ROWS[:32])[0], outputs(small, ROWS[:32])[0]
    history = recover(small, model, ROWS[:32], epochs=1, learning_rate=1e-3)
    expected = divergence(p, q) + 4**2 * divergence(softened(p, 4), softened(q, 4))
    np.testing.assert_allclose(history.history["loss"], [expected], rtol=1e-3)


def test_the_loss_for_other_outputs_is_relative_to_their_variance():
    model = regression()
    models.randomize(model)
    small = compressed(model)
    y, z = outputs(model, ROWS[:32])[0], outputs(small, ROWS[:32])[0]
    history = recover(small, model, ROWS[:32], epochs=1, learning_rate=1e-3)
    np.testing.assert_allclose(
        history.history["loss"], [np.mean((z - y) ** 2) / np.mean(np.var(y, axis=0))], rtol=1e-3
    )


def test_outputs_that_are_no_floats_do_not_count():
    inputs = keras.Input((16,))
    logits = layers.Dense(6)(layers.Dense(24, "relu")(inputs))
    model = keras.Model(inputs, [ops.argmax(logits, axis=-1), logits])
    small = compressed(model)
    before = distance(model, small, ROWS)
    recover(small, model, ROWS, epochs=5, learning_rate=1e-3)
    assert distance(model, small, ROWS) < before


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return ROWS[32 * index : 32 * (index + 1)], np.zeros(32)


def test_batches_train_as_arrays_do():
    model = classifier()
    small = compressed(model)
    start, results = small.get_weights(), []
    for data in (
        ROWS,
        tf.constant(ROWS),
        tf.data.Dataset.from_tensor_slices((ROWS, np.zeros(96))).batch(32),
        Batches(),
    ):
        small.set_weights(start)
        keras.utils.set_random_seed(0)
        recover(small, model, data, epochs=2, learning_rate=1e-3)
        results.append(small.get_weights())
    assert any(np.any(a != b) for a, b in zip(results[0], start, strict=True))
    for other in results[1:]:
        for ours, theirs in zip(other, results[0], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_recovery_in_compression_uses_the_data_and_is_reported(one_rate):
    model = regression()
    models.randomize(model)
    budget = Parameters(int(0.5 * model.count_params()))
    _, without = compress(model, budget, ROWS)
    small, report = compress(model, budget, ROWS, recovery_epochs=3)
    assert report.end_error < without.end_error
    assert report.parameters_after <= budget.n
    np.testing.assert_allclose(report.end_error**2, distance(model, small, ROWS), rtol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        *({"epochs": epochs} for epochs in (0, -1, 0.5, 1.5, np.nan, np.inf, True, "3", None)),
        *({"learning_rate": rate} for rate in (0, -1e-3, np.inf, np.nan, True, "fast")),
        *({"batch_size": size} for size in (0, -1, 2.5, True, "all", None)),
        *({"minutes": minutes} for minutes in (0, -1, np.inf, np.nan, True, "long")),
        {"outputs": ["none"]},
        {"calibration_data": ROWS[:, :3]},
        {"calibration_data": ROWS[:0]},
        {"calibration_data": ROWS * np.nan},
        {"calibration_data": None},
        {"calibration_data": [ROWS, ROWS[:, :3]]},
    ],
    ids=lambda options: str([*options]),
)
def test_what_makes_no_training_is_refused(options):
    model = regression()
    small = compressed(model)
    weights = small.get_weights()
    with pytest.raises(ValueError, match=r"^Expected (.|\n)*Received"):
        recover(small, model, **{"calibration_data": ROWS, **options})
    assert_unchanged(small, weights)


@pytest.mark.parametrize(
    "small",
    [
        None,
        layers.Dense(3),
        keras.Sequential([layers.Dense(3)]),
        keras.Sequential([keras.Input((ROWS.shape[1],)), layers.Dense(17)]),
    ],
)
def test_what_is_not_made_of_the_original_is_refused(small):
    with pytest.raises(ValueError, match=r"^Expected `small` .*Received: "):
        recover(small, regression(), ROWS)


def test_outputs_of_which_none_is_a_float_are_refused():
    x = keras.Input((ROWS.shape[1],))
    model = keras.Model(x, keras.ops.argmax(layers.Dense(12)(x), -1))
    small = compressed(model)
    with pytest.raises(ValueError, match=r"^Expected outputs that are floats.*int32"):
        recover(small, model, ROWS)


def test_a_model_that_is_nan_cannot_be_trained_nor_learned_from():
    model = regression()
    small = compressed(model)
    weight = small.weights[0]
    weight.assign(np.full(weight.shape, np.nan))
    with pytest.raises(ValueError, match="whose weights are numbers"):
        recover(small, model, ROWS, 1)
    with pytest.raises(ValueError, match=r"of the model .* to be finite"):
        recover(model, small, ROWS, 1)


def test_one_batch_for_one_epoch_trains(one_rate):
    model = regression()
    small = compressed(model)
    weights = small.get_weights()
    recover(small, model, ROWS[:20], 1)
    assert any(np.any(a != b) for a, b in zip(weights, small.get_weights(), strict=True))


def test_errors_of_layers_are_those_from_before_the_recovery(one_rate):
    model = regression()
    budget = RelativeError(0.6)
    _, without = compress(model, budget, ROWS)
    _, report = compress(model, budget, ROWS, recovery_epochs=3)
    for what in ("error", "end_error"):
        before, after = ([getattr(row, what) for row in r.layers] for r in (without, report))
        assert before == after
    assert report.end_error != without.end_error


def test_it_reports_the_progress_of_trials_and_of_training(progress_lines):
    model = classifier()
    small = compressed(model)
    recover(small, model, ROWS, epochs=3, batch_size=32)
    lines = progress_lines()
    assert " of 4 done in " in lines["trying learning rates"]
    # 96 rows are three steps an epoch.
    assert lines["recovering"].startswith("9 of 9 done in ")


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
    recover(small, model, ROWS, epochs=2, learning_rate=1e-3, replaced_only=True)
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
