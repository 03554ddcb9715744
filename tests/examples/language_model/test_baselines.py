from hypothesis import given, settings
from hypothesis import strategies as st

from examples.language_model.architecture import Architecture
from examples.language_model.baselines import dense_twin, fixed_rank_twin, low_rank_twin
from examples.language_model.model import build_model

BASE = Architecture("tiny", "tt", 300, 16, 16)


@settings(max_examples=5, deadline=None)
@given(rank=st.integers(2, 20), extra=st.integers(0, 100))
def test_the_fixed_rank_is_the_largest_that_takes_no_more(rank, extra):
    def size(rank):
        return build_model(
            Architecture("tiny", "tt", 300, embedding_rank=rank, projection_rank=rank)
        ).count_params()

    twin = fixed_rank_twin(BASE, {"parameters": size(rank) + extra})
    assert (twin.embedding_rank, twin.projection_rank) == (rank, rank)


def test_the_low_rank_table_takes_no_more_than_the_bands():
    model = build_model(BASE)
    reached = sum(layer.count_params() for layer in model.layers if "table" in layer.name)
    twin = build_model(low_rank_twin(BASE, {"table_parameters": reached}))
    table = twin.get_layer("table_1").count_params()
    assert reached - (300 + 32) < table <= reached


def test_the_dense_twin():
    assert dense_twin(BASE) == Architecture("tiny", "dense", 300)
