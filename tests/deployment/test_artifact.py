import copy
import html
import json
import pickle
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from dart_keras.deployment import ConversionError, convert
from tests.deployment import models


@pytest.fixture(scope="module")
def artifact():
    return convert(
        models.dense(), "microcontroller", quantization="int8", calibration_data=models.ROWS
    )


def test_predict_takes_any_number_of_rows(artifact):
    everything = artifact.predict(models.ROWS)
    for rows in (1, 5):
        np.testing.assert_array_equal(artifact.predict(models.ROWS[:rows]), everything[:rows])
    assert everything.dtype == "float32"
    with pytest.raises(ValueError, match=r"`x` for input 'features'.*\(rows, 20\)"):
        artifact.predict(models.ROWS[:, :4])


def test_only_the_runtimes_of_the_target(artifact):
    others = "'litert-builtin', 'litert-reference'"
    both = rf"\['litert', 'tflm', {others}\]"
    with pytest.raises(ValueError, match=f"{both}.*Received: runtime='tpu'"):
        artifact.predict(models.ROWS, runtime="tpu")
    with pytest.raises(ValueError, match=rf"\['litert', {others}\].*Received: runtime='tflm'"):
        convert(models.dense()).predict(models.ROWS, runtime="tflm")


def test_other_kernels_of_litert_show_themselves_beside_those_that_judge(artifact):
    step = artifact.outputs[0].scale
    assert list(artifact.report["runtimes"]) == ["litert", "tflm", "litert-builtin"]
    for runtime in ("litert-builtin", "litert-reference"):
        got = artifact.predict(models.ROWS, runtime)
        np.testing.assert_allclose(got, artifact.predict(models.ROWS), atol=3 * step)
    assert set(artifact.verify(models.ROWS)) == {"litert", "tflm"}


def test_verify_measures_new_data(artifact):
    results = artifact.verify(models.ROWS)
    assert set(results) == {"litert", "tflm"}
    for runtime, (result,) in results.items():
        (reported,) = artifact.report["runtimes"][runtime]["outputs"]
        assert result["sqnr_db"] == pytest.approx(reported["sqnr_db"], abs=0.1)


def test_verify_refuses_data_that_the_file_was_not_made_for():
    model = models.tt_dense()
    tiny = convert(model, quantization="int8", calibration_data=models.ROWS * 1e-4)
    large = convert(model, quantization="int8", calibration_data=models.ROWS * 1e4)
    with pytest.raises(ConversionError, match="dB"):
        large.verify(models.ROWS * 1e-4)
    assert tiny.verify(models.ROWS * 1e-4)


def test_data_may_have_the_keys_by_which_the_model_takes_its_inputs():
    taken = {"one": keras.Input((3,), name="first"), "two": keras.Input((2,), name="second")}
    joined = keras.layers.Concatenate()([taken["one"], taken["two"]])
    model = keras.Model(taken, keras.layers.Dense(2)(joined))
    rows = {"one": models.RNG.normal(size=(8, 3)), "two": models.RNG.normal(size=(8, 2))}
    artifact = convert(model, calibration_data=rows)
    np.testing.assert_allclose(artifact.predict(rows), model.predict(rows, verbose=0), atol=1e-5)
    assert artifact.verify(rows)
    assert copy.deepcopy(artifact).verify(rows) == artifact.verify(rows)


def pickled(artifact):
    return pickle.loads(pickle.dumps(artifact))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_is_as_good(artifact, tmp_path, copied):
    # Also one of a copy.
    other = copied(copied(artifact))
    assert other == artifact
    assert str(other) == str(artifact)
    np.testing.assert_array_equal(other.predict(models.ROWS), artifact.predict(models.ROWS))
    assert other.verify(models.ROWS) == artifact.verify(models.ROWS)
    errors = [str(each.operator_errors(models.ROWS)) for each in (other, artifact)]
    assert errors[0] == errors[1]
    for name, each in (("other", other), ("artifact", artifact)):
        each.save(tmp_path / name)
    for path in (tmp_path / "artifact").iterdir():
        assert (tmp_path / "other" / path.name).read_bytes() == path.read_bytes()


def test_another_process_loads_a_pickled_artifact(tmp_path):
    # A loop, and layers that a graph does not name.
    sequences = models.RNG.normal(size=(4, 5, 3)).astype("float32")
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)])
    artifact = convert(model, calibration_data=sequences)
    (tmp_path / "artifact.pickle").write_bytes(pickle.dumps((artifact, sequences)))
    code = (
        "import pickle, sys\n"
        "with open(sys.argv[1], 'rb') as file: artifact, rows = pickle.load(file)\n"
        "assert artifact.verify(rows)\n"
        "print(artifact.predict(rows).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "artifact.pickle"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == artifact.predict(sequences).tolist()


def test_saved_files_are_the_artifact(artifact, tmp_path):
    artifact.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "model.tflite",
        "report.json",
        "examples.npz",
        "SHA256SUMS",
        "model.h",
        "model.cc",
        "op_resolver.h",
        "tensors.h",
        "examples.h",
        "examples.cc",
    }
    assert (tmp_path / "out" / "model.tflite").read_bytes() == artifact.content
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == artifact.report
    assert f"kArenaSize = {artifact.arena_size};" in (tmp_path / "out" / "model.h").read_text()
    if shutil.which("g++"):
        subprocess.run(
            ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-c", "model.cc"],
            cwd=tmp_path / "out",
            check=True,
        )


def test_a_raspberry_pi_needs_no_source(artifact, tmp_path):
    # Nor is that of the artifact before left beside it.
    artifact.save(tmp_path)
    convert(models.dense()).save(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.tflite",
        "report.json",
        "examples.npz",
        "SHA256SUMS",
    }


def test_a_folder_that_cannot_be_written_to_is_named(artifact, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file/out"):
        artifact.save(tmp_path / "file" / "out")


def test_it_prints_itself(artifact):
    assert repr(artifact) == (
        "Artifact(target='microcontroller', quantization='int8', "
        f"weight_scales={artifact.weight_scales!r}, "
        f"size={artifact.size}, arena_size={artifact.arena_size})"
    )
    text = str(artifact)
    assert artifact._repr_html_() == f"<pre>{html.escape(text)}</pre>"
    for part in (
        f"microcontroller, int8, {artifact.weight_scales} scales",
        "2 FULLY_CONNECTED",
        "tflm",
        "same argmax",
        "dB",
    ):
        assert part in text
