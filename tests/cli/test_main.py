import configparser
import importlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from dart_keras._version import __version__
from dart_keras.cli.main import main

ROOT = Path(__file__).parents[2]
# What the script does that is installed as `dart-keras`.
SCRIPT = "import sys; from dart_keras.cli.main import main; sys.exit(main())"


def test_the_entry_point():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    name, _, place = config["options.entry_points"]["console_scripts"].partition(" = ")
    module, _, function = place.partition(":")
    assert name.strip() == "dart-keras"
    assert getattr(importlib.import_module(module), function) is main


def test_help_does_not_wait_for_tensorflow():
    code = (
        "import sys\n"
        "from dart_keras.cli.main import main\n"
        "try:\n    main(['convert', '--help'])\nexcept SystemExit as exit:\n"
        "    print(exit.code, [m for m in ('keras', 'tensorflow', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "--flash-budget" in result.stdout
    assert result.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "none.keras"],
        ["compress", "none.keras", "--output", "small.keras", "--tolerance", "0.1"],
        ["convert", "none.keras", "--output", "out"],
        ["verify", "none.tflite", "none.keras", "--calibration-data", "none.npy"],
    ],
)
def test_a_missing_file_does_not_wait_for_tensorflow(tmp_path, arguments):
    code = (
        "import sys\n"
        "from dart_keras.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "print(code, [m for m in ('keras', 'tensorflow', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "No such file or directory: 'none." in result.stderr
    assert result.stdout == "1 []\n"


def test_the_version(run):
    assert run("--version") == (0, f"dart-keras {__version__}\n", "")


def test_a_process_prints_the_result_and_nothing_else(files, tmp_path):
    arguments = ["convert", files / "model.keras", "--output", tmp_path / "out"]
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.startswith("small for raspberry-pi, float32\n")


def test_a_failure_is_one_line_on_stderr(run, tmp_path):
    code, out, err = run("convert", tmp_path / "none.keras", "--output", tmp_path / "out")
    assert (code, out) == (1, "")
    assert err == (
        f"dart-keras: error: [Errno 2] No such file or directory: '{tmp_path / 'none.keras'}'\n"
    )


def test_a_warning_is_one_line_on_stderr(run, files, monkeypatch):
    def load_model(*_):
        warnings.warn("It is slow.", stacklevel=1)
        raise ValueError("It is wrong.")

    monkeypatch.setattr("dart_keras.cli.convert_command.load_model_file", load_model)
    code, _, err = run("convert", files / "model.keras", "--output", "out")
    assert (code, err) == (1, "dart-keras: warning: It is slow.\ndart-keras: error: It is wrong.\n")


@pytest.mark.parametrize("arguments", [[], ["shrink"], ["inspect"], ["inspect", "model.pt"]])
def test_wrong_usage(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "error:" in err


def test_an_error_in_the_code_keeps_its_traceback(run, files, monkeypatch):
    monkeypatch.setattr("dart_keras.cli.convert_command.load_model_file", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("convert", files / "model.keras", "--output", "out")


def test_an_interrupt_is_one_line_on_stderr(run, files, tmp_path):
    # The way of Ctrl-C, from within the work.
    (tmp_path / "stop.py").write_text("raise KeyboardInterrupt")
    result = run("inspect", files / "model.keras", "--import", tmp_path / "stop.py")
    assert result == (130, "", "dart-keras: interrupted\n")
