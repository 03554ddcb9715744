import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dart_keras.compression.search import knapsack
from dart_keras.compression.search.knapsack import Option, allocate

# Small numbers, so that ties and steps that do not fit are frequent.
OPTIONS = st.builds(
    Option,
    st.integers(0, 12) | st.sampled_from([0.25, 2.5, 1000]),
    st.integers(0, 12) | st.floats(0, 20),
)
CHOICES = st.lists(st.lists(OPTIONS, min_size=1, max_size=5), min_size=1, max_size=5)


def cost_of(choices, picks):
    return sum(options[pick].cost for options, pick in zip(choices, picks, strict=True))


def loss_of(choices, picks):
    return sum(options[pick].loss for options, pick in zip(choices, picks, strict=True))


def least_loss(choices, budget):
    every = itertools.product(*(range(len(options)) for options in choices))
    return min(loss_of(choices, picks) for picks in every if cost_of(choices, picks) <= budget)


def smallest_total(choices):
    return sum(min(option.cost for option in options) for options in choices)


def budget_for(choices, share):
    """Between the smallest reachable total and the largest."""
    low = smallest_total(choices)
    return low + share * (sum(max(o.cost for o in options) for options in choices) - low)


@given(CHOICES, st.floats(0, 1))
def test_the_loss_is_the_least_that_fits(choices, share):
    budget = budget_for(choices, share)
    picks = allocate(choices, budget)
    assert cost_of(choices, picks) <= budget
    assert loss_of(choices, picks) == pytest.approx(least_loss(choices, budget), abs=1e-9)


@given(CHOICES, st.floats(0, 1))
def test_followed_one_at_a_time_choices_lose_at_most_one_step_more(choices, share):
    budget = budget_for(choices, share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knapsack, "_MOST_CANDIDATES", 1)
        picks = allocate(choices, budget)
    assert cost_of(choices, picks) <= budget
    largest_step = max(max(o.loss for o in options) for options in choices)
    assert loss_of(choices, picks) <= least_loss(choices, budget) + largest_step + 1e-9


@given(CHOICES, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_budget_never_loses_more(choices, share, other):
    smaller, larger = sorted(budget_for(choices, each) for each in (share, other))
    losses = [loss_of(choices, allocate(choices, budget)) for budget in (smaller, larger)]
    assert losses[1] <= losses[0] + 1e-9


@given(
    CHOICES,
    st.floats(0, 1),
    st.integers(0, 4),
    st.integers(0, 4),
    st.sampled_from([(0, 1), (1, 0), (3, 2), (0.5, 0)]),
)
def test_dominated_options_change_nothing(choices, share, layer, option, worse):
    assume(layer < len(choices) and option < len(choices[layer]))
    budget = budget_for(choices, share)
    cost, loss = choices[layer][option]
    longer = [list(options) for options in choices]
    longer[layer].append(Option(cost + worse[0], loss + worse[1]))
    assert allocate(longer, budget) == allocate(choices, budget)


@given(CHOICES, st.floats(0, 1), st.randoms(use_true_random=False))
def test_the_order_of_the_options_does_not_matter(choices, share, random):
    budget = budget_for(choices, share)
    shuffled = [random.sample(options, len(options)) for options in choices]
    assert [o[i] for o, i in zip(shuffled, allocate(shuffled, budget), strict=True)] == [
        o[i] for o, i in zip(choices, allocate(choices, budget), strict=True)
    ]


@given(CHOICES)
def test_an_unreachable_budget_names_the_smallest_that_can_be_reached(choices):
    smallest = smallest_total(choices)
    with pytest.raises(ValueError, match=f"at least {smallest},") as error:
        allocate(choices, smallest - 0.125)
    assert f"Received: budget={smallest - 0.125!r}" in str(error.value)
    assert cost_of(choices, allocate(choices, smallest)) == smallest


def test_many_layers_come_close_to_what_the_linear_relaxation_promises():
    rng = np.random.default_rng(0)
    choices = []
    for rank_cost in rng.integers(64, 4096, size=200):
        gains = np.sort(np.exp(-np.arange(200) / rng.uniform(5, 80)) * rng.uniform(0.5, 1, 200))
        # As a layer's ranks: each further one takes off less.
        losses = np.append(np.cumsum(np.square(gains))[::-1], 0.0)
        choices.append([Option(int(r * rank_cost), loss) for r, loss in enumerate(losses)])
    budget = sum(options[-1].cost for options in choices) // 10
    picks = allocate(choices, budget)
    assert cost_of(choices, picks) <= budget
    # By duality, any price of a unit of cost gives a bound.
    bound = max(
        sum(min(loss + price * cost for cost, loss in options) for options in choices)
        - price * budget
        for price in np.geomspace(1e-8, 1e-2, 200)
    )
    assert bound <= loss_of(choices, picks) <= 1.01 * bound


def test_no_layers_take_nothing():
    assert allocate([], 0) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "an option for each layer. Received: none for layer 1"),
        ([Option(-1, 0)], r"finite cost of at least 0 .*Received: cost=-1.0 for layer 1"),
        ([Option(1, 0), Option(1, float("nan"))], "finite loss .*Received: loss=nan for layer 1"),
        ([Option(float("inf"), 0)], "Received: cost=inf"),
    ],
)
def test_options_that_are_not_valid_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        allocate([[Option(1, 0)], options], 10)


def test_a_budget_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="Received: budget=nan"):
        allocate([[Option(1, 0)]], float("nan"))
