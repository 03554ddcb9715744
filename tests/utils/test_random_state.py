import random

import numpy as np
import pytest

from dart_keras.utils.random_state import keeping_random_state


def draws():
    return random.random(), np.random.random()  # noqa: NPY002


@pytest.mark.parametrize("fails", [False, True])
def test_draws_in_the_block_change_nothing_after_it(fails):
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    try:
        with keeping_random_state():
            first = draws()
            if fails:
                raise ValueError
    except ValueError:
        assert fails
    assert draws() == first != draws()
