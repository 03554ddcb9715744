from hypothesis import given
from hypothesis import strategies as st

from dart_keras.utils.size_search import Measured, largest_within


def search(limit, size, most, find=lambda cost: cost):
    """The cost found between 1 and `most`, and the costs that were measured."""
    measured = []

    def measure(cost):
        measured.append(cost)
        return cost, size(cost)

    least = Measured(find(1), 1, size(1))
    return largest_within(limit, least, Measured(most, most, size(most)), find, measure), measured


@given(st.integers(1_000, 10_000), st.integers(0, 500), st.floats(1, 20))
def test_sizes_on_a_line_take_two_measurements_at_most(most, offset, slope):
    limit = int(offset + slope * most / 2)
    found, measured = search(limit, lambda cost: int(offset + slope * cost), most)
    assert 0.98 * limit - slope <= offset + slope * found <= limit + 1
    assert len(measured) <= 2


@given(st.lists(st.integers(0, 50), min_size=3, max_size=60), st.integers(10, 2000))
def test_what_is_found_fits_whatever_the_sizes(steps, limit):
    sizes = [10]
    for step in steps:
        sizes.append(sizes[-1] + step - 10)
    most = len(sizes) - 1
    sizes[1], sizes[most] = 10, limit + 1
    found, measured = search(limit, sizes.__getitem__, most)
    assert sizes[found] <= limit
    assert len(measured) <= 8
    assert len(set(measured)) == len(measured)


def test_beyond_a_cost_that_is_too_large_may_be_one_that_fits():
    sizes = {1: 100, 2: 1200, 3: 980, 4: 5000}
    assert search(1000, sizes.__getitem__, 4)[0] == 3


def test_costs_that_give_the_same_are_measured_once():
    found, measured = search(480, lambda cost: cost, 1000, lambda cost: max(1, cost // 50 * 50))
    assert found == 450
    assert len(set(measured)) == len(measured)
