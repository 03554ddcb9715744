import json
import shutil

import numpy as np
import pytest


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "int8", "int16x8"])
def test_examples_of_an_artifact_agree(kit, saved, quantization):
    folder, _ = saved("dense", quantization)
    done = kit("verify", folder / "model.tflite", "--expected", folder / "examples.npz")
    assert done.code == 0, done.err
    assert done.out.startswith("4 rows: agree\n")


@pytest.mark.parametrize("target", ["raspberry-pi", "microcontroller"])
@pytest.mark.parametrize("kind", ["ids", "pairs"])
def test_examples_of_several_inputs_and_of_ids_agree(kit, saved, kind, target):
    folder, artifact = saved(kind, target=target)
    expected = folder / "examples.npz"
    done = kit("verify", folder / "model.tflite", "--expected", expected, "--json")
    assert done.code == 0, done.err
    outputs = json.loads(done.out)["outputs"]
    assert [output["name"] for output in outputs] == [info.name for info in artifact.outputs]
    assert all(output["steps"] <= 1 for output in outputs)


def test_files_of_two_saves_are_refused(kit, saved, tmp_path):
    folder, _ = saved("dense")
    other, _ = saved("dense", "float32")
    mixed = shutil.copytree(folder, tmp_path / "mixed")
    command = ["verify", mixed / "model.tflite", "--expected", mixed / "examples.npz"]
    for name in ("examples.npz", "model.tflite"):
        shutil.copy(other / name, mixed)
        done = kit(*command)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith(f"Expected {mixed / name} as SHA256SUMS beside it lists it. ")
        shutil.copy(folder / name, mixed)
    assert kit(*command).code == 0


def changed(folder, path, by):
    arrays = dict(np.load(folder / "examples.npz"))
    [name] = [name for name in arrays if name.startswith("outputs/")]
    # The element nearest to zero, which cannot overflow.
    index = np.unravel_index(np.argmin(np.abs(arrays[name].astype("float64"))), arrays[name].shape)
    arrays[name][index] += by
    np.savez(path, **arrays)
    return arrays[name].astype("float64")


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_integers_are_compared_in_steps(kit, saved, tmp_path, quantization):
    folder, artifact = saved("dense", quantization)
    changed(folder, tmp_path / "changed.npz", 2)
    command = ["verify", folder / "model.tflite", "--expected", tmp_path / "changed.npz"]
    done = kit(*command)
    assert done.code == 1
    assert done.err == ""
    assert done.out.startswith("4 rows: DIFFER\n")
    assert "(2 steps), signal-to-noise " in done.out
    done = kit(*command, "--steps", 2, "--json")
    assert done.code == 0
    [result] = json.loads(done.out)["outputs"]
    [info] = artifact.outputs
    assert result["steps"] == 2
    assert result["largest_difference"] == pytest.approx(2 * info.scale, rel=1e-3)
    assert kit(*command[:3], folder / "examples.npz", "--steps", 0).code == 0


def test_floats_are_compared_relative_to_their_largest_magnitude(kit, saved, tmp_path):
    folder, _ = saved("dense", "float32")
    expected = changed(folder, tmp_path / "changed.npz", 0.05)
    command = ["verify", folder / "model.tflite", "--expected", tmp_path / "changed.npz", "--json"]
    done = kit(*command)
    assert done.code == 1
    report = json.loads(done.out)
    [result] = report["outputs"]
    assert not report["agrees"]
    relative = 0.05 / np.max(np.abs(expected))
    assert result["relative_difference"] == pytest.approx(relative, rel=1e-3)
    decibels = 10 * np.log10(np.mean(expected**2) / (0.05**2 / expected.size))
    assert result["signal_to_noise_db"] == pytest.approx(decibels, abs=0.01)
    assert kit(*command, "--tolerance", 2 * relative).code == 0


def test_arrays_that_cannot_be_compared_are_refused(kit, saved, tmp_path):
    folder, _ = saved("dense")
    recorded = dict(np.load(folder / "examples.npz"))
    output = next(name for name in recorded if name.startswith("outputs/"))
    for replaced, message in (
        ({"inputs/features": np.zeros((4, 16), "float32")}, "Expected features of int8. Received"),
        ({output: recorded[output][:, :3]}, "of shape (4, 8) and dtype int8, as the model gives"),
        ({output: recorded[output].astype("int16")}, "Received: (4, 8) and int16"),
        ({"outputs/more": recorded[output]}, "for each of 1 outputs. Received: "),
    ):
        np.savez(tmp_path / "changed.npz", **recorded | replaced)
        command = ["verify", folder / "model.tflite", "--expected", tmp_path / "changed.npz"]
        done = kit(*command)
        assert done.code == 1
        assert message in done.err
    np.save(tmp_path / "rows.npy", recorded[output])
    done = kit("verify", folder / "model.tflite", "--expected", tmp_path / "rows.npy")
    assert done.code == 1
    assert done.err.startswith("Expected one array for each of ['features']. Received: []")
