from hypothesis import given, settings
from hypothesis import strategies as st

from examples.language_model.architecture import Architecture
from examples.language_model.baselines import (
    dense_equivalent,
    fixed_rank_equivalent,
    low_rank_equivalent,
)
from examples.language_model.model import build_model
from examples.language_model.run_results import sizes_of

BASE = Architecture("tiny", "tt", 300, 16, 16)


@settings(max_examples=5, deadline=None)
@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 100), st.integers(0, 100))
def test_fixed_ranks_are_the_largest_within_the_size(table, projection, extra, more):
    reached = sizes_of(build_model(Architecture("tiny", "tt", 300, table, projection)))
    reached["table_parameters"] += extra
    reached["block_parameters"] += more
    equivalent = fixed_rank_equivalent(BASE, reached)
    assert (equivalent.embedding_rank, equivalent.projection_rank) == (table, projection)


def test_low_rank_table_is_no_larger_than_the_bands():
    model = build_model(BASE)
    reached = sum(layer.count_params() for layer in model.layers if "table" in layer.name)
    equivalent = build_model(low_rank_equivalent(BASE, {"table_parameters": reached}))
    table = equivalent.get_layer("table_1").count_params()
    assert reached - (300 + 32) < table <= reached


def test_dense_equivalent():
    assert dense_equivalent(BASE) == Architecture("tiny", "dense", 300)
