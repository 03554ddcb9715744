import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import dart_keras as dk

SCRIPT = Path(__file__).parents[2] / "tflite" / "raspberry_pi" / "run.py"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((16,)), dk.layers.TTDense(8, ranks=4)])
    x = np.random.default_rng(0).normal(size=(20, 16)).astype("float32")
    artifact = dk.deployment.convert(model, quantization="int8", representative_data=x)
    folder = tmp_path_factory.mktemp("artifact")
    artifact.save(folder)
    return folder, artifact, x


def run(folder, inputs):
    np.save(folder / "inputs.npy", inputs)
    names = [folder / name for name in ("model.tflite", "inputs.npy", "outputs.npy")]
    return subprocess.run([sys.executable, SCRIPT, *names], capture_output=True, text=True)


def test_outputs_are_those_of_the_artifact(saved):
    folder, artifact, x = saved
    result = run(folder, x)
    assert result.returncode == 0, result.stderr
    assert "20 rows" in result.stdout
    np.testing.assert_allclose(np.load(folder / "outputs.npy"), artifact.predict(x), atol=1e-6)


def test_inputs_of_another_shape_are_refused(saved):
    folder, _, x = saved
    result = run(folder, x[:, :5])
    assert result.returncode == 1
    assert "(rows, 16). Received: (20, 5)" in result.stderr


def test_needs_nothing_but_litert_and_numpy():
    imports = [line.split()[1] for line in SCRIPT.read_text().splitlines() if " import " in line]
    assert {name.split(".")[0] for name in imports if name.startswith("ai_")} == {"ai_edge_litert"}
    assert "tensorflow" not in SCRIPT.read_text()
