import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.layers import TTDense
from dart_keras.selection.layer_budget import parameters_of
from dart_keras.selection.rank_allocation import allocate_ranks, cost_at_rank_one


def layer_of(modes, rank):
    layer = TTDense(int(np.prod(modes)), rank, modes, modes)
    layer.build((None, int(np.prod(modes))))
    return layer


def test_a_rank_one_costs_what_its_cores_hold():
    assert cost_at_rank_one([layer_of((3, 3), 4), layer_of((2, 2, 2), 2)], parameters_of) == 30


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), min_size=3, max_size=3))
def test_layers_of_one_shape_get_the_largest_gains(gains):
    # With gains that fall, and one price, the greedy choice is the best of all.
    gains = [[np.sort(each)[::-1]] for each in gains]
    layers = [layer_of((3, 3), 4) for _ in gains]
    ranks = [each[1] for each in allocate_ranks(layers, gains, parameters_of, 18 * 7)]
    assert sum(ranks) == 7

    def gained(chosen):
        return sum(gain[0][:rank].sum() for gain, rank in zip(gains, chosen, strict=True))

    every = itertools.product(range(1, 5), repeat=3)
    best = max(gained(chosen) for chosen in every if sum(chosen) <= 7)
    assert gained(ranks) >= best - 1e-12


def test_a_rank_that_gains_nothing_is_not_bought():
    gains = [[np.array([1.0, 0.5, 0.0, 0.0])]]
    layers = [layer_of((3, 3), 4)]
    assert allocate_ranks(layers, gains, parameters_of, float("inf")) == [(1, 2, 1)]
