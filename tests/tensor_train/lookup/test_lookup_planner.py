import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train.lookup import plan_lookup
from tests.lookups import BERT, all_plans
from tests.tt_matrices import mode_pairs


@given(mode_pairs(), st.integers(1, 4), st.integers(1, 300), st.booleans())
def test_plans_use_every_core_once_and_make_no_large_table(modes, rank, count, dynamic_shapes):
    shape = (*modes, (1, *[rank] * (len(modes[0]) - 1), 1))
    plans = all_plans(count, shape, dynamic_shapes=dynamic_shapes)
    for plan in plans:
        factors = plan.factors[:: -1 if plan.is_mirrored else 1]
        cores = [k for factor in factors for k in range(factor.first, factor.last + 1)]
        assert cores == list(range(len(modes[0])))
        assert math.prod(factor.n for factor in factors) == math.prod(modes[0])
        assert math.prod(factor.m for factor in factors) == math.prod(modes[1])
        for left, right in zip(plan.factors, plan.factors[1:], strict=False):
            assert left.next_rank == right.rank
        for factor in factors:
            merged = factor.first < factor.last
            assert not merged or factor.n * factor.slice_size <= count * math.prod(modes[1])
        if not dynamic_shapes:
            assert not plan.is_distinct
            assert all(factor.n == 1 for factor in factors if factor.grouped)
    descriptions = [(p.factors, p.is_mirrored, p.is_distinct) for p in plans]
    assert len(set(descriptions)) == len(plans)
    best = plan_lookup(count, *shape, training=True, dynamic_shapes=dynamic_shapes)
    assert best.microseconds == min(plan.microseconds for plan in plans)


@pytest.mark.parametrize("target", ["raspberry-pi", "microcontroller"])
def test_devices_use_unmerged_cores(target):
    shape = ((8, 8, 8), (4, 1, 4), (1, 3, 3, 1))
    plan = plan_lookup(10_000, *shape, target=target)
    assert [(f.first, f.last, f.grouped) for f in plan.factors] == [(k, k, False) for k in range(3)]
    assert not plan.is_mirrored
    assert not plan.is_distinct
    with pytest.raises(ValueError, match="Received: target='abacus'"):
        plan_lookup(1, *shape, target="abacus")


def test_cores_are_merged_if_the_table_is_smaller_than_the_rows():
    [factor] = plan_lookup(4096, (10, 10), (8, 8), (1, 4, 1), training=True).factors
    assert (factor.first, factor.last, factor.n) == (0, 1, 100)


def test_few_ids_are_not_grouped():
    plan = plan_lookup(4, *BERT)
    assert [factor.grouped for factor in plan.factors] == [False, False]
    assert not plan.is_distinct


def test_low_rank_table_needs_one_large_product():
    for modes, mirrored in ((((1000, 1), (1, 64)), False), (((1, 1000), (64, 1)), True)):
        plan = plan_lookup(4096, *modes, (1, 8, 1), training=True, dynamic_shapes=False)
        assert plan.is_mirrored == mirrored
        assert plan.factors[1].grouped
        assert not plan.ends_with_move


def test_ids_are_grouped_if_slices_are_large():
    plan = plan_lookup(4096, (5087, 6), (1, 768), (1, 16, 1), training=True)
    assert plan.factors[1].grouped
    plan = plan_lookup(4096, (5087, 33), (1, 768), (1, 16, 1), training=True)
    assert not plan.factors[1].grouped  # too many groups


def test_equal_ids_are_found_first_if_rows_are_expensive():
    assert not plan_lookup(4096, *BERT, training=True).is_distinct
    costly = (BERT[0], BERT[1], (1, 128, 1))
    plan = plan_lookup(4096, *costly, training=True)
    assert plan.is_distinct
    assert plan.rows < plan.count
