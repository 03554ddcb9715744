import itertools
import math
from dataclasses import replace

import keras
import pytest

from dart_keras.budgets import (
    FlashBytes,
    Microseconds,
    MultiplyAdds,
    Parameters,
    RelativeError,
)
from dart_keras.deployment.file_sizes import file_sizes
from dart_keras.layers import TTDense
from dart_keras.selection import Threshold
from dart_keras.selection.budget_selection import selection_for
from dart_keras.selection.rank_shares import rank_shares, ranks_at
from dart_keras.selection.smaller_copies import sliced_copy
from dart_keras.tensor_train.ranks import complete_ranks

INNER = [(1, 12, 7, 1), (1, 5, 1)]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    first = TTDense(64, INNER[0], (4, 4, 4), (4, 4, 4), name="first")
    return keras.Sequential([keras.Input((64,)), first, TTDense(32, 5, name="second")])


def test_shares_rise_from_one_slice_to_all():
    shares = rank_shares(INNER)
    assert shares[0] == [(1, 1, 1, 1), (1, 1, 1)]
    assert shares[-1] == INNER
    for before, after in itertools.pairwise(shares):
        assert before != after
        for lower, upper in zip(before, after, strict=True):
            assert all(one <= other for one, other in zip(lower, upper, strict=True))
    # The share of every bond is the same, rounded up.
    for left in shares:
        ranks = [rank for layer_ranks in left for rank in layer_ranks[1:-1]]
        most = [(rank / full) for rank, full in zip(ranks, (12, 7, 5), strict=True)]
        least = [((rank - 1) / full) for rank, full in zip(ranks, (12, 7, 5), strict=True)]
        assert max(least) < min(most)


def test_no_share_leaves_a_rank_above_its_limit():
    ranks = complete_ranks(99, (2, 3, 5, 2), (3, 1, 4, 2))
    for [left] in rank_shares([ranks]):
        assert complete_ranks(left, (2, 3, 5, 2), (3, 1, 4, 2)) == left


@pytest.mark.parametrize(
    "kind", [Parameters, MultiplyAdds, Microseconds], ids=["parameters", "multiply-adds", "time"]
)
def test_the_largest_share_within_a_budget(model, kind):
    def taken(ranks):
        return selection_for(kind(1)).size(model.layers, ranks)

    shares = rank_shares([layer.ranks for layer in model.layers])
    sizes = [taken(left) for left in shares]
    for limit in (*sizes[::4], sizes[-1], 10 * sizes[-1]):
        n = math.ceil(limit)
        found = ranks_at(model, model.layers, kind(n))
        place = shares.index(found)
        assert sizes[place] <= n
        assert place + 1 == len(sizes) or sizes[place + 1] > n
    with pytest.raises(ValueError, match="Expected a budget of at least"):
        ranks_at(model, model.layers, kind(math.ceil(sizes[0]) - 1))


def test_each_layer_within_an_error(model):
    for tolerance in (0.9, 0.5, 1e-6):
        found = ranks_at(model, model.layers, RelativeError(tolerance))
        copy = sliced_copy(model, model.layers, found)
        for layer, small in zip(model.layers, copy.layers, strict=True):
            whole = layer.to_tt()
            assert (whole - small.to_tt()).norm() <= tolerance * whole.norm()
    assert found == [layer.ranks for layer in model.layers]


def test_files_keep_to_a_budget():
    pytest.importorskip("ai_edge_litert")
    model = keras.Sequential([keras.Input((64,)), TTDense(64, ranks=3)])
    budget = FlashBytes(1, quantization="float32", target="raspberry-pi")
    copy = sliced_copy(model, model.layers, [(1, 2, 1)])
    size = file_sizes(copy, budget, None).limited_by(budget)
    assert ranks_at(model, model.layers, replace(budget, n=size)) == [(1, 2, 1)]
    with pytest.raises(ValueError, match="Expected a budget of at least"):
        ranks_at(model, model.layers, budget)


def test_what_is_no_budget_is_refused(model):
    for given in (Threshold(0.1), 1000, None):
        with pytest.raises(ValueError, match=r"Expected a budget of `dart_keras.budgets`"):
            ranks_at(model, model.layers, given)
