import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train import (
    candidate_plans,
    complete_ranks,
    count_parameters,
    rank_limits,
)
from dart_keras.tensor_train.ranks import check_ranks, count_multiply_adds
from tests.tt_matrices import mode_pairs, random_tt_matrix, tt_matrices, unfoldings


@given(mode_pairs())
def test_limits_equal_the_ranks_of_a_random_matrix(modes):
    inputs, outputs = modes
    matrix = np.random.default_rng(0).normal(size=(np.prod(inputs), np.prod(outputs)))
    ranks = [np.linalg.matrix_rank(unfolding) for unfolding in unfoldings(matrix, *modes)]
    assert rank_limits(*modes) == (1, *ranks, 1)


@given(mode_pairs(), st.data())
def test_clipped_ranks_equal_those_of_random_cores(modes, data):
    inputs, outputs = modes
    asked = tuple(data.draw(st.integers(1, 9)) for _ in inputs[1:])
    dense = random_tt_matrix(inputs, outputs, (1, *asked, 1)).to_dense()
    ranks = [np.linalg.matrix_rank(unfolding, rtol=1e-9) for unfolding in unfoldings(dense, *modes)]
    assert complete_ranks(asked, inputs, outputs) == (1, *ranks, 1)


@given(mode_pairs(), st.integers(1, 9))
def test_three_ways_to_specify_ranks_are_equivalent(modes, rank):
    bonds = len(modes[0]) - 1
    one_for_all = complete_ranks(rank, *modes)
    assert one_for_all == complete_ranks([rank] * bonds, *modes)
    assert one_for_all == complete_ranks((1, *[rank] * bonds, 1), *modes)
    assert complete_ranks(one_for_all, *modes) == one_for_all


def test_one_core_has_no_inner_ranks():
    assert complete_ranks(7, (6,), (4,)) == complete_ranks((), (6,), (4,)) == (1, 1)


@pytest.mark.parametrize(
    "ranks",
    [0, -1, 2.0, "8", True, None, (4, 0), (4, -1), (4, 2.0), (4, "2"), {4, 2}, np.array([4])],
)
def test_ranks_other_than_positive_integers_are_refused(ranks):
    with pytest.raises(ValueError, match="positive integer") as error:
        complete_ranks(ranks, (2, 2, 2), (2, 2, 2))
    assert str(error.value).endswith(f"Received: ranks={ranks!r}")


@pytest.mark.parametrize("ranks", [(), (3,), (3, 3, 3), (2, 3, 3, 1), (1, 3, 3, 2), (1,) * 5])
def test_wrong_number_of_ranks_is_refused(ranks):
    expected = "3 cores to be an integer, 2 inner ranks, or 4 ranks that begin and end with 1"
    with pytest.raises(ValueError, match=expected) as error:
        complete_ranks(ranks, (2, 2, 2), (2, 2, 2))
    assert str(error.value).endswith(f"Received: ranks={ranks!r}")


def test_numpy_integers_become_python_integers():
    assert type(check_ranks(np.int64(3))) is int
    assert all(type(rank) is int for rank in check_ranks([np.int64(3), np.int32(2)]))


@given(tt_matrices())
def test_parameters_equal_the_elements_of_the_cores(tt):
    sizes = sum(core.size for core in tt.cores)
    assert count_parameters(tt.input_modes, tt.output_modes, tt.ranks) == sizes == tt.parameters


@given(tt_matrices())
def test_multiply_adds_are_the_fewest_of_the_chains_of_products(tt):
    modes_and_ranks = tt.input_modes, tt.output_modes, tt.ranks
    plans = candidate_plans(*modes_and_ranks, rows=1)
    chains = ("left_to_right", "right_to_left", "middle_out")
    counts = [plan.multiply_adds for plan in plans if plan.name in chains]
    assert count_multiply_adds(*modes_and_ranks) == min(counts)


@given(tt_matrices(), st.data())
def test_a_higher_rank_takes_more_multiply_adds(tt, data):
    if len(tt.ranks) > 2:
        bond = data.draw(st.integers(1, len(tt.ranks) - 2))
        more = [*tt.ranks[:bond], tt.ranks[bond] + 1, *tt.ranks[bond + 1 :]]
        modes = tt.input_modes, tt.output_modes
        assert count_multiply_adds(*modes, more) > count_multiply_adds(*modes, tt.ranks)
