import math

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.selection.layer_budget import multiply_adds_of, parameters_of
from dart_keras.selection.rank_growth import filling_ranks, grown_ranks
from dart_keras.tensor_train.ranks import count_parameters, rank_limits
from tests.tt_matrices import mode_pairs


def built(modes, ranks):
    """A layer of some modes; no step is trained, so that its shapes are all that matters."""
    inputs, outputs = modes
    layer = TTDense(math.prod(outputs), ranks, inputs, outputs, use_bias=False)
    layer.build((None, math.prod(inputs)))
    return layer


layers = st.builds(
    built,
    mode_pairs(max_cores=3, max_size=5000).filter(lambda modes: len(modes[0]) > 1),
    st.integers(1, 6),
)
factors = st.floats(1, 20)


@given(layers, factors)
def test_ranks_never_fall_and_never_exceed_their_limits(layer, factor):
    ranks = grown_ranks(layer, factor)
    limits = rank_limits(layer.input_modes, layer.output_modes)
    assert all(old <= new for old, new in zip(layer.ranks, ranks, strict=True))
    assert all(
        new <= max(limit, old) for old, new, limit in zip(layer.ranks, ranks, limits, strict=True)
    )


@given(layers, factors)
def test_growth_does_not_make_a_layer_larger_than_dense(layer, factor):
    present, grown = (
        parameters_of(layer, layer.ranks),
        parameters_of(layer, grown_ranks(layer, factor)),
    )
    assert grown <= max(present, math.prod(layer.matrix_shape))


@given(layers, factors, factors)
def test_a_larger_factor_never_gives_less(layer, one, other):
    small, large = (grown_ranks(layer, factor) for factor in sorted((one, other)))
    assert all(a <= b for a, b in zip(small, large, strict=True))


@given(layers, factors)
def test_bonds_that_are_not_named_keep_their_ranks(layer, factor):
    assert grown_ranks(layer, factor, []) == layer.ranks
    grown = grown_ranks(layer, factor, [1])
    assert grown[2:] == layer.ranks[2:]
    assert grown[1] >= layer.ranks[1]


@given(layers)
def test_no_growth_is_the_factor_1(layer):
    assert grown_ranks(layer, 1) == layer.ranks


def total(cost, layers, ranks):
    return sum(map(cost, layers, ranks))


@pytest.mark.parametrize("cost", [parameters_of, multiply_adds_of], ids=["parameters", "madds"])
@given(st.lists(layers, min_size=1, max_size=3), st.integers(1, 20_000))
def test_a_limit_is_filled_to_within_one_step(cost, layers, limit):
    ranks = filling_ranks(layers, cost, limit)
    present = [layer.ranks for layer in layers]
    for old, new in zip(present, ranks, strict=True):
        assert all(a <= b for a, b in zip(old, new, strict=True))
    assert total(cost, layers, ranks) <= max(limit, total(cost, layers, present))
    for layer, new in zip(layers, ranks, strict=True):
        assert parameters_of(layer, new) <= max(
            parameters_of(layer, layer.ranks), math.prod(layer.matrix_shape)
        )
    # One step more, by the least factor that adds a rank somewhere.
    reached = max(
        max(new / old for old, new in zip(layer.ranks, each, strict=True))
        for layer, each in zip(layers, ranks, strict=True)
    )
    more = [grown_ranks(layer, reached + 1) for layer in layers]
    assert more == ranks or total(cost, layers, more) > limit


def test_a_table_grows_to_no_more_than_its_rows_and_columns():
    table = TTEmbedding(1000, 16, 2)
    table.build((None, 3))
    ranks = grown_ranks(table, 1e6)
    grown = count_parameters(table.input_modes, table.output_modes, ranks)
    assert parameters_of(table, table.ranks) < grown <= 16_000


def test_layers_without_room_are_left_alone():
    layer = TTDense(8, 8)
    keras.Sequential([keras.Input((8,)), layer])
    assert filling_ranks([layer], parameters_of, 10**9) == [layer.ranks]
