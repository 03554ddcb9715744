"""Damaged files given to `dart-keras verify`."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from dart_keras.cli.file_comparison import compare_file
from dart_keras.deployment import convert
from dart_keras.deployment.runtimes import child_process
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
from tests.corruption import corrupted

WORKERS = Path(__file__).with_name("forking_workers.py")
WORKER = Path(child_process.__file__).with_name("worker.py")


@pytest.fixture(scope="module")
def saved(files, tmp_path_factory):
    """For each of two models the `.keras` file, its rows and the folder of its file."""
    found = {}
    for name, target in (("model", "microcontroller"), ("ids", "raspberry-pi")):
        folder = tmp_path_factory.mktemp(name)
        model, rows = keras.saving.load_model(files / f"{name}.keras"), files / "rows.npy"
        rows = files / ("rows.npy" if name == "model" else "ids.npy")
        given = np.load(rows)
        convert(model, target, quantization="int8", calibration_data=given).save(folder)
        found[name] = (files / f"{name}.keras", rows, folder)
    return found


@pytest.fixture
def _forked(monkeypatch, tmp_path):
    """Has workers forked from a process that is ready, in place of new ones."""
    command = [sys.executable, "-P", WORKERS, WORKER]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as forking:

        def run(command, given, seconds):
            assert command == [sys.executable, "-P", str(WORKER)]
            request = tmp_path / "request"
            request.write_bytes(given)
            print(math.ceil(seconds), request, file=forking.stdin, flush=True)
            code = int(forking.stdout.readline())
            files = [tmp_path / f"request.{name}" for name in ("out", "err")]
            done = subprocess.CompletedProcess(command, code, *(f.read_bytes() for f in files))
            for file in files:
                file.unlink()
            if code == -signal.SIGALRM:
                raise subprocess.TimeoutExpired(command, seconds)
            return done

        monkeypatch.setattr(child_process, "run_process", run)
        yield
        forking.stdin.close()


@pytest.mark.usefixtures("_forked")
@pytest.mark.parametrize("name", ["model", "ids"])
def test_500_damaged_files_end_in_distances_or_a_clear_error(saved, name, tmp_path):
    model_file, rows_file, folder = saved[name]
    model = keras.saving.load_model(model_file)
    signature = model_signature(model)
    rows = [np.load(rows_file)[:8].astype(signature.inputs[0].dtype)]
    exported = export(model, signature)
    expected = exported(rows)
    content = (folder / "model.tflite").read_bytes()
    report = json.loads((folder / "report.json").read_text())
    passed, reasons = 0, []
    for copy in corrupted(content, 250, seed=len(name)):
        # Of a file that was cut off, the report says nothing: it runs on LiteRT alone.
        (tmp_path / "report.json").write_text(json.dumps(report))
        try:
            results = compare_file(tmp_path / "model.tflite", copy, exported, rows, expected, 5)
        except ValueError as error:
            reasons.append(str(error))
            assert len(reasons[-1].splitlines()) == 1, reasons[-1]
        else:
            passed += 1
            assert all(each.distances for each in results.values())
    assert passed + len(reasons) == 250
    # Both ends are met: files too broken to run, and others that still do.
    assert min(passed, len(reasons)) > 20
    for part in ("Expected a .tflite file. Received: ", " cannot run the model: "):
        assert any(part in reason for reason in reasons)


def test_damaged_files_from_end_to_end(saved, tmp_path, run):
    model, rows, folder = saved["model"]
    content = (folder / "model.tflite").read_bytes()
    for number, copy in enumerate(corrupted(content, 6, seed=1)):
        file = tmp_path / f"{number}.tflite"
        file.write_bytes(copy)
        code, out, err = run("verify", file, model, "--calibration-data", rows)
        assert code in (0, 1)
        assert out or err
        if code:
            assert err.startswith("dart-keras: error: ")
            assert len(err.splitlines()) == 1, err


def test_a_file_that_takes_too_long_is_refused(saved, run):
    model, rows, folder = saved["model"]
    code, out, err = run("verify", folder, model, "--calibration-data", rows, "--timeout", 0.001)
    assert (code, out) == (1, "")
    assert err == (
        "dart-keras: error: Expected LiteRT to be done with the model in 0.001 seconds. Received: "
        "no answer. Give it more time, or convert the model again: the file may be damaged.\n"
    )


def test_a_timeout_is_a_positive_number(run):
    assert (
        run("verify", "out", "model.keras", "--calibration-data", "x.npy", "--timeout", "0").code
        == 2
    )
