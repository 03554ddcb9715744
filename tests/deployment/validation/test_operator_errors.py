import math

import keras
import numpy as np
import pytest

import dart_keras as dk
from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.serialization import pack, unpack
from dart_keras.deployment.runtimes.litert import run_on_litert
from dart_keras.deployment.validation.operator_errors import (
    OperatorError,
    OperatorErrors,
    single_operator,
)
from dart_keras.layers import TTDense
from tests.deployment import models

LONG = models.RNG.normal(size=(32, 60)).astype("float32")


def decibels(expected, received):
    return 10 * np.log10(np.mean(expected**2) / np.mean((received - expected) ** 2))


@pytest.mark.parametrize(
    ("build", "rows", "quantization", "target", "steps"),
    [
        (models.three_cores, LONG, "int8", "raspberry-pi", [[1, 2, 3], [1, 2, 3], [1, 2]]),
        (models.tt_dense, models.ROWS, "int16x8", "microcontroller", [[1, 2], [1, 2]]),
        (models.tt_embedding, models.IDS, "int8", "raspberry-pi", []),
    ],
)
def test_every_operator_is_compared_with_its_float_operator(
    build, rows, quantization, target, steps
):
    model = build()
    artifact = convert(model, target, quantization=quantization, calibration_data=rows)
    errors = artifact.operator_errors(rows)
    names = [row.operator for row in errors.operators]
    assert names == models.operators(artifact.content)
    paths = {layer.path or layer.name for layer in model.layers}
    for place, row in enumerate(errors.operators):
        assert row.place == place
        assert row.layer in paths
        if row.operator in ("RESHAPE", "TRANSPOSE", "CAST"):
            assert row.added_db == math.inf
        elif row.operator in ("FULLY_CONNECTED", "ADD", "TANH", "SOFTMAX", "MEAN"):
            assert 20 < row.added_db < 120
        assert row.accumulated_db is not None
    # What has come together at the end is the error of the file.
    received = artifact.predict(rows, "litert-reference")
    total = decibels(model.predict(rows, verbose=0), received)
    assert errors.operators[-1].accumulated_db == pytest.approx(total, abs=0.01)
    assert errors.worst.added_db == min(row.added_db for row in errors.operators)
    # The products of a contraction are counted, layer by layer.
    counted = {}
    for row in errors.operators:
        if row.step:
            counted.setdefault(row.layer, []).append(row.step)
    assert list(counted.values()) == [[(k, len(places)) for k in places] for places in steps]


@pytest.mark.parametrize("bad", ["first", "third"])
def test_a_product_whose_weights_quantize_badly_is_the_worst(bad):
    # The last feature, and the last hidden unit, are always zero; the weight that meets it is
    # huge, so that the steps between the integers of the others become coarse.
    model = keras.Sequential([keras.Input((20,))])
    for name in ("first", "second", "third"):
        model.add(keras.layers.Dense(20, activation="relu", name=name))
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        kernel[:, -1], bias[-1] = 0, -1
        if layer.name == bad:
            kernel[-1, :-1] = 20
        layer.set_weights([kernel, bias])
    rows = models.ROWS.copy()
    rows[:, -1] = 0
    artifact = convert(model, quantization="int8", calibration_data=rows)
    worst = artifact.operator_errors(rows).worst
    assert (worst.layer.split("/")[-1], worst.operator) == (bad, "FULLY_CONNECTED")


def test_an_operator_adds_its_own_error_alone():
    # The second layer is the same, whatever comes before it.
    second = TTDense(20, 4, (4, 5), (5, 4), name="second")
    added, accumulated = [], []
    for scale in (1.0, 20.0):
        first = keras.layers.Dense(20, name="first")
        model = keras.Sequential([keras.Input((20,)), first, second])
        kernel = np.eye(20, dtype="float32")
        # Another weight in the same channel makes the steps of this one coarser.
        kernel[-1, :-1] = scale
        first.set_weights([kernel, np.zeros(20)])
        rows = models.ROWS.copy()
        rows[:, -1] = 0
        artifact = convert(model, quantization="int8", calibration_data=rows)
        found = artifact.operator_errors(rows).operators
        products = [row for row in found if row.layer.endswith("second") and row.step]
        added.append(np.array([row.added_db for row in products]))
        accumulated.append(products[-1].accumulated_db)
    np.testing.assert_allclose(added[0], added[1], atol=3)
    assert accumulated[1] < accumulated[0] - 3


def test_what_is_not_finite_in_float_is_not_the_worst():
    # A variance of nearly zero in some rows, which is rounded to less.
    model = keras.Sequential([keras.Input((20,)), keras.layers.LayerNormalization(center=False)])
    rows = models.ROWS * np.where(np.arange(len(models.ROWS)) % 2, 1e-3, 1.0)[:, None]
    errors = convert(model, quantization="int8", calibration_data=rows).operator_errors(rows)
    for row in errors.operators:
        assert row.added_db is None or not np.isnan(row.added_db)
    assert "nan" not in str(errors)
    assert errors.worst.added_db is not None


def test_operators_of_quantization_aware_models_are_compared_too():
    rows = models.ROWS
    model = dk.quantization.quantize_aware(models.tt_dense())
    model.compile("sgd", "mse")
    model.fit(rows, rows[:, :4], epochs=1, verbose=0)
    errors = convert(model, quantization="int8").operator_errors(rows)
    products = [row for row in errors.operators if row.operator == "FULLY_CONNECTED"]
    assert len(products) == 4
    for row in products:
        assert 5 < row.added_db < 60
        assert 5 < row.accumulated_db < 60


@pytest.mark.parametrize("quantization", ["float32", "dynamic"])
def test_files_that_compute_in_float_are_refused(quantization):
    artifact = convert(models.dense(), quantization=quantization)
    with pytest.raises(ValueError, match=f"'int8' or 'int16x8'.*Received: .*{quantization}"):
        artifact.operator_errors(models.ROWS)


REPORTED = (
    OperatorError(0, "hidden", "TRANSPOSE", None, math.inf, 40.0),
    OperatorError(1, "hidden", "FULLY_CONNECTED", (2, 3), 31.26, 30.0),
    OperatorError(2, "", "CUSTOM", None, None, None),
)


def test_the_worst_adds_most():
    assert OperatorErrors("small", "int8", REPORTED).worst is REPORTED[1]
    assert OperatorErrors("small", "int8", REPORTED[2:]).worst is None


def test_it_prints_itself():
    title, header, _, *lines, worst = str(OperatorErrors("small", "int8", REPORTED)).splitlines()
    assert "'small', int8" in title
    assert header.split() == ["layer", "operator", "step", "added", "accumulated"]
    assert [line.split() for line in lines] == [
        ["0", "hidden", "TRANSPOSE", "exact", "40.0"],
        ["1", "hidden", "FULLY_CONNECTED", "product", "2", "of", "3", "31.3", "30.0"],
        ["2", "CUSTOM", "?", "?"],
    ]
    assert worst == "Worst: 1 FULLY_CONNECTED of hidden, product 2 of 3, 31.3 dB"


def test_operators_one_after_another_give_what_the_file_gives():
    artifact = convert(models.dense(), quantization="int8", calibration_data=models.ROWS)
    given = artifact.inputs[0].quantize(models.ROWS)
    values = given
    model = unpack(artifact.content)
    for place, name in enumerate(models.operators(artifact.content)):
        alone = single_operator(model, place)
        assert models.operators(alone) == [name]
        [values] = run_on_litert(alone, [values]).outputs
    assert pack(model) == artifact.content
    np.testing.assert_array_equal(values, run_on_litert(artifact.content, [given]).outputs[0])
