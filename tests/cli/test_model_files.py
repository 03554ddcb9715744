import io
import subprocess
import sys

import keras
import numpy as np
import pytest

from dart_keras.cli.model_files import import_definitions, load_model_file, load_rows


@keras.saving.register_keras_serializable("tests")
class Strange(keras.layers.Layer):
    def call(self, inputs):
        return inputs


def test_both_formats_are_loaded_and_not_compiled(files):
    for name in ("model.keras", "model.h5"):
        model = load_model_file(files / name)
        assert model.name == "small"
        assert not model.compiled


def test_files_that_are_no_models(files, tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(
        tmp_path / "x.weights.h5"
    )
    (tmp_path / "bytes.h5").write_bytes(b"nothing")
    (tmp_path / "cut.keras").write_bytes((files / "model.keras").read_bytes()[:500])
    for name, reason in [
        ("bytes.h5", "Cannot load the model .*bytes.h5: .*signature"),
        ("cut.keras", "Expected a .keras file, which is a zip file. Received: .*cut.keras$"),
        ("x.weights.h5", "holds weights only"),
    ]:
        with pytest.raises(ValueError, match=reason):
            load_model_file(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        load_model_file(tmp_path / "none.keras")


def test_a_class_that_is_not_known_here_is_named_in_one_line(tmp_path, monkeypatch):
    inner = keras.Sequential([keras.Input((4,)), Strange()])
    keras.Sequential([keras.Input((4,)), inner]).save(tmp_path / "strange.keras")
    monkeypatch.delitem(keras.saving.get_custom_objects(), "tests>Strange")
    with pytest.raises(ValueError, match="Could not locate class 'Strange'") as caught:
        load_model_file(tmp_path / "strange.keras")
    assert "\n" not in str(caught.value)
    assert "config" not in str(caught.value)
    assert str(caught.value).endswith("Give the file that defines it with --import FILE.py.")


DEFINITIONS = """
import keras
import neighbour

@keras.saving.register_keras_serializable("shop")
class Registered(keras.layers.Layer):
    def call(self, inputs):
        return inputs + neighbour.ONE

class Plain(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs

def tripled(x):
    return 3 * x
"""


@pytest.fixture
def custom(tmp_path):
    """A model of layers and functions of one's own, and the file that defines them."""
    (tmp_path / "own_layers.py").write_text(DEFINITIONS)
    (tmp_path / "neighbour.py").write_text("ONE = 1.0")
    code = (
        "import keras, own_layers as own\n"
        "stack = [own.Registered(), own.Plain(), keras.layers.Activation(own.tripled)]\n"
        "keras.Sequential([keras.Input((4,)), *stack]).save('custom.keras')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    yield tmp_path / "custom.keras", tmp_path / "own_layers.py"
    sys.path[:] = [each for each in sys.path if each != str(tmp_path)]
    for name in ("own_layers", "neighbour"):
        sys.modules.pop(name, None)
    for name in ("shop>Registered",):
        keras.saving.get_custom_objects().pop(name, None)


def test_definitions_are_imported_from_a_file_or_module(custom, monkeypatch, run):
    path, definitions = custom
    with pytest.raises(ValueError, match=r"--import FILE\.py"):
        load_model_file(path)
    model = load_model_file(path, [str(definitions)])
    np.testing.assert_array_equal(model(np.ones((1, 4))), np.full((1, 4), 12.0))
    monkeypatch.chdir(path.parent)
    assert load_model_file(path, ["neighbour", "own_layers"]).name == model.name
    code, out, err = run("inspect", path, "--import", definitions)
    assert (code, err) == (0, "")
    assert out.startswith("Model 'sequential")


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("none.py", None, FileNotFoundError, "none.py"),
        ("no_such_module", None, ImportError, "no_such_module"),
        ("needs.py", "import no_such_module", ImportError, "no_such_module"),
        ("fails.py", "1 / 0", ValueError, "Cannot import .*fails.py: .*ZeroDivisionError"),
    ],
)
def test_what_cannot_be_imported_is_named(name, content, error, message, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    if content is not None:
        (tmp_path / name).write_text(content)
        name = str(tmp_path / name)
    with pytest.raises(error, match=message):
        import_definitions([name])


def test_code_in_a_model_is_run_if_it_is_asked_for(tmp_path, run):
    path = tmp_path / "lambda.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: 2 * x)]).save(path)
    code, _, err = run("inspect", path)
    assert code == 1
    assert err.endswith("From the shell, this is --unsafe.\n")
    assert err.count("\n") == 1
    code, out, err = run("inspect", path, "--unsafe")
    assert code == 0
    assert err.startswith("dart-keras: warning: --unsafe runs the Python code that is in")
    assert out.startswith("Model 'sequential")


def test_rows(files):
    rows = load_rows(files / "rows.npy")
    assert rows.shape == (48, 128)
    np.testing.assert_array_equal(load_rows(files / "rows.npz"), rows)
    np.savez(files / "named.npz", features=rows)
    assert list(load_rows(files / "named.npz")) == ["features"]
    assert {name: array.shape for name, array in load_rows(files / "two.npz").items()} == {
        "a_second": (32, 7),
        "z_first": (32, 5),
    }
    assert load_rows(None) is None


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_files_that_hold_no_rows(name, tmp_path):
    pickled = io.BytesIO()
    (np.save if name == "x.npy" else np.savez)(pickled, np.array([{}], object))
    for content in (b"", b"text", b"PK\x03\x04", pickled.getvalue()):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"Expected a {name[1:]} file of arrays of numbers"):
            load_rows(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load_rows(tmp_path / "none.npy")
