import ctypes
import subprocess

import pytest

from dart_keras.deployment.c_source.model_array import model_header, model_source
from tests.deployment.c_source.compiling import load, needs_compiler

PROBE = """\
#include "model.h"
extern "C" const unsigned char* model() { return dart_keras::kModel; }
extern "C" unsigned long size() { return dart_keras::kModelSize; }
extern "C" unsigned long arena() { return dart_keras::kArenaSize; }
"""


@needs_compiler
@pytest.mark.parametrize("content", [b"\x00", bytes(range(256)) * 3 + b"end"])
def test_the_compiled_array_holds_the_file(tmp_path, content):
    files = {"model.h": model_header(len(content), 4096), "model.cc": model_source(content)}
    library = load(tmp_path, files | {"probe.cc": PROBE})
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
