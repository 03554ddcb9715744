import ctypes
import math

import numpy as np

from dart_keras.deployment import TensorInfo
from dart_keras.deployment.c_source.tensors import tensors_header
from tests.deployment.c_source.compiling import load, needs_compiler

RNG = np.random.default_rng(0)
QUANTIZED = [
    TensorInfo(name, shape, dtype, float(np.float32(scale)), zero_point)
    for name, shape, dtype, scale, zero_point in [
        ("x", (1, 3), "int8", 0.1, -128),
        ('a "name" \\', (1, 2, 5, 7), "int8", 1e-30, 127),
        ("two\nlines", (1,), "int16", 12345.678, 0),
        *(("r", (1, 4), "int16", scale, 0) for scale in RNG.lognormal(-4, 3, size=20)),
    ]
]
TYPES = {"int8": 1, "int16": 2, "int32": 4, "float32": 4}


@needs_compiler
def test_compiled_constants_are_those_of_the_tensors(tmp_path):
    ids = TensorInfo("ids", (1, 6), "int32")
    floats = TensorInfo("floats", (1, 2, 2), "float32")
    inputs, outputs = [*QUANTIZED, ids], [floats, *QUANTIZED]
    tensors = [(f"Input{i}", info) for i, info in enumerate(inputs)]
    tensors += [(f"Output{i}", info) for i, info in enumerate(outputs)]
    probes = ['#include "tensors.h"', "using namespace dart_keras;"]
    for name, info in tensors:
        shape = f"sizeof({name}::kShape) / sizeof(int) == {len(info.shape)}"
        probes.append(f"static_assert({shape} && sizeof({name}::Type) == {TYPES[info.dtype]});")
        probes.append(f'extern "C" const int* {name}_shape() {{ return {name}::kShape; }}')
        probes.append(f'extern "C" unsigned long {name}_size() {{ return {name}::kSize; }}')
        if info.scale is not None:
            probes.append(f'extern "C" float {name}_scale() {{ return {name}::kScale; }}')
            probes.append(f'extern "C" int {name}_zero_point() {{ return {name}::kZeroPoint; }}')
    library = load(
        tmp_path, {"tensors.h": tensors_header(inputs, outputs), "probe.cc": "\n".join(probes)}
    )
    for name, info in tensors:
        shape = getattr(library, f"{name}_shape")
        shape.restype = ctypes.POINTER(ctypes.c_int)
        assert tuple(shape()[: len(info.shape)]) == info.shape
        assert getattr(library, f"{name}_size")() == math.prod(info.shape)
        if info.scale is not None:
            scale = getattr(library, f"{name}_scale")
            scale.restype = ctypes.c_float
            assert scale() == info.scale
            assert getattr(library, f"{name}_zero_point")() == info.zero_point


def test_ids_and_floats_have_no_scale():
    infos = [TensorInfo("ids", (1, 6), "int32"), TensorInfo("floats", (1, 2), "float32")]
    text = tensors_header(infos, infos)
    assert "kScale =" not in text
    assert "using Type = std::int32_t;" in text
    assert "using Type = float;" in text
