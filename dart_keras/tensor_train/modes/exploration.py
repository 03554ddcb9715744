"""First stage of a search: rough costs of many candidates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dart_keras.devices import Device
from dart_keras.tensor_train.modes.candidates import (
    ModePair,
    ModePairs,
    all_mode_pairs,
    count_pairs,
    mode_tuples,
    sampled_mode_pairs,
    with_neighbours,
)
from dart_keras.tensor_train.modes.costs import batch_count_parameters, chain_costs
from dart_keras.tensor_train.modes.pareto import spread_front

# Up to this many pairs of factorizations, the search considers all of them.
EXHAUSTIVE = 100_000
# Initial sample of a beam search, candidates kept for every cost, and maximum number of rounds.
SAMPLE = 4_000
BREADTH = 48
ROUNDS = 8
# Candidates per chunk, so that the arrays stay in the cache.
CHUNK = 8_192

# From core sizes n_k m_k, of shape (d, candidates), to ranks of shape (d + 1, candidates).
RankRule = Callable[[np.ndarray], np.ndarray]

# Fewest and most parameters of a candidate.
ParameterRange = tuple[float, float]

COSTS = ("parameters", "multiply_adds", "time", "arena")


@dataclass(frozen=True)
class Estimator:
    """Estimates the costs of many candidates.

    Attributes:
        rank_rule: Returns the ranks; zeros if there are none within the limits.
        rows: Number of rows of the input.
        device: The device whose time is estimated.
        parameter_range: Candidates outside this range have infinite costs.
    """

    rank_rule: RankRule
    rows: int
    device: Device
    parameter_range: ParameterRange

    def __call__(self, inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the costs in the order of `COSTS`, an array of shape (4, candidates)."""
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
        # Rank 1 instead of 0 avoids divisions by zero.
        chain = chain_costs(inputs, outputs, np.maximum(ranks, 1), self.rows, self.device)
        return np.where(out, np.inf, np.stack([parameters, *chain]))


def explore(
    input_dims: Sequence[int], output_dims: Sequence[int], cores: int, estimate: Estimator
) -> tuple[list[ModePair], np.ndarray]:
    """Return the most promising candidates of a number of cores.

    All pairs of factorizations are considered unless there are too many. Then a beam search starts
    with a sample, keeps the best for every cost and the Pareto front, and adds all candidates that
    come from these by moving one prime factor between two cores, until no cost improves.

    Args:
        input_dims: The dimension N, and dimensions that it may be padded to.
        output_dims: The dimension M, and dimensions that it may be padded to.
        cores: Number of cores.
        estimate: Estimates the costs.

    Returns:
        The candidates and their costs, an array of shape (candidates, 4).
    """
    if count_pairs(input_dims, output_dims, cores) <= EXHAUSTIVE:
        pairs, costs = _best(all_mode_pairs(input_dims, output_dims, cores), estimate)
    else:
        pairs, costs = _best(sampled_mode_pairs(input_dims, output_dims, cores, SAMPLE), estimate)
        for _ in range(ROUNDS):
            if not costs.size:
                break
            before = costs.min(axis=1)
            pairs, costs = _best(with_neighbours(*pairs), estimate)
            if np.array_equal(costs.min(axis=1), before):
                break
    return mode_tuples(*pairs), costs.T


def _best(pairs: ModePairs, estimate: Estimator) -> tuple[ModePairs, np.ndarray]:
    inputs, outputs = pairs
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
