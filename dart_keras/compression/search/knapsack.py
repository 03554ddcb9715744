"""Allocating a budget to layers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# How many partial choices are looked at for each layer; beyond, the least promising are dropped.
_MOST_CANDIDATES = 200_000

# Bounds are compared with a margin for rounding, so that nothing is dropped by mistake.
_ROUNDING = 1e-9


class Option(NamedTuple):
    """One way to hold a layer.

    Attributes:
        cost: What it takes of the budget, such as parameters, bytes or multiply-adds; at least 0.
        loss: The damage expected from it, at least 0; 0 for a layer that is left as it is.
    """

    cost: float
    loss: float


class _Table(NamedTuple):
    """A layer's options that no other one beats in both, the cheapest first."""

    costs: np.ndarray
    losses: np.ndarray
    places: np.ndarray  # Which of the given options they are.


def allocate(choices: Sequence[Sequence[Option]], budget: float) -> list[int]:
    """Choose one option for each layer so that the losses add up to the least within a budget.

    This is the multiple-choice knapsack problem. A greedy walk takes the steps on the layers' lower
    convex hulls in the order of what a unit of cost buys, as the linear relaxation does (Sinha and
    Zoltners 1979, "The multiple-choice knapsack problem", Operations Research 27), and options that
    fit into what is left improve on it. The price at which the walk ends bounds all choices from
    below; dynamic programming over those that the bound leaves open finds the best (Pisinger 1995,
    "A minimal algorithm for the multiple-choice knapsack problem", European Journal of Operational
    Research 83). Alone, the walk stops at the first step that does not fit; over the whole range of
    costs, dynamic programming would take too long.

    The result is optimal unless too many partial choices stay open, as where every loss is just
    what the cost leaves over. Of these the most promising are followed, and the total loss is above
    the least one by no more than the gain of the step at which the walk stopped.

    Args:
        choices: For each layer its options, in any order.
        budget: The most that the chosen options may cost together, as far as floating-point
            numbers add up exactly: integers do.

    Returns:
        For each layer the index of the chosen option.

    Raises:
        ValueError: If the budget is below the cheapest options' total, which the message names, a
            layer has no option, or a cost or loss is negative or not finite.

    Example:
        >>> first = [Option(cost=0, loss=5.0), Option(cost=60, loss=1.0), Option(100, 0.0)]
        >>> second = [Option(cost=0, loss=9.0), Option(cost=50, loss=0.0)]
        >>> allocate([first, second], budget=110)
        [1, 1]
    """
    tables = [_table(layer, options) for layer, options in enumerate(choices)]
    smallest = sum(min(option.cost for option in options) for options in choices)
    if not smallest <= budget:
        raise ValueError(
            f"Expected a budget of at least {smallest}, the total of the cheapest options. "
            f"Received: budget={budget!r}"
        )
    picks, price = _walk(tables, budget)
    if price > 0:
        _fill(tables, picks, budget)
        picks = _search(tables, picks, price, budget)
    return [int(table.places[pick]) for table, pick in zip(tables, picks, strict=True)]


def _table(layer: int, options: Sequence[Option]) -> _Table:
    costs = np.array([option.cost for option in options], np.float64)
    losses = np.array([option.loss for option in options], np.float64)
    if not len(options):
        raise ValueError(f"Expected an option for each layer. Received: none for layer {layer}")
    for name, values in (("cost", costs), ("loss", losses)):
        wrong = values[~(np.isfinite(values) & (values >= 0))]
        if wrong.size:
            raise ValueError(
                f"Expected a finite {name} of at least 0 for each option. "
                f"Received: {name}={wrong[0]} for layer {layer}"
            )
    places = _undominated(costs, losses)
    return _Table(costs[places], losses[places], places)


def _undominated(costs: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Return indices of the Pareto-optimal options, the cheapest first."""
    order = np.lexsort((losses, costs))
    before = np.minimum.accumulate(np.append(np.inf, losses[order]))[:-1]
    return order[losses[order] < before]


def _hull(table: _Table) -> list[int]:
    """Return indices of the corners of the lower convex hull (Andrew's monotone chain)."""
    corners: list[int] = []
    for i in range(len(table.costs)):
        while len(corners) > 1:
            steps = [corners[-2], corners[-1], i]
            (cost, cost_past), (gain, gain_past) = (
                np.abs(values[steps[1:]] - values[steps[0]]) for values in table[:2]
            )
            # Whether the last corner buys more for a unit of cost than the way past it does.
            if gain * cost_past > gain_past * cost:
                break
            corners.pop()
        corners.append(i)
    return corners


def _walk(tables: Sequence[_Table], budget: float) -> tuple[list[int], float]:
    """Return the picks of the greedy walk, and the loss per unit of cost where it stops."""
    steps = []
    for layer, table in enumerate(tables):
        corners = _hull(table)
        prices = -np.diff(table.losses[corners]) / np.diff(table.costs[corners])
        steps += [(-price, layer, end) for price, end in zip(prices, corners[1:], strict=True)]
    picks = [0] * len(tables)
    left = budget - sum(table.costs[0] for table in tables)
    for negative_price, layer, end in sorted(steps):
        costs = tables[layer].costs
        left -= costs[end] - costs[picks[layer]]
        if left < 0:
            return picks, -negative_price
        picks[layer] = end
    return picks, 0.0


def _fill(tables: Sequence[_Table], picks: list[int], budget: float) -> None:
    """Change one layer after another to what fits into the rest and takes most off the loss."""
    while True:
        left = budget - sum(t.costs[pick] for t, pick in zip(tables, picks, strict=True))
        changes = []
        for layer, (table, pick) in enumerate(zip(tables, picks, strict=True)):
            end = int(np.searchsorted(table.costs, table.costs[pick] + left, side="right")) - 1
            if end > pick:
                changes.append((table.losses[pick] - table.losses[end], layer, end))
        if not changes:
            return
        _, layer, end = max(changes)
        picks[layer] = end


def _search(tables: Sequence[_Table], picks: list[int], price: float, budget: float) -> list[int]:
    """Return the best picks, by dynamic programming over all that may beat the given ones.

    With the budget priced, each layer's best option is known by itself; what a choice has above
    these, its excess, cannot be won back.
    """
    priced = [table.losses + price * table.costs for table in tables]
    bound = sum(values.min() for values in priced) - price * budget
    best = sum(table.losses[pick] for table, pick in zip(tables, picks, strict=True))
    most_excess = (best - bound) * (1 + _ROUNDING)
    cheapest_rest = sum(table.costs[0] for table in tables)
    totals = np.zeros((3, 1))  # Cost, loss and excess, one column for each partial choice.
    trail = []
    for table, values in zip(tables, priced, strict=True):
        added = np.stack([table.costs, table.losses, values - values.min()])
        options = np.flatnonzero(added[2] <= most_excess)
        width = max(1, len(options))
        kept = np.argsort(totals[2], kind="stable")[: max(1, _MOST_CANDIDATES // width)]
        totals = (totals[:, kept, None] + added[:, None, options]).reshape(3, -1)
        cheapest_rest -= table.costs[0]
        fits = totals[0] + cheapest_rest <= budget * (1 + _ROUNDING)
        open_ones = np.flatnonzero(fits & (totals[2] <= most_excess))
        open_ones = open_ones[_undominated(*totals[:2, open_ones])]
        totals = totals[:, open_ones]
        parents, places = np.divmod(open_ones, width)
        trail.append((kept[parents], options[places]))
    costs, losses, _ = totals
    within = np.flatnonzero(costs <= budget)
    if not within.size or losses[within[-1]] >= best:
        return picks
    state = within[-1]  # The most expensive one loses least.
    found = []
    for parents, picked in reversed(trail):
        found.append(int(picked[state]))
        state = parents[state]
    return found[::-1]
