import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.deployment.flatbuffer.axis_permutation import AxisPermutation
from dart_keras.tensor_train.modes import factorizations

STEPS = st.lists(st.tuples(st.booleans(), st.randoms(use_true_random=False)), max_size=6)


@given(st.sampled_from([(2, 12), (24,), (4, 6), (2, 3, 4), (1, 8, 9), (6, 1, 6)]), STEPS)
def test_a_row_of_steps_is_one_transpose_between_two_reshapes(shape, steps):
    array = np.arange(math.prod(shape)).reshape(shape)
    permutation, moved = AxisPermutation.begin(shape), array
    for turn, random in steps:
        if turn:
            order = random.sample(range(moved.ndim), moved.ndim)
            permutation, moved = permutation.transpose(order), moved.transpose(order)
        else:
            new = random.choice(list(factorizations(moved.size, random.randint(1, 3))))
            longer = permutation.reshape(new)
            if longer is None:
                # Only where an axis would have to be cut through: never at the first step.
                assert moved is not array
                continue
            permutation, moved = longer, moved.reshape(new)
    inner, order = permutation.single()
    assert 1 not in inner
    np.testing.assert_array_equal(array.reshape(inner).transpose(order).ravel(), moved.ravel())


def test_the_transpose_has_as_few_axes_as_there_can_be():
    there_and_back = AxisPermutation.begin((4, 6)).transpose((1, 0)).transpose((1, 0))
    assert there_and_back.single() == ((24,), (0,))
    assert AxisPermutation.begin((1, 5, 1)).transpose((2, 1, 0)).single() == ((5,), (0,))
    assert AxisPermutation.begin((1, 1)).single() == ((), ())
    assert AxisPermutation.begin((2, 3, 5)).transpose((1, 2, 0)).single() == ((2, 15), (1, 0))


def test_neighbours_that_were_apart_for_a_while_can_be_split_anew():
    permutation = AxisPermutation.begin((28, 28)).reshape((784,)).reshape((16, 49))
    assert permutation.single() == ((784,), (0,))
    assert AxisPermutation.begin((28, 28)).transpose((1, 0)).reshape((16, 49)) is None
