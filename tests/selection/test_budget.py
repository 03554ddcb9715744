import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.selection import Budget
from dart_keras.tensor_train import complete_ranks, count_parameters


def layers():
    dense, embedding = TTDense(24, (5, 6), (2, 3, 4), (4, 3, 2)), TTEmbedding(20, 6, 5)
    dense.build((None, 24))
    embedding.build()
    return [dense, embedding]


FOUND = [layer.to_tt() for layer in layers()]
LEAST = sum(count_parameters(t.input_modes, t.output_modes, [1] * len(t.ranks)) for t in FOUND)
MOST = sum(tt.parameters for tt in FOUND)


def cost(layer, ranks):
    return count_parameters(layer.input_modes, layer.output_modes, ranks)


@given(st.integers(LEAST, MOST + 10))
def test_a_budget_is_kept_and_used_up(parameters):
    found = layers()
    selected = Budget(parameters).select(found)
    left = parameters - sum(cost(*pair) for pair in zip(found, selected, strict=True))
    assert left >= 0
    for layer, ranks in zip(found, selected, strict=True):
        assert complete_ranks(ranks, layer.input_modes, layer.output_modes) == ranks
        for bond in range(1, len(ranks) - 1):
            more = [*ranks[:bond], ranks[bond] + 1, *ranks[bond + 1 :]]
            within = more[bond] <= layer.ranks[bond]
            allowed = complete_ranks(more, layer.input_modes, layer.output_modes) == tuple(more)
            # One rank more that the train has and the neighbours allow would not be affordable.
            assert not (within and allowed) or cost(layer, more) - cost(layer, ranks) > left


def test_a_large_budget_keeps_everything():
    found = layers()
    assert Budget(10**9).select(found) == [layer.ranks for layer in found]


def test_the_least_budget_keeps_rank_one():
    found = layers()
    assert Budget(LEAST).select(found) == [(1, 1, 1, 1), (1, 1, 1)]


def test_a_budget_below_that_names_the_least():
    with pytest.raises(ValueError, match=f"at least {LEAST} parameters.*parameters={LEAST - 1}$"):
        Budget(LEAST - 1).select(layers())


def test_ranks_go_where_they_are_worth_most():
    # Two layers of the same shape, one of which is all but of rank one.
    even, steep = (TTDense(9, 4, (3, 3), (3, 3)) for _ in range(2))
    for layer, decay in ((even, 0.99), (steep, 0.01)):
        layer.build((None, 9))
        rng = np.random.default_rng(0)
        u, v = (np.linalg.qr(rng.normal(size=(9, 4)))[0] for _ in range(2))
        layer.cores[0].assign((u * decay ** np.arange(4)).reshape(1, 3, 3, 4))
        layer.cores[1].assign(v.T.reshape(4, 3, 3, 1))
    assert Budget(18 * 5).select([even, steep]) == [(1, 4, 1), (1, 1, 1)]
    assert Budget(18 * 6).select([even, steep]) == [(1, 4, 1), (1, 2, 1)]


def test_the_scale_of_a_layer_does_not_matter():
    one, other = layers()
    before = Budget((LEAST + MOST) // 2).select([one, other])
    one.cores[0].assign(1000 * one.cores[0])
    assert Budget((LEAST + MOST) // 2).select([one, other]) == before


def test_directions_that_the_matrix_does_not_have_cost_nothing():
    layer = TTDense(9, 4, (3, 3), (3, 3), core_initializer="zeros")
    layer.build((None, 9))
    assert Budget(1000).select([layer]) == [(1, 1, 1)]


@pytest.mark.parametrize("parameters", [0, -1, 10.0, "10", True])
def test_a_budget_that_is_no_positive_integer_is_refused(parameters):
    with pytest.raises(ValueError, match="`parameters` to be a positive integer") as error:
        Budget(parameters)
    assert str(error.value).endswith(f"Received: parameters={parameters!r}")


def test_a_budget_is_of_one_kind():
    assert (Budget(flash_bytes=9).kind, Budget(flash_bytes=9).limit) == ("flash_bytes", 9)
    for limits in ({}, {"parameters": 1, "arena_bytes": 1}):
        with pytest.raises(ValueError, match="Expected one of parameters, multiply_adds"):
            Budget(**limits)
    with pytest.raises(ValueError, match="`multiply_adds` to be a positive integer"):
        Budget(multiply_adds=0)
    with pytest.raises(ValueError, match=r"'microcontroller', .* for a budget of arena"):
        Budget(arena_bytes=9, target="raspberry-pi")


def test_layers_that_are_cut_know_of_parameters_only():
    with pytest.raises(ValueError, match="budget of parameters outside"):
        Budget(multiply_adds=1000).select(layers())
