import ctypes
import shutil
import subprocess

import pytest

from dart_keras.deployment.c_source import method_name, model_header, model_source, resolver_header

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@needs_compiler
@pytest.mark.parametrize("content", [b"\x00", bytes(range(256)) * 3 + b"end"])
def test_the_compiled_array_holds_the_file(tmp_path, content):
    (tmp_path / "model.h").write_text(model_header(len(content), 4096))
    (tmp_path / "model.cc").write_text(model_source(content))
    (tmp_path / "probe.cc").write_text(
        '#include "model.h"\n'
        'extern "C" const unsigned char* model() { return dart_keras::kModel; }\n'
        'extern "C" unsigned long size() { return dart_keras::kModelSize; }\n'
        'extern "C" unsigned long arena() { return dart_keras::kArenaSize; }\n'
    )
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(
        ["g++", *flags, "model.cc", "probe.cc", "-o", "model.so"], cwd=tmp_path, check=True
    )
    library = ctypes.CDLL(str(tmp_path / "model.so"))
    library.model.restype = ctypes.c_void_p
    assert library.arena() == 4096
    address = library.model()
    assert address % 16 == 0
    assert ctypes.string_at(address, library.size()) == content


@needs_compiler
def test_a_header_of_another_model_does_not_compile(tmp_path):
    (tmp_path / "model.h").write_text(model_header(4, 4096))
    (tmp_path / "model.cc").write_text(model_source(b"12345"))
    done = subprocess.run(
        ["g++", "-std=c++17", "-c", "model.cc"], cwd=tmp_path, capture_output=True, check=False
    )
    assert b"different models" in done.stderr


def test_the_resolver_registers_every_operator_once():
    text = resolver_header(["FULLY_CONNECTED", "SOFTMAX"])
    assert "MicroMutableOpResolver<2>" in text
    assert text.count("resolver.Add") == 2
    assert "resolver.AddFullyConnected()" in text


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("ADD", "AddAdd"),
        ("ARG_MAX", "AddArgMax"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("CONV_2D", "AddConv2D"),
        ("CUMSUM", "AddCumSum"),
        ("L2_NORMALIZATION", "AddL2Normalization"),
        ("MAX_POOL_2D", "AddMaxPool2D"),
        ("PADV2", "AddPadV2"),
        ("RELU6", "AddRelu6"),
        ("SPACE_TO_BATCH_ND", "AddSpaceToBatchNd"),
        ("SELECT_V2", "AddSelectV2"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
    ],
)
def test_methods_are_spelled_as_in_tensorflow_lite_micro(operator, method):
    assert method_name(operator) == method
