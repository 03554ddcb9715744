import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dart_keras.deployment import TensorInfo
from tests.tflite.microcontroller.build import build, needs_compiler

pytestmark = needs_compiler

FUNCTIONS = """\
#include "quantize.h"
#define DEFINE(name, T)                                                                        \\
  extern "C" void quantize_##name(const float* from, T* to, int n, float scale, int zero) {    \\
    for (int i = 0; i < n; ++i) to[i] = dart_keras::Quantize<T>(from[i], scale, zero);         \\
  }                                                                                            \\
  extern "C" void dequantize_##name(const T* from, float* to, int n, float scale, int zero) {  \\
    for (int i = 0; i < n; ++i) to[i] = dart_keras::Dequantize(from[i], scale, zero);          \\
  }
DEFINE(int8, std::int8_t)
DEFINE(int16, std::int16_t)
"""
# Scales are float32 in the file.
INFOS = st.builds(
    TensorInfo,
    st.just("x"),
    st.just((1, 3)),
    st.sampled_from(["int8", "int16"]),
    st.floats(2.0**-20, 2.0**10, width=32),
    st.integers(-128, 127),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantize")
    (folder / "functions.cc").write_text(FUNCTIONS)
    return ctypes.CDLL(str(build(folder, [], "quantize.so", "-shared", "-fPIC")))


def call(function, values, dtype, info):
    result = np.empty(len(values), dtype)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (values, result)]
    function(*pointers, len(values), ctypes.c_float(info.scale), info.zero_point)
    return result


@given(INFOS, hnp.arrays("float32", 20, elements=st.floats(-1e6, 1e6, width=32)), st.booleans())
def test_quantize_matches_numpy(library, info, values, in_range):
    if in_range:
        values = np.float32(values / 1e6 * 300 * info.scale)
    got = call(getattr(library, f"quantize_{info.dtype}"), values, info.dtype, info)
    expected = info.quantize(values)
    # Near the middle between two integers, a float quotient may round either way.
    quotient = values.astype("float64") / info.scale
    middle = np.abs(np.abs(quotient - np.floor(quotient)) - 0.5)
    unclear = middle <= np.abs(quotient) * 2.0**-23
    np.testing.assert_array_equal(got[~unclear], expected[~unclear])
    assert np.max(np.abs(got.astype(int) - expected)) <= 1


@given(INFOS, st.data())
def test_dequantize_matches_numpy(library, info, data):
    limits = np.iinfo(info.dtype)
    integers = st.integers(limits.min, limits.max)
    values = data.draw(hnp.arrays(info.dtype, 20, elements=integers))
    got = call(getattr(library, f"dequantize_{info.dtype}"), values, "float32", info)
    np.testing.assert_array_equal(got, info.dequantize(values))


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_values_out_of_range_become_limits(library, dtype):
    info = TensorInfo("x", (1, 3), dtype, scale=0.5, zero_point=3)
    values = np.array([np.inf, -np.inf, np.nan, 3e38, -3e38], "float32")
    got = call(getattr(library, f"quantize_{dtype}"), values, dtype, info)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    np.testing.assert_array_equal(got, [high, low, low, high, low])
