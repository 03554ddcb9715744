import io

import keras
import numpy as np
import pytest

from dart_keras.cli.model_files import load_model_file, load_rows


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
        ("x.weights.h5", "No model config"),
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
