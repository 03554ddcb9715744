import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.layers.dense_comparison import is_larger_than_dense
from dart_keras.selection.layer_budget import multiply_adds_of, parameters_of
from dart_keras.selection.rank_allocation import allocate_ranks, cost_at_rank_one, rank_steps


def layer_of(modes, rank, output_modes=None, dim=None):
    output_modes = output_modes or modes
    layer = TTDense(math.prod(output_modes), rank, modes, output_modes)
    layer.build((None, dim or math.prod(modes)))
    return layer


def table():
    layer = TTEmbedding(20, 6, 9)
    layer.build()
    return layer


# At their full ranks most are larger than dense ones, and the one of 3 rows is so at rank 1.
LAYERS = [
    layer_of((3, 3), 9),
    layer_of((2, 3, 4), 9, (4, 3, 2)),
    layer_of((12, 1), 12, (1, 12)),
    layer_of((2, 4), 4, (3, 3), dim=7),
    layer_of((2, 2), 2, (1, 1), dim=3),
    table(),
]
COSTS = {"parameters": parameters_of, "multiply_adds": multiply_adds_of}


@st.composite
def problems(draw):
    layers = draw(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return layers, [
        [np.sort(rng.exponential(size=rank))[::-1] for rank in layer.ranks[1:-1]]
        for layer in layers
    ]


def taken(layers, ranks, cost):
    return sum(map(cost, layers, ranks))


@pytest.mark.parametrize("cost", COSTS.values(), ids=list(COSTS))
@given(problem=problems(), share=st.floats(0, 1))
def test_the_limit_is_kept_by_layers_that_are_no_larger_than_dense_ones(cost, problem, share):
    layers, gains = problem
    least = cost_at_rank_one(layers, cost)
    limit = least + share * (taken(layers, [layer.ranks for layer in layers], cost) - least)
    ranks = allocate_ranks(layers, gains, cost, limit)
    assert taken(layers, ranks, cost) <= limit
    for layer, found in zip(layers, ranks, strict=True):
        larger = is_larger_than_dense(layer, found)
        larger = larger or cost(layer, found) > math.prod(layer.matrix_shape)
        assert not larger or set(found) == {1}


@pytest.mark.parametrize("cost", COSTS.values(), ids=list(COSTS))
@given(problem=problems())
def test_without_a_limit_ranks_rise_up_to_the_dense_layer(cost, problem):
    layers, gains = problem
    ranks = [[1] * len(layer.ranks) for layer in layers]
    for i, bond in rank_steps(layers, gains, cost, float("inf")):
        ranks[i][bond] += 1
    for layer, found in zip(layers, ranks, strict=True):
        for bond in range(1, len(found) - 1):
            more = [*found[:bond], found[bond] + 1, *found[bond + 1 :]]
            above = cost(layer, more) > math.prod(layer.matrix_shape)
            above = above or is_larger_than_dense(layer, more)
            assert above or found[bond] == layer.ranks[bond]


@given(problems(), st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted))
def test_a_larger_limit_gains_no_less(problem, shares):
    layers, gains = problem
    least = cost_at_rank_one(layers, parameters_of)
    most = taken(layers, [layer.ranks for layer in layers], parameters_of)
    totals = []
    for share in shares:
        ranks = [[1] * len(layer.ranks) for layer in layers]
        total, limit = 0.0, least + share * (most - least)
        for i, bond in rank_steps(layers, gains, parameters_of, limit):
            total += gains[i][bond - 1][ranks[i][bond]]
            ranks[i][bond] += 1
        totals.append(total)
    assert totals[0] <= totals[1] + 1e-9


def gained(gains, ranks):
    return sum(
        gain[1:rank].sum()
        for own, own_ranks in zip(gains, ranks, strict=True)
        for gain, rank in zip(own, own_ranks[1:], strict=False)
    )


@given(problem=problems(), share=st.floats(0, 1))
def test_no_exchange_of_two_ranks_gains_more(problem, share):
    layers, gains = problem
    least = cost_at_rank_one(layers, parameters_of)
    most = taken(layers, [layer.ranks for layer in layers], parameters_of)
    limit = least + share * (most - least)
    ranks = allocate_ranks(layers, gains, parameters_of, limit)
    places = [(i, k) for i, own in enumerate(gains) for k in range(1, len(own) + 1)]
    for (i, raised), (j, lowered) in itertools.permutations(places, 2):
        other = [list(own) for own in ranks]
        other[i][raised] += 1
        other[j][lowered] -= 1
        layer = layers[i]
        if (
            other[j][lowered] < 1
            or other[i][raised] > layer.ranks[raised]
            or taken(layers, other, parameters_of) > limit
            or is_larger_than_dense(layer, other[i])
        ):
            continue
        assert gained(gains, other) <= gained(gains, ranks) * (1 + 1e-6) + 1e-9


def test_a_dear_rank_is_bought_for_many_cheap_ones():
    # Rank by rank, the cheap layer's ranks gain more for what they cost, until the dear one's
    # second rank does not fit any more.
    cheap, dear = layer_of((10, 1), 9, (1, 10)), layer_of((50, 1), 9, (1, 50))
    gains = [[np.array([0.0, 0.5, *np.full(7, 0.25)])], [np.array([0.0, 1.0, *np.zeros(7)])]]
    assert allocate_ranks([cheap, dear], gains, parameters_of, 260) == [(1, 3, 1), (1, 2, 1)]


@pytest.mark.parametrize("gain", [np.nan, np.inf])
def test_gains_that_are_not_finite_do_not_break_the_limit(gain):
    layers = [layer_of((10, 1), 9, (1, 10)), layer_of((50, 1), 9, (1, 50))]
    gains = [[np.array([0.0, 0.5, gain, gain])], [np.array([0.0, gain, 0.5, 0.2])]]
    ranks = allocate_ranks(layers, gains, parameters_of, 200)
    assert taken(layers, ranks, parameters_of) <= 200


def test_a_rank_one_costs_what_its_cores_hold():
    assert cost_at_rank_one([layer_of((3, 3), 4), layer_of((2, 2, 2), 2)], parameters_of) == 30


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), min_size=3, max_size=3))
def test_layers_of_one_shape_get_the_largest_gains(gains):
    # With gains that fall, and one price, the greedy choice is the best of all.
    gains = [[np.sort(each)[::-1]] for each in gains]
    # Of rank 4, just no larger than a dense one.
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
