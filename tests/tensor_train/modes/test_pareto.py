import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dart_keras.tensor_train.modes.pareto import non_dominated, spread_front

COSTS = arrays(
    np.int64,
    st.tuples(st.integers(1, 40), st.integers(1, 4)),
    elements=st.integers(1, 6),
)


def dominates(a, b):
    return np.all(a <= b) and np.any(a < b)


@given(COSTS)
def test_front_is_not_dominated(costs):
    front = non_dominated(costs)
    for i, point in enumerate(costs):
        beaten = any(dominates(other, point) for other in costs)
        first = not any(np.array_equal(other, point) for other in costs[:i])
        assert (i in front) == (first and not beaten)
    assert len(set(front)) == len(front)


@given(COSTS, st.integers(1, 10))
def test_spread_front_is_small(costs, size):
    chosen = spread_front(costs.astype(float), size)
    assert 1 <= len(chosen) <= size
    if len(np.unique(costs, axis=0)) <= size:
        # All points are distinguished, so the front is exact.
        front = {tuple(point) for point in costs[non_dominated(costs)]}
        assert {tuple(point) for point in costs[chosen]} == front


def test_excluded_points_are_dominated_up_to_the_grid():
    x = np.geomspace(1, 1000, 500)
    costs = np.stack([x, 1000 / x], axis=1)
    chosen = spread_front(costs, 20)
    assert 8 < len(chosen) <= 20
    width = 1000 ** (1 / (len(chosen) - 2))
    for point in costs:
        assert np.any(np.all(costs[chosen] <= point * width, axis=1))
