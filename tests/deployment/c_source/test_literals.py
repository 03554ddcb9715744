import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.deployment.c_source.literals import c_type, in_lines, literal


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_floats_come_back(value):
    text = literal(np.float32(value))
    assert text.endswith("f")
    assert np.float32(text[:-1]).tobytes() == np.float32(value).tobytes()


def test_types():
    assert c_type("int16") == "std::int16_t"
    assert c_type(np.dtype("uint8")) == "std::uint8_t"
    assert c_type("bool") == "bool"
    with pytest.raises(ValueError, match=r"float32\. Received: dtype='float64'"):
        c_type("float64")


@given(st.lists(st.integers(-1000, 1000), min_size=1))
def test_lines_hold_every_element_and_are_short(values):
    text = in_lines(map(str, values), before="    {", after="},")
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("    {")
    assert text.endswith("},")
    assert [int(part) for part in text.strip(" {},").split(",")] == values
