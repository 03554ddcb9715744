from types import SimpleNamespace

import keras
import pytest

from tests.docs.code_blocks import run_console


def run(text):
    return run_console(SimpleNamespace(parsed=text))


@pytest.fixture(autouse=True)
def _model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)]).save("model.keras")


def test_commands_and_what_they_print():
    shown = "$ dart-keras inspect \\\n    model.keras\n...layer...dense...\n"
    assert run(shown) is None
    assert "Expected of $ dart-keras" in run(shown.replace("dense", "conv"))


def test_a_command_that_fails():
    assert "No such file" in run("$ dart-keras inspect other.keras\n")


def test_another_command_needs_a_mark():
    assert "skip: next" in run("$ rm model.keras\n")
