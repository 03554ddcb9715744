import os
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import dart_keras as dk
from dart_keras.saved_models.tf_keras_models import check_same_outputs
from tests.saved_models.keras2 import NAMES, build, tf_keras

SAVED_AS = ("model.h5", "model.keras", "folder")


@pytest.mark.parametrize("saved_as", SAVED_AS)
@pytest.mark.parametrize("name", NAMES)
def test_models_of_keras_2_give_what_they_gave(name, saved_as, tmp_path):
    old, rows = build(name)
    old.save(tmp_path / saved_as)
    before = dict(os.environ)
    model = dk.load_model(tmp_path / saved_as)
    assert dict(os.environ) == before
    assert isinstance(model, keras.Model)
    expected = keras.tree.flatten(old(rows))
    received = keras.tree.flatten(model(rows))
    for ours, theirs in zip(received, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_files_that_the_config_repairs_need_no_tf_keras(tmp_path, monkeypatch):
    old, rows = build("mobile")
    for name in SAVED_AS:
        old.save(tmp_path / name)
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    for name in ("model.h5", "model.keras"):
        model = dk.load_model(tmp_path / name)
        np.testing.assert_allclose(model(rows), old(rows), atol=1e-5)
    with pytest.raises(ImportError, match=r"Keras 2 wrote .*folder.*dart-keras\[quantization\]"):
        dk.load_model(tmp_path / "folder")


def test_weights_that_keras_3_cannot_place_are_carried_over(tmp_path, monkeypatch):
    old, rows = build("recurrent")
    old.save(tmp_path / "model.keras")

    def refuse(*arguments):
        raise ValueError("The weights have no place.")

    monkeypatch.setattr("dart_keras.saved_models.loading.load_fixed", refuse)
    model = dk.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(model(rows), old(rows), atol=1e-5)


def test_outputs_that_differ_are_refused(tmp_path):
    old, _ = build("mobile")
    old.save(tmp_path / "model.h5")
    model = dk.load_model(tmp_path / "model.h5")
    check_same_outputs(old, model)
    model.layers[-1].bias.assign(model.layers[-1].bias + 5.0 * np.arange(4))
    with pytest.raises(ValueError, match=r"output 0 .* as in Keras 2. Received: an error of"):
        check_same_outputs(old, model)


@pytest.mark.parametrize("name", ["x.weights.h5", "x.h5", "x/checkpoint", "x/x.index"])
def test_weights_alone_are_told_from_models(name, tmp_path):
    (tmp_path / "x").mkdir()
    if name == "x.weights.h5":
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(tmp_path / name)
    elif name == "x.h5":
        build("mobile")[0].save_weights(tmp_path / name)
    else:
        build("mobile")[0].save_weights(tmp_path / "x" / "x")
    with pytest.raises(ValueError, match=r"holds weights only.*load_weights\('.*model\.save"):
        dk.load_model(tmp_path / name)


def test_a_saved_model_without_layers_is_refused(tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).export(
        tmp_path / "exported", verbose=False
    )
    with pytest.raises(ValueError, match=r"SavedModel that Keras 2 wrote.*model\.save"):
        dk.load_model(tmp_path / "exported")


@pytest.mark.parametrize("saved_as", SAVED_AS)
def test_what_keras_3_has_not_is_refused_by_name(saved_as, tmp_path):
    inputs = tf_keras.Input((4,))
    turned = tf.reverse(inputs, [1])
    tf_keras.Model(inputs, tf_keras.layers.Dense(2)(turned)).save(tmp_path / saved_as)
    with pytest.raises(ValueError, match=r"Keras 2 wrote .*TFOpLambda 'tf\.reverse"):
        dk.load_model(tmp_path / saved_as)


def test_python_code_is_run_if_it_is_asked_for(tmp_path):
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Lambda(lambda x: 2 * x)])
    for name in ("model.h5", "model.keras"):
        model.save(tmp_path / name)
        with pytest.raises(ValueError, match=r"`Lambda` layer 'lambda.*safe_mode=False"):
            dk.load_model(tmp_path / name)
        loaded = dk.load_model(tmp_path / name, safe_mode=False)
        np.testing.assert_array_equal(loaded(np.ones((2, 4))), np.full((2, 4), 2.0))


def test_errors_of_other_files_are_those_of_keras(tmp_path):
    (tmp_path / "bytes.h5").write_bytes(b"nothing")
    with pytest.raises(OSError, match="signature"):
        dk.load_model(tmp_path / "bytes.h5")
    with pytest.raises(ValueError, match="File not found"):
        dk.load_model(tmp_path / "none.keras")


@pytest.mark.skipif(
    "MLPERF_TINY" not in os.environ,
    reason="needs MLPERF_TINY, a folder with the reference models of MLPerf Tiny",
)
def test_the_reference_models_of_mlperf_tiny():
    files = sorted(Path(os.environ["MLPERF_TINY"]).rglob("*.h5"))
    assert files
    for path in files:
        model = dk.load_model(path, compile=False)
        check_same_outputs(tf_keras.models.load_model(path, compile=False), model)
