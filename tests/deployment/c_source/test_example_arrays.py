import ctypes

import numpy as np

from dart_keras.deployment import Examples, TensorInfo
from dart_keras.deployment.c_source.example_arrays import examples_header, examples_source
from dart_keras.deployment.c_source.tensors import tensors_header
from tests.deployment.c_source.compiling import load, needs_compiler

RNG = np.random.default_rng(0)
DTYPES = ["int8", "float32", "int32", "int16", "bool", "int64"]
ARRAYS = [
    RNG.integers(0, 2, (3, 4, 5)).astype(bool)
    if dtype == "bool"
    else RNG.normal(size=(3, 4, 5)).astype(dtype)
    if dtype == "float32"
    else RNG.integers(np.iinfo(dtype).min // 2, np.iinfo(dtype).max // 2, (3, 4, 5)).astype(dtype)
    for dtype in DTYPES
]
PROBE = """\
#include <cstring>
#include "examples.h"
using namespace dart_keras;
extern "C" unsigned long count() { return kExamples; }
extern "C" char* inputs(unsigned long example, char* to) {
  VisitInputs(example, [&](std::size_t index, const auto& values) {
    *to++ = static_cast<char>(index);
    std::memcpy(to, values, sizeof(values));
    to += sizeof(values);
  });
  return to;
}
extern "C" char* outputs(unsigned long example, char* to) {
  VisitOutputs(example, [&](std::size_t index, const auto& values) {
    *to++ = static_cast<char>(index);
    std::memcpy(to, values, sizeof(values));
    to += sizeof(values);
  });
  return to;
}
"""


@needs_compiler
def test_compiled_examples_are_visited_in_order_bit_by_bit(tmp_path):
    infos = [TensorInfo(dtype, (1, 4, 5), dtype) for dtype in DTYPES]
    examples = Examples(ARRAYS, ARRAYS[::-1])
    files = {
        "tensors.h": tensors_header(infos, infos[::-1]),
        "examples.h": examples_header(examples),
        "examples.cc": examples_source(examples),
        "probe.cc": PROBE,
    }
    library = load(tmp_path, files)
    assert library.count() == 3
    for visit, arrays in ((library.inputs, ARRAYS), (library.outputs, ARRAYS[::-1])):
        visit.restype = ctypes.c_void_p
        for row in range(3):
            expected = b"".join(bytes([i]) + a[row].tobytes() for i, a in enumerate(arrays))
            buffer = ctypes.create_string_buffer(len(expected) + 1)
            end = visit(ctypes.c_ulong(row), buffer)
            assert end - ctypes.addressof(buffer) == len(expected)
            assert buffer.raw[:-1] == expected
