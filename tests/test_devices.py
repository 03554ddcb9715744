import argparse
from dataclasses import replace

import keras
import numpy as np
import pytest

import dart_keras as dk
from dart_keras.cli import compress_command, convert_command
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.devices import (
    DEVICES,
    QUANTIZATIONS,
    RUNTIMES,
    CostModel,
    find_device,
    find_file_device,
    register,
)

BOARD = replace(
    DEVICES["microcontroller"],
    name="board",
    description="a board with slow memory",
    costs=CostModel(0.1, 0.0, 0.0, 2_000.0, 0.1, 3.0, 0.1, 10.0, 28.0, stacks=False),
    bytes_per_element=2,
    quantizations=("int8",),
    unsupported=dict.fromkeys(("float32", "dynamic", "int16x8"), "It computes in int8 alone"),
)
ROWS = np.random.default_rng(0).normal(size=(64, 32)).astype("float32")


@pytest.fixture
def board():
    register(BOARD)
    yield BOARD
    del DEVICES["board"]


def test_the_planner_and_the_search_read_the_record(board):
    [plan, *_] = dk.tensor_train.candidate_plans(
        (8, 8), (8, 8), (1, 4, 1), rows=1, target=board.name
    )
    other = dk.tensor_train.cheapest_plan(
        (8, 8), (8, 8), (1, 4, 1), rows=1, target="microcontroller"
    )
    assert plan.device is board
    assert plan.microseconds > 10 * other.microseconds
    options = {"ranks": 4, "max_cores": 2}
    ours = dk.tensor_train.suggest_modes(64, 64, "arena", target=board.name, **options)
    micro = dk.tensor_train.suggest_modes(64, 64, "arena", target="microcontroller", **options)
    assert ours.target == board.name
    assert ours.arena_bytes == 2 * micro.arena_bytes


def test_a_model_becomes_a_file_for_it(board):
    model = keras.Sequential([keras.Input((32,)), dk.layers.TTDense(32, ranks=4)])
    arguments = {"quantization": "int8", "calibration_data": ROWS}
    artifact = dk.deployment.convert(model, board.name, **arguments)
    assert (artifact.target, list(artifact.report["runtimes"])[:2]) == ("board", ["litert", "tflm"])
    assert artifact.arena_size
    assert artifact.predict(ROWS[:2], "tflm").shape == (2, 32)
    with pytest.raises(ValueError, match=r"computes in int8 alone.*\('int8',\).*'float32'"):
        dk.deployment.convert(model, board.name)


def test_a_budget_and_quantization_aware_training_take_it(board):
    assert dk.budgets.ArenaBytes(1000, target=board.name).target == board.name
    pytest.importorskip("tensorflow_model_optimization")
    model = keras.Sequential([keras.Input((32,)), dk.layers.TTDense(32, ranks=4)])
    aware = dk.quantization.quantize_aware(model, target=board.name)
    aware.compile("sgd", "mse")
    aware.fit(ROWS, ROWS, epochs=1, verbose=0)
    file = dk.deployment.convert(aware, board.name, quantization="int8")
    assert file.target == board.name


@pytest.mark.parametrize("command", [convert_command, compress_command])
def test_the_command_line_offers_it(board, command):
    commands = argparse.ArgumentParser().add_subparsers()
    command.add_parser(commands)
    [parser] = commands.choices.values()
    [target] = [action for action in parser._actions if action.dest == "target"]
    assert target.choices == ["raspberry-pi", "microcontroller", "esp32", "board"]
    assert "board, a board with slow memory" in parser.format_help().replace("\n" + " " * 24, " ")


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_every_device_runs_or_explains_each_quantization(device):
    assert tuple(SCHEMES) == QUANTIZATIONS
    register(device)  # the checks of a new one; it is there already
    for name in SCHEMES if device.runs_files else ():
        if name in device.quantizations:
            assert find_file_device(device.name, name) is device
        else:
            with pytest.raises(ValueError, match=f"no kernels.*Received.*{name}"):
                find_file_device(device.name, name)


def test_lists_become_tuples_so_that_plans_can_be_cached():
    lists = {name: list(getattr(BOARD, name)) for name in ("runtimes", "quantizations")}
    assert replace(BOARD, **lists) == BOARD
    assert hash(replace(BOARD, **lists)) == hash(BOARD)


def test_which_devices_run_files_and_which_have_an_arena():
    assert not DEVICES["cpu"].runs_files
    assert {d.name for d in DEVICES.values() if d.has_arena} == {"microcontroller", "esp32"}


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match=r"\('raspberry-pi', .*register.*Received: target='pi'"):
        find_file_device("pi", "int8")
    with pytest.raises(ValueError, match=r"\('cpu', 'raspberry-pi', .*Received: target='pi'"):
        find_device("pi")
    with pytest.raises(ValueError, match="Received: target='cpu'"):
        find_file_device("cpu", "float32")
    for wrong in ("int4", None):
        with pytest.raises(
            ValueError, match=rf"float32.*int16x8.*Received: quantization={wrong!r}"
        ):
            find_file_device("raspberry-pi", wrong)


def test_a_runtime_that_is_not_installed_is_told_before_any_work(monkeypatch):
    missing = replace(RUNTIMES["tflm"], module="no_such_module")
    monkeypatch.setitem(RUNTIMES, "tflm", missing)
    with pytest.raises(ImportError, match=r"`tflite-micro`.*pip install"):
        dk.deployment.convert("not even a model", "microcontroller")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": "cpu"}, "Expected a new name.*Received: 'cpu'"),
        ({"runtimes": ("litert", "onnx")}, r"\('litert', 'tflm'\).*Received: \['onnx'\]"),
        (
            {"runtimes": ()},
            r"or neither of them.*Received: .*runtimes=\(\), quantizations=\('int8',\)",
        ),
        ({"bytes_per_element": 0}, "at least 1. Received: .*bytes_per_element=0"),
        ({"unsupported": {}}, "either in `quantizations` or in `unsupported`"),
        ({"quantizations": QUANTIZATIONS}, "either in `quantizations` or in `unsupported`"),
    ],
)
def test_incomplete_records_are_refused(changes, match):
    before = dict(DEVICES)
    with pytest.raises(ValueError, match=match):
        register(replace(BOARD, **changes))
    assert before == DEVICES
    assert {name for device in DEVICES.values() for name in device.runtimes} == set(RUNTIMES)
