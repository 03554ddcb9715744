import itertools
import json
import re
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.runtimes import litert, row_slices


@pytest.fixture(scope="module")
def saved(files, tmp_path_factory):
    """The folder of a file for a microcontroller."""
    folder = tmp_path_factory.mktemp("saved")
    convert(
        keras.saving.load_model(files / "model.keras"),
        "microcontroller",
        quantization="int8",
        calibration_data=np.load(files / "rows.npy"),
    ).save(folder)
    return folder


def test_a_folder_runs_on_the_runtimes_of_its_target(run, files, saved):
    for name in (saved, saved / "model.tflite"):
        code, out, err = run(
            "verify", name, files / "model.h5", "--calibration-data", files / "rows.npy"
        )
        assert code == 0, err
        compared, litert, litert_distance, tflm, tflm_distance = out.splitlines()
        assert compared == (
            f"compared with {files / 'model.h5'} on 48 rows of {files / 'rows.npy'}"
        )
        assert litert.startswith("litert: ")
        assert tflm.startswith("tflm: ")
        for line in (litert_distance, tflm_distance):
            assert " dB, " in line
            assert "same argmax" in line


def test_a_file_without_its_report_runs_on_litert(run, files, saved, tmp_path):
    shutil.copy(saved / "model.tflite", tmp_path / "alone.tflite")
    arguments = (
        tmp_path / "alone.tflite",
        files / "model.keras",
        "--calibration-data",
        files / "rows.npz",
    )
    code, out, _ = run("verify", *arguments)
    assert (code, "tflm" in out) == (0, False)
    report = json.loads((saved / "report.json").read_text()) | {"file_bytes": 1}
    (tmp_path / "report.json").write_text(json.dumps(report))
    code, out, _ = run("verify", *arguments)
    assert (code, "tflm" in out) == (0, False)
    # A target without runtimes would leave nothing to compare.
    report |= {"file_bytes": (tmp_path / "alone.tflite").stat().st_size, "target": "cpu"}
    (tmp_path / "report.json").write_text(json.dumps(report))
    code, _, err = run("verify", *arguments)
    assert (code, "Received: target='cpu'" in err) == (1, True)
    (tmp_path / "report.json").write_text("{}")
    code, _, err = run("verify", *arguments)
    assert code == 1
    assert f"Received: {tmp_path / 'report.json'}" in err


def test_a_folder_of_two_saves_is_refused(run, files, saved, tmp_path):
    for name in ("report.json", "model.tflite"):
        folder = shutil.copytree(saved, tmp_path / name)
        (folder / name).write_bytes((saved / name).read_bytes() + b" ")
        code, out, err = run(
            "verify", folder, files / "model.h5", "--calibration-data", files / "rows.npy"
        )
        assert (code, out) == (1, "")
        assert f"Expected {name} as SHA256SUMS beside it lists it. Received: " in err


def test_rows_that_take_too_long_are_left_out_and_it_says_so(
    run, files, saved, tmp_path, monkeypatch
):
    shutil.copy(saved / "model.tflite", tmp_path)
    # A slice is one row, and takes a minute and a half.
    clock = itertools.count(0, 90)
    monkeypatch.setattr(row_slices, "time", SimpleNamespace(monotonic=clock.__next__))
    monkeypatch.setattr(litert, "SLICE_SECONDS", 0.0)
    model, rows = files / "model.keras", files / "rows.npy"
    code, out, err = run("verify", tmp_path, model, "--calibration-data", rows)
    assert code == 0, err
    assert "microseconds a row, 8 rows (--timeout)" in out


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "int8", "int16x8"])
def test_the_file_of_another_model_fails_with_its_distances(run, files, tmp_path, quantization):
    rows = np.load(files / "rows.npy")
    other = keras.saving.load_model(files / "other.keras")
    convert(other, quantization=quantization, calibration_data=rows).save(tmp_path)
    code, out, err = run(
        "verify", tmp_path, files / "model.keras", "--calibration-data", files / "rows.npy"
    )
    assert code == 1
    assert "largest error" in out
    assert "same argmax (limit 90.0%) and " in err
    assert "dB (limit 15 dB)" in err


def test_the_file_of_a_destroyed_model_agrees_with_that_and_not_with_the_original(
    run, files, tmp_path
):
    small, rows = tmp_path / "small.keras", ("--calibration-data", files / "rows.npy")
    budget = ("--parameters", 2500)
    result = run("compress", files / "model.keras", *budget, "--output", small)
    assert result.code == 0
    assert "agreement with the original: unknown" in result.out
    assert "dart-keras verify" in result.out
    convert(keras.saving.load_model(small)).save(tmp_path / "out")
    assert run("verify", tmp_path / "out", small, *rows).code == 0
    code, out, err = run("verify", tmp_path / "out", files / "model.keras", *rows)
    assert code == 1
    assert re.search(r"litert: output 'output_0' has .* same argmax .* and .* dB", err)
    assert "same argmax" in out
    # Whoever knows better says so.
    limits = ("--min-agreement", 0, "--min-sqnr-db", -20)
    assert run("verify", tmp_path / "out", files / "model.keras", *rows, *limits).code == 0


def test_limits_of_ones_own(run, files, saved):
    rows = ("--calibration-data", files / "rows.npy")
    code, _, err = run("verify", saved, files / "model.keras", *rows, "--min-sqnr-db", 200)
    assert code == 1
    assert re.search(r"litert: output .* dB \(limit 200 dB\); tflm: output", err)


def test_json_is_all_of_stdout_also_where_it_fails(run, files, saved):
    arguments = (saved, files / "model.keras", "--calibration-data", files / "rows.npy", "--json")
    code, out, _ = run("verify", *arguments)
    report = json.loads(out)
    assert (code, report["failures"]) == (0, [])
    assert report["rows"] == {"count": 48, "source": str(files / "rows.npy")}
    assert report["limits"] == {"min_agreement": 0.9, "min_sqnr_db": 15.0}
    assert list(report["runtimes"]) == ["litert", "tflm"]
    [output] = report["runtimes"]["tflm"]["outputs"]
    assert output["sqnr_db"] > 15
    code, out, err = run("verify", *arguments, "--min-sqnr-db", 200)
    report = json.loads(out)
    assert code == 1
    assert len(report["failures"]) == 2
    assert report["failures"][0] in err
    assert report["limits"]["min_sqnr_db"] == 200


def test_labels_give_the_accuracy_of_both(run, files, saved, tmp_path):
    model = keras.saving.load_model(files / "model.keras")
    classes = model.predict(np.load(files / "rows.npy"), verbose=0).argmax(1)
    classes[:12] = (classes[:12] + 1) % 4
    np.save(tmp_path / "labels.npy", classes)
    arguments = (saved, files / "model.keras", "--calibration-data", files / "rows.npy")
    labels = ("--labels", tmp_path / "labels.npy")
    code, out, err = run("verify", *arguments, *labels)
    assert code == 0, err
    assert "output_0: 75.0% right in Keras" in out
    assert len(re.findall(r"same argmax, [\d.]+% right", out)) == 2
    report = json.loads(run("verify", *arguments, *labels, "--json").out)
    assert report["model_accuracy"] == {"output_0": 0.75}
    assert 0.6 < report["runtimes"]["litert"]["outputs"][0]["accuracy"] < 0.9
    np.save(tmp_path / "labels.npy", classes[:7])
    code, out, err = run("verify", *arguments, *labels)
    assert (code, out) == (1, "")
    assert "for each of the 48 rows" in err


@keras.saving.register_keras_serializable("test_verify_command")
class Lookup(keras.Model):
    """A subclassed model, whose file does not say that its inputs are ids."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.table = keras.layers.Embedding(20, 3)

    def call(self, ids):
        return keras.ops.mean(self.table(ids), axis=1)


def test_a_subclassed_model_takes_the_dtype_of_the_rows(run, tmp_path):
    ids = np.random.default_rng(0).integers(0, 20, (16, 6))
    model = Lookup()
    model(ids)
    model.save(tmp_path / "lookup.keras")
    np.save(tmp_path / "ids.npy", ids)
    convert(model, calibration_data=ids).save(tmp_path / "out")
    rows = ("--calibration-data", tmp_path / "ids.npy")
    code, out, err = run("verify", tmp_path / "out", tmp_path / "lookup.keras", *rows)
    assert code == 0, err
    assert "on 16 rows" in out


def test_without_rows_it_says_what_they_were(run, files, saved, tmp_path):
    code, out, err = run("verify", saved, files / "model.keras")
    assert code == 0, err
    assert "on 32 rows of random inputs; give real ones by --calibration-data" in out
    convert(keras.saving.load_model(files / "ids.keras")).save(tmp_path)
    result = run("verify", tmp_path, files / "ids.keras", "--json")
    assert json.loads(result.out)["rows"] == {"count": 32, "source": "random inputs"}


def test_several_inputs(run, files, tmp_path):
    convert(keras.saving.load_model(files / "two.keras")).save(tmp_path)
    result = run("verify", tmp_path, files / "two.keras", "--calibration-data", files / "two.npz")
    assert result.code == 0, result.err


def test_ids_that_the_model_does_not_know(run, files, tmp_path):
    convert(keras.saving.load_model(files / "ids.keras")).save(tmp_path)
    model = files / "ids.keras"
    assert run("verify", tmp_path, model, "--calibration-data", files / "ids.npy").code == 0
    code, out, err = run("verify", tmp_path, model, "--calibration-data", files / "unknown_ids.npy")
    assert (code, out) == (1, "")
    assert err.startswith(
        "dart-keras: error: Expected rows that the model can take. Received: rows"
    )
    assert "is not in [0, 20)" in err
    assert err.count("\n") == 1


def test_files_that_do_not_fit(run, files, saved, tmp_path):
    (tmp_path / "text.tflite").write_bytes(b"not a file for any device")
    content = (saved / "model.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: len(content) // 2])
    for file, model, rows, message in [
        (tmp_path / "text.tflite", "model.keras", "rows.npy", "Expected a .tflite file"),
        (tmp_path / "cut.tflite", "model.keras", "rows.npy", "Expected a .tflite file"),
        (tmp_path / "none.tflite", "model.keras", "rows.npy", "none.tflite"),
        (tmp_path, "model.keras", "rows.npy", "model.tflite"),
        (saved, "two.keras", "two.npz", "the inputs [(1, 5), (1, 7)] and 1 output(s)"),
        (
            saved,
            "model.keras",
            "ids.npy",
            "`--calibration-data` for input 'features' to have shape",
        ),
    ]:
        code, out, err = run("verify", file, files / model, "--calibration-data", files / rows)
        assert (code, out) == (1, "")
        assert message in err
