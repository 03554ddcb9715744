import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train.contraction import NAMES, candidate_plans, cheapest_plan
from tests.tt_matrices import mode_pairs


@given(mode_pairs(), st.integers(1, 4), st.integers(1, 100), st.booleans())
def test_candidates_are_distinct_and_sorted_and_have_known_names(modes, rank, rows, training):
    ranks = (1, *[rank] * (len(modes[0]) - 1), 1)
    plans = candidate_plans(*modes, ranks, rows, training=training)
    assert len({plan.path for plan in plans}) == len(plans)
    times = [plan.microseconds for plan in plans]
    assert times == sorted(times)
    assert {plan.name for plan in plans} <= set(NAMES)


def test_three_cores_have_every_kind_of_plan():
    # A path that is found twice keeps its first name, so "opt_einsum" may be missing.
    plans = candidate_plans((4, 4, 4), (4, 4, 4), (1, 3, 3, 1), 8)
    assert {plan.name for plan in plans} >= set(NAMES) - {"opt_einsum"}


def test_opt_einsum_finds_the_fewest_multiply_adds():
    plans = candidate_plans((2, 9, 3), (5, 2, 4), (1, 7, 2, 1), 20)
    named = [plan for plan in plans if plan.name != "opt_einsum"]
    found = [plan for plan in plans if plan.name == "opt_einsum"]
    least = min(plan.multiply_adds for plan in named)
    assert min(plan.multiply_adds for plan in [*found, *named]) <= least


def test_many_cores_have_a_moderate_number_of_candidates():
    plans = candidate_plans((2,) * 10, (2,) * 10, (1, *[3] * 9, 1), 8)
    assert len(plans) < 60


def test_kind_of_order_can_be_given():
    shape = ((4, 4, 4), (4, 4, 4), (1, 3, 3, 1), 8)
    available = {plan.name for plan in candidate_plans(*shape)}
    for name in available:
        assert cheapest_plan(*shape, name=name).name == name
    # Two cores have no middle.
    auto = cheapest_plan((4, 4), (4, 4), (1, 3, 1), 8)
    assert cheapest_plan((4, 4), (4, 4), (1, 3, 1), 8, name="middle_out") == auto


def test_max_parameters_bounds_the_merged_cores():
    shape = ((8, 8, 8), (8, 8, 8), (1, 4, 4, 1), 1)
    plans = candidate_plans(*shape, target="microcontroller")
    for bound in sorted({plan.weights for plan in plans}):
        plan = cheapest_plan(*shape, target="microcontroller", max_parameters=bound)
        assert plan.weights <= bound
        assert plan.microseconds == min(p.microseconds for p in plans if p.weights <= bound)
    least = min(plan.weights for plan in plans)
    assert cheapest_plan(*shape, target="microcontroller", max_parameters=1).weights == least


def test_unknown_target_is_refused():
    with pytest.raises(ValueError, match=r"'cpu'.*Received: target='tpu'"):
        candidate_plans((4, 4), (4, 4), (1, 2, 1), target="tpu")


@pytest.mark.parametrize("rows", [32, 512])
def test_choice_depends_on_the_rank(rows):
    low = cheapest_plan((32, 32), (32, 32), (1, 2, 1), rows, training=True)
    high = cheapest_plan((32, 32), (32, 32), (1, 256, 1), rows, training=True)
    assert low.name != "rebuild"
    assert high.name == "rebuild"
