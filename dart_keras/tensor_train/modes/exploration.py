"""The first stage of a search: very many trains, their costs roughly estimated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dart_keras.devices import Device
from dart_keras.tensor_train.modes.candidates import (
    ModePair,
    Trains,
    all_trains,
    count_pairs,
    sampled_trains,
    shapes,
    with_neighbours,
)
from dart_keras.tensor_train.modes.costs import batch_count_parameters, chain_costs
from dart_keras.tensor_train.modes.pareto import spread_front

# More pairs of factorizations than this are not all looked at.
EXHAUSTIVE = 100_000
# What a beam starts with, how many trains it keeps for every cost, and when it ends at the latest.
SAMPLE = 4_000
BREADTH = 48
ROUNDS = 8
# Trains that are worked on at a time, so that the arrays stay in the cache.
CHUNK = 8_192

# From sizes n_k m_k of cores, an array of shape (d, trains), to ranks of shape (d + 1, trains).
RankRule = Callable[[np.ndarray], np.ndarray]

# The fewest and the most parameters that a train may have.
ParameterRange = tuple[float, float]

COSTS = ("parameters", "multiply_adds", "time", "arena")


@dataclass(frozen=True)
class Estimator:
    """Estimates the costs of many trains.

    Attributes:
        rank_rule: Gives the ranks; zeros where there are none to be had.
        rows: How many rows are multiplied.
        device: Whose time is estimated.
        parameter_range: What is outside of it has infinite costs.
    """

    rank_rule: RankRule
    rows: int
    device: Device
    parameter_range: ParameterRange

    def __call__(self, inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Costs in the order of `COSTS`, an array of shape (4, trains)."""
        chunks = [
            self._estimate(inputs[:, start : start + CHUNK], outputs[:, start : start + CHUNK])
            for start in range(0, inputs.shape[1], CHUNK)
        ]
        return np.concatenate([np.empty((len(COSTS), 0)), *chunks], axis=1)

    def _estimate(self, inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        sizes = (inputs * outputs).astype(float)
        ranks = self.rank_rule(sizes)
        parameters = batch_count_parameters(sizes, ranks)
        fewest, most = self.parameter_range
        out = (ranks.min(axis=0) == 0) | (parameters < fewest) | (parameters > most)
        # Rank 1 in the place of none keeps the arithmetic going.
        chain = chain_costs(inputs, outputs, np.maximum(ranks, 1), self.rows, self.device)
        return np.where(out, np.inf, np.stack([parameters, *chain]))


def explore(
    input_dims: Sequence[int], output_dims: Sequence[int], cores: int, estimate: Estimator
) -> tuple[list[ModePair], np.ndarray]:
    """The most promising trains of a number of cores.

    All of them are looked at where they are not too many. Else a beam starts with a sample, keeps
    the best for every cost and the Pareto front, and adds all that come from these by moving one
    prime factor from one core to another, until no cost gets any better.

    Args:
        input_dims: The dimension N, and what it may be padded to.
        output_dims: The dimension M, and what it may be padded to.
        cores: The number of cores.
        estimate: Gives the costs.

    Returns:
        The trains and their costs, an array of shape (trains, 4).
    """
    if count_pairs(input_dims, output_dims, cores) <= EXHAUSTIVE:
        trains, costs = _best(all_trains(input_dims, output_dims, cores), estimate)
    else:
        trains, costs = _best(sampled_trains(input_dims, output_dims, cores, SAMPLE), estimate)
        for _ in range(ROUNDS):
            if not costs.size:
                break
            before = costs.min(axis=1)
            trains, costs = _best(with_neighbours(*trains), estimate)
            if np.array_equal(costs.min(axis=1), before):
                break
    return shapes(*trains), costs.T


def _best(trains: Trains, estimate: Estimator) -> tuple[Trains, np.ndarray]:
    inputs, outputs = trains
    costs = estimate(inputs, outputs)
    possible = np.flatnonzero(np.isfinite(costs[0]))
    inputs, outputs, costs = inputs[:, possible], outputs[:, possible], costs[:, possible]
    if not possible.size:
        return (inputs, outputs), costs
    padded = inputs.prod(axis=0) * outputs.prod(axis=0)
    spread = inputs.sum(axis=0) + outputs.sum(axis=0)
    kept = {int(i) for i in spread_front(costs.T, BREADTH)}
    for row in costs:
        last = np.partition(row, BREADTH - 1)[BREADTH - 1] if len(row) > BREADTH else np.inf
        among = np.flatnonzero(row <= last)
        order = np.lexsort((spread[among], padded[among], row[among]))
        kept.update(among[order[:BREADTH]].tolist())
    indices = sorted(kept)
    return (inputs[:, indices], outputs[:, indices]), costs[:, indices]
