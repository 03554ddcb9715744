import json
import shutil

import numpy as np
import pytest

from tests.tflite.raspberry_pi.conftest import IDS, KIT, PAIRS, ROWS


def test_needs_only_its_own_folder(kit, saved, clean_python, tmp_path):
    import subprocess

    copied = shutil.copytree(KIT, tmp_path / "copied", ignore=shutil.ignore_patterns("__pycache__"))
    folder, artifact = saved("dense")
    names = [folder / "model.tflite", folder / "rows.npy", tmp_path / "outputs.npy"]
    subprocess.run([clean_python, "-I", copied, "run", *names], check=True, cwd=tmp_path)
    np.testing.assert_array_equal(np.load(names[-1]), artifact.predict(ROWS))
    missing = [clean_python, "-c", "import tensorflow, keras, dart_keras"]
    assert subprocess.run(missing, capture_output=True).returncode != 0


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "int8", "int16x8"])
@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_match_the_artifact(kit, saved, tmp_path, quantization, threads):
    folder, artifact = saved("dense", quantization)
    given, wanted = folder / "rows.npy", tmp_path / "outputs.npy"
    done = kit("run", folder / "model.tflite", given, wanted, "--threads", threads)
    assert done.code == 0, done.err
    assert done.out.startswith("20 rows, median ")
    tolerance = 1e-5 if artifact.outputs[0].scale is None else artifact.outputs[0].scale * 1.01
    np.testing.assert_allclose(np.load(wanted), artifact.predict(ROWS), atol=tolerance)


def test_ids_stay_integers(kit, saved, tmp_path):
    folder, artifact = saved("ids")
    model, wanted = folder / "model.tflite", tmp_path / "outputs.npy"
    assert kit("run", model, folder / "rows.npy", wanted).code == 0
    np.testing.assert_array_equal(np.load(wanted), artifact.predict(IDS))
    np.save(tmp_path / "floats.npy", IDS + 0.5)
    done = kit("run", model, tmp_path / "floats.npy", wanted)
    assert done.code == 1
    assert done.err == "Expected ids of integers. Received: an array of float64\n"


@pytest.mark.parametrize("quantization", ["float32", "int8"])
@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("words", 50, "Expected ids from 0 to 49 in words. Received: id 50 in row 3"),
        (
            "words",
            2**31 - 1,
            "Expected ids from 0 to 49 in words. Received: id 2147483647 in row 3",
        ),
        ("letters", 33, "Expected ids from 0 to 19 in letters. Received: id 33 in row 3"),
        ("words", -2, "Expected ids of 0 or more in words. Received: id -2 in row 3"),
        ("letters", 2**32, "Expected letters of int32. Received: 4294967296"),
    ],
)
def test_ids_out_of_range_are_named(kit, saved, tmp_path, quantization, name, wrong, message):
    folder, _ = saved("named_ids", quantization)
    rows = {key: array.astype("int64") for key, array in np.load(folder / "rows.npz").items()}
    rows[name][3, 2] = wrong
    np.savez(tmp_path / "rows.npz", **rows)
    done = kit("run", folder / "model.tflite", tmp_path / "rows.npz", tmp_path / "outputs.npy")
    assert (done.code, done.out, done.err) == (1, "", message + "\n")


def test_the_only_input_goes_by_its_name_too(kit, saved, tmp_path):
    folder, _ = saved("dense")
    model, outputs = folder / "model.tflite", tmp_path / "outputs.npy"
    for name in ("features", "arr_0"):
        np.savez(tmp_path / "rows.npz", **{name: ROWS})
        assert kit("run", model, tmp_path / "rows.npz", outputs).code == 0
    np.savez(tmp_path / "rows.npz", labels=ROWS)
    done = kit("run", model, tmp_path / "rows.npz", outputs)
    assert done.code == 1
    assert done.err == "Expected one array for each of ['features']. Received: ['labels']\n"


@pytest.mark.parametrize("target", ["raspberry-pi", "microcontroller"])
def test_several_inputs_and_outputs_by_name(kit, saved, tmp_path, target):
    folder, artifact = saved("pairs", target=target)
    wanted = tmp_path / "outputs.npz"
    done = kit("run", folder / "model.tflite", folder / "rows.npz", wanted, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report.pop("median_microseconds") > 0
    assert report == {"outputs": {"output_0": [20, 3], "output_1": [20, 2]}, "rows": 20}
    for array, expected in zip(np.load(wanted).values(), artifact.predict(PAIRS), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_inputs_are_matched_by_name_not_order(kit, saved, tmp_path):
    folder, artifact = saved("pairs")
    np.savez(tmp_path / "rows.npz", **dict(reversed(PAIRS.items())))
    kit("run", folder / "model.tflite", tmp_path / "rows.npz", tmp_path / "outputs.npz")
    np.testing.assert_array_equal(
        np.load(tmp_path / "outputs.npz")["output_0"], artifact.predict(PAIRS)[0]
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:, :5], "Expected features of shape (rows, 16). Received: (20, 5)"),
        (ROWS[0], "Expected features of shape (rows, 16). Received: (16,)"),
        (ROWS[:0], "Expected features of shape (rows, 16). Received: (0, 16)"),
        (np.float32(1), "Expected features of shape (rows, 16). Received: ()"),
        (ROWS * np.nan, "Expected features to be finite. Received: NaN or infinity"),
        (ROWS.astype(str), "Expected features of numbers. Received: an array of <U"),
    ],
)
def test_rows_that_do_not_fit_are_refused(kit, saved, tmp_path, rows, message):
    folder, _ = saved("dense")
    np.save(tmp_path / "rows.npy", rows)
    done = kit("run", folder / "model.tflite", tmp_path / "rows.npy", tmp_path / "outputs.npy")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(message)
    assert not (tmp_path / "outputs.npy").exists()


def test_missing_arrays_and_unequal_lengths_are_refused(kit, saved, tmp_path):
    folder, _ = saved("pairs")
    model, rows, outputs = folder / "model.tflite", tmp_path / "rows.npz", tmp_path / "o.npz"
    np.savez(rows, z_first=PAIRS["z_first"], other=PAIRS["a_second"])
    done = kit("run", model, rows, outputs)
    assert done.code == 1
    assert "for each of ['z_first', 'a_second']. Received: ['z_first', 'other']" in done.err
    np.savez(rows, z_first=PAIRS["z_first"], a_second=PAIRS["a_second"][:3])
    done = kit("run", model, rows, outputs)
    assert done.code == 1
    assert done.err == "Expected as many rows for each input. Received: [20, 3]\n"
    done = kit("run", model, folder / "rows.npz", tmp_path / "o.npy")
    assert done.code == 1
    assert "Expected a .npz file for 2 outputs." in done.err


def test_errors_name_unreadable_and_unwritable_files(kit, saved, tmp_path):
    folder, _ = saved("dense")
    model, rows = folder / "model.tflite", folder / "rows.npy"
    for arguments in (
        ("missing.tflite", rows, tmp_path / "o.npy"),
        (model, "missing.npy", tmp_path / "o.npy"),
        # Known before a model runs.
        (rows, rows, tmp_path / "missing" / "o.npy"),
    ):
        done = kit("run", *arguments)
        assert done.code == 1
        assert done.err.startswith("Expected a file to read or write. Received: ")
        assert "missing" in done.err
    (tmp_path / "rows.npy").write_bytes(b"no array")
    done = kit("run", model, tmp_path / "rows.npy", tmp_path / "o.npy")
    assert done.code == 1
    assert done.err.startswith("Expected a .npy or .npz file of numbers. Received: ")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("jump", "model.tflite"),
        ("run", "model.tflite", "rows.txt", "outputs.npy"),
        ("run", "model.tflite", "rows.npy", "outputs.npy", "--threads", "0"),
        ("run", "model.tflite", "rows.npy", "outputs.npy", "--timeout", "-1"),
        ("verify", "model.tflite"),
        ("verify", "model.tflite", "--expected", "examples.npz", "--steps", "-1"),
    ],
)
def test_wrong_usage_is_exit_code_2(kit, arguments):
    done = kit(*arguments)
    assert done.code == 2
    assert done.err.startswith("usage: ")
