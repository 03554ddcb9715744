import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.budgets import Parameters
from dart_keras.compression import compress
from dart_keras.compression.calibration.batches import CalibrationBatches
from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.calibration.layer_statistics import calibration_statistics
from dart_keras.compression.compressible import find_compressible_layers
from dart_keras.model_surgery.clone import copy_model
from tests.compression import models

RNG = np.random.default_rng(0)


def statistics_of(model, data, chosen=None):
    compressibles, found = find_compressible_layers(model, chosen)
    return calibration_statistics(model, compressibles, CalibrationBatches(model, data).some, found)


def test_rows_count_calls_and_positions():
    x = keras.Input((5, 8))
    again, last = layers.Dense(8, name="again"), layers.Dense(3, name="last")
    model = keras.Model(x, last(layers.GlobalAveragePooling1D()(again(again(x)))))
    data = RNG.normal(size=(40, 5, 8)).astype("float32")
    statistics = statistics_of(model, data)
    assert statistics.rows == [10, 1]
    assert statistics_of(model, data, "last").rows == [1]


def test_layers_are_in_the_order_in_which_they_begin():
    # The normalization tells of the first layer only after the second one was called.
    x = keras.Input((8,))
    first, second = layers.Dense(6, name="first")(x), layers.Dense(6, name="second")(x)
    for _ in range(3):
        first = layers.Identity()(first)
    model = keras.Model(x, layers.Add()([layers.BatchNormalization()(first), second]))
    statistics = statistics_of(model, RNG.normal(size=(40, 8)).astype("float32"))
    assert sorted(statistics.order) == [0, 1]
    begun = [statistics._spans[k][0] for k in statistics.order]
    assert begun == sorted(begun)


@pytest.mark.parametrize("name", ["normalized_convolutions", "masked_attention", "subclassed"])
def test_evidence_in_a_model_that_is_the_same_is_that_of_the_original(name):
    model, batch = models.build(name)
    statistics = statistics_of(model, batch)
    student, copies = copy_model(model)
    runs, originals = statistics.runs_of(student), statistics.runs()
    for k in statistics.order:
        again, known = statistics.evidence_in(k, runs, copies, originals), statistics.evidence[k]
        assert vars(again).keys() == vars(known).keys()
        for one, other in zip(vars(again).values(), vars(known).values(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_error_is_none_for_the_same_model_and_one_for_its_mean():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
    data = RNG.normal(size=(40, 8)).astype("float32")
    statistics = statistics_of(model, data)
    assert statistics.error_of_model(model) == 0
    mean = np.mean(model(data), axis=0)
    flat = [np.tile(mean, (len(batch), 1)) for batch in statistics.batches]
    assert statistics.error_of(lambda place: flat[place]) == pytest.approx(1, rel=1e-5)
    assert statistics.error_of(lambda place: infer(model, statistics.batches[place])) == 0


def test_outputs_that_are_no_floats_have_no_error():
    x = keras.Input((8,))
    model = keras.Model(x, keras.ops.argmax(layers.Dense(3)(layers.Dense(16)(x)), axis=-1))
    data = RNG.normal(size=(40, 8)).astype("float32")
    _, report = compress(model, Parameters(100), data)
    assert report.end_error == 0
