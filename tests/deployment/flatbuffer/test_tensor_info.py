import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dart_keras.deployment import TensorInfo

INFOS = st.builds(
    TensorInfo,
    st.just("x"),
    st.just((1, 3)),
    st.sampled_from(["int8", "int16"]),
    st.floats(1e-6, 1e3),
    st.integers(-128, 127),
)


@given(INFOS, st.data())
def test_every_integer_comes_back(info, data):
    limits = np.iinfo(info.dtype)
    values = np.array(data.draw(st.lists(st.integers(limits.min, limits.max))), info.dtype)
    np.testing.assert_array_equal(info.quantize(info.dequantize(values)), values)


@given(INFOS, hnp.arrays("float32", 3, elements=st.floats(-1e6, 1e6, width=32)))
def test_values_in_range_are_off_by_half_a_step_and_others_are_cut(info, values):
    limits = np.iinfo(info.dtype)
    low, high = info.dequantize(np.array([limits.min, limits.max], info.dtype))
    got = info.dequantize(info.quantize(values))
    np.testing.assert_allclose(got, np.clip(values, low, high), atol=info.scale * 0.501, rtol=1e-6)


def test_ids_pass_through():
    info = TensorInfo("ids", (1, 2), "int32")
    ids = np.array([1, 2**24 + 1])
    assert info.quantize(ids).dtype == "int32"
    np.testing.assert_array_equal(info.dequantize(info.quantize(ids)), ids)
    assert info.as_dict()["shape"] == [1, 2]


@pytest.mark.parametrize("large", [2**32 + 1, 2**31, -(2**32)])
def test_ids_of_64_bits_are_not_wrapped(large):
    info = TensorInfo("ids", (1, 2), "int32")
    with pytest.raises(ValueError, match=f"'ids' to hold values of int32.*{large}"):
        info.quantize(np.array([1, large]))
