import numpy as np
import pytest

from dart_keras.utils.argument_checks import check_share, is_integer, is_number


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, True), (np.int8(3), True), (True, False), (3.0, False), ("3", False), (None, False)],
)
def test_is_integer(value, expected):
    assert is_integer(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, True), (np.float32(0.5), True), (-1.5, True), (False, False), ("3", False)]
    + [(value, False) for value in (float("nan"), float("inf"), None, 1j)],
)
def test_is_number(value, expected):
    assert is_number(value) is expected


def test_a_share_is_returned_as_a_float():
    share = check_share("decay", np.float32(0.5))
    assert (share, type(share)) == (0.5, float)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan"), "0.1", None, True])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"Expected `decay` between 0 and 1\.") as error:
        check_share("decay", share)
    assert str(error.value).endswith(f"Received: decay={share!r}")
