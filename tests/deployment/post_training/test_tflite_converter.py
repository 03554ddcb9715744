import tempfile

import keras
import numpy as np
import pytest

from dart_keras.deployment import ConversionError, convert
from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.serialization import pack, unpack
from dart_keras.deployment.post_training.tflite_converter import (
    convert_exported,
    layers_at,
    order_interface,
)
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
from dart_keras.layers import TTDense
from tests.deployment import models


def exported(model):
    return export(model, model_signature(model).resolved(None))


def test_operators_of_a_file_know_their_layers():
    model = models.dense()
    function = exported(model)
    content = convert_exported(function, SCHEMES["float32"], ())
    first, second = (layer.path for layer in model.layers)
    assert layers_at([0, 1], content, function) == [first, second]


def test_an_operation_without_a_builtin_is_named_with_its_layer():
    inputs = keras.Input((4,))
    layer = keras.layers.Lambda(lambda x: keras.ops.erfinv(x), name="inverse")
    function = exported(keras.Model(inputs, keras.layers.Dense(2)(layer(inputs))))
    with pytest.raises(ConversionError, match="no builtin operator") as caught:
        convert_exported(function, SCHEMES["float32"], ())
    assert caught.value.operators == ["Erfinv"]
    assert caught.value.layers == ["inverse"]


def test_an_operator_without_a_quantized_kind_is_named_with_its_layer():
    function = exported(models.embedding())
    with pytest.raises(ConversionError, match="'int16x8' does not cover") as caught:
        convert_exported(function, SCHEMES["int16x8"], [models.IDS])
    assert caught.value.operators
    assert all("table" in layer for layer in caught.value.layers)


def test_nothing_is_printed(capfd):
    convert_exported(exported(models.dense()), SCHEMES["int8"], [np.ones((4, 20), "float32")])
    assert capfd.readouterr() == ("", "")


def test_an_output_that_has_no_quantized_kernel_is_named_with_its_layer():
    layers = [keras.layers.Dense(4), TTDense(6, 2, (2, 2), (2, 3), activation="elu", name="last")]
    function = exported(keras.Sequential([keras.Input((20,)), *layers]))
    with pytest.raises(ConversionError, match="'int16x8' does not cover") as caught:
        convert_exported(function, SCHEMES["int16x8"], [models.ROWS])
    assert caught.value.operators == ["ELU"]
    assert caught.value.layers == [layers[-1].path]


def test_inputs_and_outputs_are_put_in_the_order_of_the_signature():
    content = convert(models.two_in_three_out()).content
    model = unpack(content)
    order_interface(model, ["a_second", "z_first"])
    turned = ModelFile(pack(model)).inputs("ab")
    assert [info.shape for info in turned] == [(1, 7), (1, 5)]
    order_interface(model, ["z_first", "a_second"])
    assert pack(model) == content


def test_a_file_without_a_signature_is_refused():
    model = unpack(convert(models.dense(), "microcontroller").content)
    with pytest.raises(ConversionError, match="without a signature"):
        order_interface(model, ["features"])


@pytest.fixture
def _small_files():
    """No file can be larger than 64 KiB, as if the disk were full then."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("_small_files")
@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_a_full_disk_is_not_the_models_fault(quantization):
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(2000)])
    with pytest.raises(OSError, match=r"Expected room for .* bytes in the folder for temporary"):
        convert_exported(exported(model), SCHEMES[quantization], [models.ROWS])
    # What is wrong with a model still is, and a small one still is converted.
    test_an_operation_without_a_builtin_is_named_with_its_layer()
    convert_exported(exported(models.dense()), SCHEMES[quantization], [models.ROWS])


def test_neither_is_a_folder_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OSError, match="set TMPDIR to another folder"):
        convert_exported(exported(models.dense()), SCHEMES["float32"], [])
