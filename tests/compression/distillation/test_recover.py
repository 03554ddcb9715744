import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from dart_keras.budgets import Parameters, RelativeError
from dart_keras.compression import compress, recover
from tests.compression import models
from tests.compression.distillation.small_models import (
    ROWS,
    assert_unchanged,
    classifier,
    compressed,
    distance,
    regression,
)
from tests.compression.helpers import assert_close, outputs


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
