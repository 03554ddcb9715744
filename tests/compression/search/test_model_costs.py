from hypothesis import given
from hypothesis import strategies as st

from dart_keras.budgets import Parameters
from dart_keras.compression.search.model_costs import choose, cost_of, file_byte_costs
from tests.compression.search.problem import COSTS, builder, costs, counted, limits


@given(st.sampled_from(list(COSTS)), st.floats(0, 1))
def test_choices_keep_to_the_limit(kind, share):
    limit = limits(kind, share)
    factorizations = choose(builder(), costs(kind), limit)
    assert all(
        factorization in options
        for factorization, options in zip(factorizations, builder().factorizations, strict=True)
    )
    if kind is Parameters:
        # The rest is a normalization.
        assert sum(factorization.parameters for factorization in factorizations) + 160 <= limit
    else:
        table, positions, last = (each.multiply_adds for each in factorizations)
        assert 4 * (table + positions) + last <= limit


@given(st.sampled_from(list(COSTS)), st.floats(0, 1), st.floats(0, 1))
def test_larger_budgets_promise_no_larger_losses(kind, share, other):
    def loss(limit):
        factorizations = choose(builder(), costs(kind), limit)
        every = zip(factorizations, builder().factorizations, builder().losses, strict=True)
        return sum(losses[options.index(factorization)] for factorization, options, losses in every)

    smaller, larger = sorted(limits(kind, each) for each in (share, other))
    assert loss(larger) <= loss(smaller) + 1e-12


@given(st.sampled_from(list(COSTS)), st.floats(0, 1))
def test_a_model_costs_what_its_layers_and_the_rest_do(kind, share):
    chosen = choose(builder(), costs(kind), limits(kind, share))
    small = builder().assemble(builder().decompose(chosen))
    assert cost_of(builder(), costs(kind), chosen) == counted(small, kind)


def test_the_bytes_of_a_file_grow_with_parameters_and_products():
    found, parameters = file_byte_costs(builder()), costs(Parameters)
    for options, sizes, counts in zip(
        builder().factorizations, found.of_layers, parameters.of_layers, strict=True
    ):
        for factorization, size, count in zip(options, sizes, counts, strict=True):
            assert size - count == 800 * factorization.products
    assert found.smallest > parameters.smallest
