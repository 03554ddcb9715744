import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.selection import Selection, SelectionMap, Threshold, effective_rank
from tests.selection.models import select


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8), st.floats(0.01, 100))
def test_effective_rank_lies_between_one_and_the_number_and_knows_no_scale(values, scale):
    values = np.array(values)
    rank = effective_rank(values)
    assert 1 - 1e-9 <= rank <= len(values) + 1e-9
    assert effective_rank(scale * values) == pytest.approx(rank, rel=1e-9)
    assert effective_rank(np.append(values, 0.0)) == pytest.approx(rank, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "rank"),
    [([3.0], 1), ([2.0] * 5, 5), ([], 0), ([0.0, 0.0], 0), ([1.0, 1.0, 2.0], 2**1.5)],
)
def test_effective_rank_by_example(values, rank):
    assert effective_rank(np.array(values)) == pytest.approx(rank)


def test_a_selection_of_the_user_needs_select_only():
    class RankTwo(Selection):
        def select(self, model, layers, calibration_data=None):
            return [(1, *[2] * (len(layer.cores) - 1), 1) for layer in layers]

    dense, embedding = TTDense(8, 3, (2, 2, 2), (2, 2, 2)), TTEmbedding(20, 6, 5)
    dense.build((None, 8))
    embedding.build()
    layers = [dense, embedding]
    assert select(RankTwo(), *layers) == [(1, 2, 2, 1), (1, 2, 1)]
    effective = RankTwo().effective_ranks(layers)
    values = [*dense.bond_singular_values(), *embedding.bond_singular_values()]
    assert effective.tolist() == [effective_rank(each) for each in values]
    with pytest.raises(TypeError, match="abstract"):
        Selection()


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        (Threshold(0.1), "Threshold(delta=0.1)"),
        (
            SelectionMap(Threshold(0.1), {"table": Threshold(0.2)}),
            "SelectionMap(default=Threshold(delta=0.1), "
            "selections={'table': Threshold(delta=0.2)})",
        ),
    ],
)
def test_a_selection_is_shown_as_the_call_that_makes_it(selection, text):
    assert repr(selection) == text
