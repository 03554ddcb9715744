import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.devices import find_device
from dart_keras.tensor_train import complete_ranks, count_parameters
from dart_keras.tensor_train.contraction import candidate_plans
from dart_keras.tensor_train.modes.costs import (
    batch_count_parameters,
    batch_ranks_within,
    batch_uniform_ranks,
    chain_costs,
)
from tests.tt_matrices import mode_pairs


def columns(*sequences):
    return tuple(np.array(sequence, float)[:, None] for sequence in sequences)


def sizes_of(pair):
    return np.prod(columns(*pair), axis=0)


@given(mode_pairs(), st.integers(1, 40))
def test_uniform_ranks_are_clipped_as_in_a_layer(pair, rank):
    ranks = batch_uniform_ranks(sizes_of(pair), rank)
    assert tuple(ranks[:, 0]) == complete_ranks(rank, *pair)
    assert batch_count_parameters(sizes_of(pair), ranks)[0] == count_parameters(*pair, ranks[:, 0])


@given(mode_pairs().filter(lambda pair: len(pair[0]) > 1), st.integers(1, 3000))
def test_budget_gives_the_largest_rank_within_it(pair, budget):
    found = tuple(batch_ranks_within(sizes_of(pair), budget)[:, 0])
    fitting = [
        ranks
        for rank in range(1, 60)
        if count_parameters(*pair, ranks := complete_ranks(rank, *pair)) <= budget
    ]
    assert found == fitting[-1] if fitting else 0 in found


@pytest.mark.parametrize("target", ["cpu", "raspberry-pi", "microcontroller"])
@given(pair=mode_pairs(max_mode=8, max_size=50_000), rank=st.integers(1, 12))
def test_estimate_is_close_to_a_plan(target, pair, rank):
    ranks = complete_ranks(rank, *pair)
    modes = columns(*pair, ranks)
    device = find_device(target)
    multiply_adds, time, _ = chain_costs(*modes, 32, device)[:, 0]
    plans = candidate_plans(*pair, ranks, 32, target=target)
    assert multiply_adds in {plan.multiply_adds for plan in plans}
    # The estimate does not merge cores first, except all of them.
    known = ["left_to_right", "right_to_left", "middle_out"]
    known += ["rebuild"] if target == "cpu" else []
    fastest = min(plan.microseconds for plan in plans if plan.name in known)
    # A plan may need one move less per core than the estimate. This matters only for small
    # matrices.
    moves = len(pair[0]) * (device.costs.operator + device.costs.move)
    assert 0.5 < time / fastest < 2 or abs(time - fastest) < moves


def test_costs_of_many_candidates_match_those_of_each():
    inputs = np.array([[4, 2, 8], [2, 4, 1], [3, 3, 3]])
    outputs = np.array([[2, 2, 1], [5, 1, 10], [3, 15, 3]])
    ranks = batch_uniform_ranks(inputs * outputs, 5)
    device = find_device("cpu")
    together = chain_costs(inputs, outputs, ranks, 16, device)
    for k in range(3):
        alone = chain_costs(
            *(array[:, k : k + 1] for array in (inputs, outputs, ranks)), 16, device
        )
        np.testing.assert_allclose(together[:, k], alone[:, 0])
