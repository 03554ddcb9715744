import numpy as np
import pytest

from dart_keras.tensor_train.modes import check_modes, complete_modes


@pytest.mark.parametrize(
    "modes", [(0, 5), (-2, -5), (2.0, 5), ("2", 5), "25", (), 10, (True, 10), np.array([2, 5])]
)
@pytest.mark.parametrize("side", ["input_modes", "output_modes"])
def test_modes_other_than_positive_integers_are_refused(modes, side):
    sides = {"input_modes": (2, 5), "output_modes": (2, 5), side: modes}
    message = f"`{side}` to be a list or tuple of positive integers. Received: {side}="
    with pytest.raises(ValueError, match=message):
        complete_modes(10, 10, **sides)


@pytest.mark.parametrize("modes", [(2, 4), (3, 3), (4, 5), (2, 11)])
@pytest.mark.parametrize("side", ["input_modes", "output_modes"])
def test_modes_of_too_small_or_too_large_product_are_refused(side, modes):
    sides = {"input_modes": None, "output_modes": None, side: modes}
    product = modes[0] * modes[1]
    message = (
        rf"`{side}` whose product is the dimension 10, or with padding less than "
        rf"20. Received: {side}=\({modes[0]}, {modes[1]}\), whose product is {product}$"
    )
    with pytest.raises(ValueError, match=message):
        complete_modes(10, 10, **sides)


@pytest.mark.parametrize("modes", [(2, 5), (3, 4), (19, 1)])
def test_modes_may_pad_to_less_than_twice_the_dimension(modes):
    assert check_modes("input_modes", modes, 10) == modes
    assert complete_modes(10, 9, modes, None) == (modes, (3, 3))


def test_dimension_of_one_cannot_be_padded():
    assert check_modes("input_modes", (1, 1), 1) == (1, 1)
    with pytest.raises(ValueError, match=r"less than 2\. Received: input_modes=\(1, 2\)"):
        check_modes("input_modes", (1, 2), 1)


def test_modes_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"same length.*\(2, 5\), output_modes=\(1, 2, 5\)$"):
        complete_modes(10, 10, (2, 5), (1, 2, 5))


def test_numpy_integers_become_python_integers():
    modes = check_modes("input_modes", [np.int64(2), np.int32(5)], 10)
    assert modes == (2, 5)
    assert all(type(mode) is int for mode in modes)
