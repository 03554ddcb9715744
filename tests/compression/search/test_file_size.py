import functools
import re

import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.budgets import ArenaBytes, FlashBytes
from dart_keras.compression.calibration.batches import CalibrationBatches
from dart_keras.compression.calibration.layer_statistics import calibration_statistics
from dart_keras.compression.compressible import find_compressible_layers
from dart_keras.compression.search.file_size import solve_file
from dart_keras.compression.search.student import StudentBuilder
from dart_keras.deployment import convert
from dart_keras.deployment.file_sizes import file_sizes
from tests.compression.search.problem import builder_of

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite_micro")

ROWS = np.random.default_rng(0).normal(size=(16, 48)).astype("float32")
MICRO = {"quantization": "int8", "target": "microcontroller"}
PI = {"quantization": "float32", "target": "raspberry-pi"}
PI_INT8 = {"quantization": "int8", "target": "raspberry-pi"}


@functools.cache
def builder(with_data=True):
    keras.utils.set_random_seed(0)
    stack = [keras.Input((48,)), layers.Dense(64, "relu"), layers.Dense(10)]
    model = keras.Sequential(stack)
    return builder_of(model, ROWS if with_data else None)


@functools.cache
def whole(device, with_data=True):
    """The sizes of the file of the model as it is."""
    return file_sizes(builder().model, FlashBytes(1, **dict(device)), ROWS if with_data else None)


def file_of(model, quantization, target):
    return convert(model, target, quantization=quantization, calibration_data=ROWS)


@pytest.mark.parametrize(
    ("device", "with_data", "share"),
    [(PI_INT8, True, 0.85), (PI, False, 0.65)],
    ids=["int8", "float"],
)
def test_the_file_keeps_to_the_limit_and_makes_use_of_it(device, with_data, share):
    limit = int(share * whole(tuple(device.items()), with_data).flash_bytes)
    solution = solve_file(builder(with_data), FlashBytes(limit, **device))
    file = file_of(solution.model, **device)
    assert 0.85 * limit < file.size <= limit
    assert solution.measured == (file.size, file.arena_size)
    assert [found.layer is None for found in solution.fitted] != [True, True]


def test_an_unreachable_limit_names_the_smallest_that_can_be_reached():
    with pytest.raises(ValueError, match=r"Received: FlashBytes\(1, .*$") as error:
        solve_file(builder(False), FlashBytes(1, **PI))
    [smallest] = map(int, re.findall(r"at least ([\d_]+) bytes", str(error.value)))
    solution = solve_file(builder(False), FlashBytes(smallest, **PI))
    assert file_of(solution.model, **PI).size == smallest
    with pytest.raises(ValueError, match=f"at least {smallest:_} bytes"):
        solve_file(builder(False), FlashBytes(smallest - 1, **PI))


@pytest.mark.parametrize("kind", [FlashBytes, ArenaBytes])
def test_a_model_that_fits_is_left_whole(kind):
    sizes = whole(tuple(MICRO.items()))
    solution = solve_file(builder(), kind(sizes.limited_by(kind(1)), **MICRO))
    assert [found.layer for found in solution.fitted] == [None, None]
    assert solution.measured == sizes
    np.testing.assert_array_equal(solution.model(ROWS), builder().model(ROWS))


def test_integers_need_calibration_data():
    for quantization in ("int8", "int16x8"):
        budget = FlashBytes(10**6, quantization=quantization)
        with pytest.raises(ValueError, match=rf"='{quantization}'.*Received: .*=None"):
            solve_file(builder(with_data=False), budget)


@pytest.mark.parametrize("structure", ["dict", "list"])
def test_files_of_several_inputs_are_calibrated_by_all_of_them(structure):
    a, b = keras.Input((4,), name="a"), keras.Input((6,), name="b")
    x = layers.Concatenate()([layers.Dense(5)(a), b])
    inputs = {"a": a, "b": b} if structure == "dict" else [a, b]
    model = keras.Model(inputs, layers.Dense(3)(x))
    data = {"a": 100 * ROWS[:, :4], "b": ROWS[:, :6]}
    if structure == "list":
        data = list(data.values())
    compressibles, found = find_compressible_layers(model)
    statistics = calibration_statistics(
        model, compressibles, CalibrationBatches(model, data).some, found
    )
    solution = solve_file(
        StudentBuilder(model, compressibles, statistics), FlashBytes(10**6, **PI_INT8)
    )
    rows = data if structure == "dict" else tuple(data)
    file = convert(model, **PI_INT8, calibration_data=rows)
    assert solution.measured == (file.size, None)


def test_an_unreachable_arena_names_the_smallest_of_those_measured():
    size = whole(tuple(MICRO.items())).arena_bytes
    with pytest.raises(ValueError, match=r"Received: ArenaBytes\(1, .*$") as error:
        solve_file(builder(), ArenaBytes(1, **MICRO))
    assert int(re.search(r"at least ([\d_]+)", str(error.value))[1]) <= size
