import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dart_keras.budgets import Microseconds, MultiplyAdds
from dart_keras.callbacks import RankDiscretization
from dart_keras.deployment import convert
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.selection.budget_selection import selection_for
from dart_keras.tensor_train.lookup import plan_lookup
from tests.callbacks.problem import X, Y, make_model
from tests.selection.models import model_of

TARGETS = ["microcontroller", "raspberry-pi"]


def large_layers():
    """Layers that take some microseconds each, the first one slower than a dense one."""
    dense, low_rank = TTDense(144, 32, (12, 12), (12, 12)), TTDense(256, 24, (144, 1), (1, 256))
    for layer in (dense, low_rank):
        layer.build((None, 144))
    table = TTEmbedding(1000, 64, 16, (10, 10, 10), (4, 4, 4))
    table.build()
    return [dense, low_rank, table]


LAYERS = large_layers()
MODEL = model_of(*LAYERS)


def select(budget):
    return selection_for(budget).select(MODEL, LAYERS)


def time_of(layers, ranks, target):
    pairs = zip(layers, ranks, strict=True)
    return sum(layer.microseconds(each, target) for layer, each in pairs)


def of_rank_one(layers):
    return [(1,) * len(layer.ranks) for layer in layers]


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=5)
@given(share=st.floats(0, 1))
def test_the_limit_is_kept_and_used_up(target, share):
    most = select(MultiplyAdds(10**9))
    least = time_of(LAYERS, of_rank_one(LAYERS), target)
    limit = int(least + 1 + share * (time_of(LAYERS, most, target) - least))
    ranks = select(Microseconds(limit, target=target))
    assert time_of(LAYERS, ranks, target) <= limit
    for k, (layer, found) in enumerate(zip(LAYERS, ranks, strict=True)):
        for bond in range(1, len(found) - 1):
            more = list(ranks)
            more[k] = (*found[:bond], found[bond] + 1, *found[bond + 1 :])
            assert found[bond] <= most[k][bond] <= layer.ranks[bond]
            # Between two cores, one rank more is too long, or more than the layer can make use of.
            if len(found) == 3 and found[bond] < most[k][bond]:
                assert time_of(LAYERS, more, target) > limit


@pytest.mark.parametrize("target", TARGETS)
def test_a_large_limit_keeps_what_multiply_adds_keep(target):
    assert select(Microseconds(10**9, target=target)) == select(MultiplyAdds(10**9))


def test_a_model_in_training_keeps_to_the_limit():
    model = make_model()
    limit = int(time_of(model.layers, [layer.ranks for layer in model.layers], TARGETS[0]) / 2)
    cut = RankDiscretization(Microseconds(limit), epoch=1)
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[cut])
    ranks = [layer.ranks for layer in model.layers]
    assert ranks == list(cut.cuts[0]["ranks_after"].values())
    assert 0.7 * limit < time_of(model.layers, ranks, TARGETS[0]) <= limit


def test_a_limit_out_of_reach_names_the_smallest_before_training():
    model = make_model()
    before = model.get_weights()
    least = time_of(model.layers, of_rank_one(model.layers), TARGETS[0])
    assert least > 1
    with pytest.raises(ValueError, match="which rank 1 takes") as error:
        model.fit(X, Y, verbose=0, callbacks=[RankDiscretization(Microseconds(1), epoch=1)])
    assert str(error.value).endswith(f"Received: {Microseconds(1)}")
    smallest = Microseconds(int(re.search(r"Microseconds\((\d+)", str(error.value))[1]))
    assert least <= smallest.n < least + 1
    assert f"at least {smallest}," in str(error.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    selection_for(smallest).begin(model, model.layers)


def test_a_layer_takes_the_time_that_a_file_reports():
    pytest.importorskip("ai_edge_litert")
    layer = TTDense(60, 9, (3, 4, 5), (5, 4, 3))
    model = keras.Sequential([keras.Input((60,)), layer])
    file = convert(model, "raspberry-pi", quantization="float32")
    [entry] = file.report["contractions"]
    assert layer.microseconds(layer.ranks, "raspberry-pi") == entry["estimated_microseconds"]


def test_a_table_takes_the_time_of_a_lookup():
    _, _, table = LAYERS
    one, all_ranks = (table.microseconds(ranks, TARGETS[0]) for ranks in ((1,) * 4, table.ranks))
    assert one < all_ranks
    plan = plan_lookup(1, table.input_modes, table.output_modes, table.ranks, target=TARGETS[0])
    assert all_ranks == plan.microseconds
