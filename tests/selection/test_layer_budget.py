import math
import re

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.budgets import MultiplyAdds, Parameters
from dart_keras.callbacks import RankDiscretization
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.selection.budget_selection import selection_for
from dart_keras.tensor_train import complete_ranks, count_parameters
from tests.callbacks.problem import X, Y, make_model
from tests.selection.models import model_of


def layers():
    dense, embedding = TTDense(24, (5, 6), (2, 3, 4), (4, 3, 2)), TTEmbedding(20, 6, 5)
    dense.build((None, 24))
    embedding.build()
    return [dense, embedding]


def select(budget, found):
    return selection_for(budget).select(model_of(*found), found)


def cost(kind, layer, ranks):
    if kind is MultiplyAdds:
        return layer.multiply_adds(ranks)
    return count_parameters(layer.input_modes, layer.output_modes, ranks)


FOUND = layers()
LEAST = {
    kind: sum(cost(kind, layer, [1] * len(layer.ranks)) for layer in FOUND)
    for kind in (Parameters, MultiplyAdds)
}
MOST = {
    kind: sum(cost(kind, layer, layer.ranks) for layer in FOUND)
    for kind in (Parameters, MultiplyAdds)
}


@given(st.sampled_from(list(MOST)), st.floats(0, 1.1))
def test_a_budget_is_kept_and_used_up(kind, share):
    found = layers()
    limit = LEAST[kind] + int(share * (MOST[kind] - LEAST[kind]))
    selected = select(kind(limit), found)
    left = limit - sum(cost(kind, *pair) for pair in zip(found, selected, strict=True))
    assert left >= 0
    for layer, ranks in zip(found, selected, strict=True):
        assert complete_ranks(ranks, layer.input_modes, layer.output_modes) == ranks
        for bond in range(1, len(ranks) - 1):
            more = [*ranks[:bond], ranks[bond] + 1, *ranks[bond + 1 :]]
            within = more[bond] <= layer.ranks[bond]
            allowed = complete_ranks(more, layer.input_modes, layer.output_modes) == tuple(more)
            allowed = allowed and cost(kind, layer, more) <= math.prod(layer.matrix_shape)
            # One rank more that the layer has, and that neighbours and the dense layer allow, would
            # not be affordable.
            price = cost(kind, layer, more) - cost(kind, layer, ranks)
            assert not (within and allowed) or price > left


@pytest.mark.parametrize("kind", MOST)
def test_a_large_budget_keeps_all_of_layers_smaller_than_dense_ones(kind):
    found = [TTDense(24, 2, (2, 3, 4), (4, 3, 2)), layers()[1]]
    found[0].build((None, 24))
    assert select(kind(10**9), found) == [layer.ranks for layer in found]


@pytest.mark.parametrize("kind", MOST)
def test_the_least_budget_keeps_rank_one(kind):
    assert select(kind(LEAST[kind]), layers()) == [(1, 1, 1, 1), (1, 1, 1)]


@pytest.mark.parametrize("kind", MOST)
def test_a_budget_below_that_names_the_least_before_training(kind):
    limit = make_least(kind)
    cut = RankDiscretization(kind(limit - 1), epoch=1)
    with pytest.raises(ValueError, match="which rank 1 takes") as error:
        make_model().fit(X, Y, epochs=2, verbose=0, callbacks=[cut])
    assert f"at least {kind(limit)}," in str(error.value)
    assert str(error.value).endswith(f"Received: {kind(limit - 1)}")
    # Each layer with what it takes.
    listed = re.search(r"every bond: (.*)\. Received", str(error.value))[1]
    assert sum(int(size) for size in re.findall(r"' (\d+)", listed.replace(",", ""))) == limit
    assert listed.count("'") == 2 * 2
    model = make_model()
    cut = RankDiscretization(kind(limit), epoch=1)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[cut])
    assert [layer.ranks for layer in model.layers] == [(1, 1, 1), (1, 1, 1)]


def make_least(kind):
    return sum(cost(kind, layer, [1] * len(layer.ranks)) for layer in make_model().layers)


def test_multiply_adds_of_a_model_in_training_keep_to_the_budget():
    model = make_model()
    limit = sum(layer.multiply_adds(layer.ranks) for layer in model.layers) // 2
    cut = RankDiscretization(MultiplyAdds(limit), epoch=1)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[cut])
    taken = sum(layer.contraction_plan(rows=1).multiply_adds for layer in model.layers)
    assert 0.9 * limit < taken <= limit


def test_calibration_data_allocate_multiply_adds_by_the_loss():
    used, unused = (TTDense(12, 6, (12, 1), (1, 12), name=name) for name in ("used", "unused"))
    x = keras.Input((12,))
    model = keras.Model(x, keras.layers.Dense(3)(used(x) + 1e-3 * unused(x)))
    model.compile(loss="mse")
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(64, 12)), rng.normal(size=(64, 3))
    selection = selection_for(MultiplyAdds(24 * 7))
    ranks = selection.select(model, [used, unused], [(rows, labels)])
    assert ranks == [(1, 6, 1), (1, 1, 1)]


def test_ranks_go_where_they_are_worth_most():
    # Two layers of the same shape, one of which is all but of rank one.
    even, steep = (TTDense(9, 4, (3, 3), (3, 3)) for _ in range(2))
    for layer, decay in ((even, 0.99), (steep, 0.01)):
        layer.build((None, 9))
        rng = np.random.default_rng(0)
        u, v = (np.linalg.qr(rng.normal(size=(9, 4)))[0] for _ in range(2))
        layer.cores[0].assign((u * decay ** np.arange(4)).reshape(1, 3, 3, 4))
        layer.cores[1].assign(v.T.reshape(4, 3, 3, 1))
    assert select(Parameters(18 * 5), [even, steep]) == [(1, 4, 1), (1, 1, 1)]
    assert select(Parameters(18 * 6), [even, steep]) == [(1, 4, 1), (1, 2, 1)]


def test_the_scale_of_a_layer_does_not_matter():
    found = layers()
    budget = Parameters((LEAST[Parameters] + MOST[Parameters]) // 2)
    before = select(budget, found)
    found[0].cores[0].assign(1000 * found[0].cores[0])
    assert select(budget, found) == before


def test_directions_that_the_matrix_does_not_have_cost_nothing():
    layer = TTDense(9, 4, (3, 3), (3, 3), core_initializer="zeros")
    layer.build((None, 9))
    assert select(Parameters(1000), [layer]) == [(1, 1, 1)]


def test_the_layers_are_left_as_they_are():
    layer = TTEmbedding(20, 6, 5)
    layer.build()
    before = layer.get_weights()
    select(Parameters(100), [layer])
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
