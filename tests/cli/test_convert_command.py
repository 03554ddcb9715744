import json

import keras
import numpy as np
import pytest

import dart_keras as dk


def test_files_for_a_microcontroller_from_h5(run, files, tmp_path):
    out = tmp_path / "out"
    code, printed, err = run(
        *("convert", files / "model.h5", "--output", out, "--target", "microcontroller"),
        *(
            "--quantization",
            "int8",
            "--calibration-data",
            files / "rows.npz",
            "--flash-budget",
            100_000,
        ),
    )
    assert code == 0, err
    report = json.loads((out / "report.json").read_text())
    assert {name: report[name] for name in ("target", "quantization", "flash_budget")} == {
        "target": "microcontroller",
        "quantization": "int8",
        "flash_budget": 100_000,
    }
    assert report["calibration_rows"] == 48
    assert (out / "model.cc").exists()
    assert f"file       {report['file_bytes']:,} bytes" in printed
    assert "tflm" in printed
    wrote = [f"wrote {path} ({path.stat().st_size:,} bytes)" for path in out.iterdir()]
    assert sorted(printed.splitlines()[-len(wrote) :]) == sorted(wrote)


def test_ranges_and_decibels_are_for_the_caller_to_say(run, files, tmp_path):
    result = run(
        *("convert", files / "model.keras", "--output", tmp_path, "--quantization", "int8"),
        *(
            "--calibration-data",
            files / "rows.npz",
            "--activation-ranges",
            "mse",
            "--min-sqnr-db",
            1,
        ),
    )
    assert result.code == 0, result.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["activation_ranges"], report["min_sqnr_db"]) == ("mse", 1)


def test_two_inputs_go_by_their_names(run, files, tmp_path):
    result = run(
        *("convert", files / "two.keras", "--output", tmp_path, "--quantization", "int16x8"),
        *("--calibration-data", files / "two.npz"),
    )
    assert result.code == 0, result.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert [given["name"] for given in report["inputs"]] == ["z_first", "a_second"]


def test_a_quantization_aware_model_needs_no_rows(run, tmp_path):
    rows = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    aware = dk.quantization.quantize_aware(model)
    aware.compile("adam", "mse")
    aware.fit(rows, rows[:, :3], verbose=0)
    aware.save(tmp_path / "aware.keras")
    out = tmp_path / "out"
    result = run("convert", tmp_path / "aware.keras", "--output", out, "--quantization", "int8")
    assert result.code == 0, result.err
    assert json.loads((out / "report.json").read_text())["weight_bytes"]["int8"] == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--calibration-data", "two.npz"],
            "to hold an array for each of the inputs ['features']",
        ),
        # Also of a single array: it may be another one than was meant.
        (
            ["--calibration-data", "labels.npz"],
            "to hold an array for each of the inputs ['features']",
        ),
        (["--calibration-data", "ids.npy"], "to have shape (rows, 128)"),
        (["--flash-budget", 100], "the smallest file with quantization='float32', which takes"),
        (["--target", "microcontroller", "--quantization", "dynamic"], "no kernels"),
    ],
)
def test_a_failure_writes_nothing(run, files, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(files)
    np.savez("labels.npz", labels=np.load("rows.npy"))
    code, out, err = run("convert", "model.keras", "--output", tmp_path / "out", *arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_known_before(run, files, tmp_path, monkeypatch):
    monkeypatch.setattr("dart_keras.cli.main._run", lambda arguments: 1 / 0)
    (tmp_path / "file").write_bytes(b"")
    code, _, err = run("convert", files / "model.keras", "--output", tmp_path / "file" / "out")
    assert code == 1
    assert "Cannot save to the folder: Not a directory" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quantization", "int8"], "--quantization int8 needs --calibration-data"),
        (["--quantization", "int4"], "invalid choice: 'int4'"),
        (["--calibration-data", "rows.csv"], "expected a .npy or .npz file. Received: rows.csv"),
        (["--activation-ranges", "max"], "invalid choice: 'max'"),
        (["--flash-budget", "0"], "expected a positive integer. Received: 0"),
    ],
)
def test_wrong_usage(run, files, monkeypatch, arguments, message):
    # Whether rows are needed, the model says.
    monkeypatch.chdir(files)
    code, out, err = run("convert", "model.keras", "--output", "out", *arguments)
    assert (code, out) == (2, "")
    assert message in err
