"""Compressible embedding tables."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.compression.compressible.base import CompressibleLayer, Factorization, rank_ladder
from dart_keras.compression.compressible.dense import (
    Modes,
    full_ranks,
    refusal_of,
    shapes_of,
    two_core_factorizations,
)
from dart_keras.compression.factorization.two_core_svd import truncation_errors, two_core_svd
from dart_keras.layers.replacement import replacement_for
from dart_keras.layers.resizing import Resizing, resize
from dart_keras.tensor_train import TTMatrix, count_parameters
from dart_keras.tensor_train.ranks import count_multiply_adds


class Frequencies:
    """How often the rows of a table are looked up.

    Args:
        size: How many rows it has.

    Attributes:
        counts: Array of the rows' numbers of lookups.
    """

    def __init__(self, size: int) -> None:
        self.counts: np.ndarray = np.zeros(size, np.int64)

    def emptied(self) -> "Frequencies":
        """Return empty counts of lookups."""
        return Frequencies(len(self.counts))

    @property
    def shares(self) -> np.ndarray:
        """The rows' shares of lookups to come, every row counted once more (Laplace's rule)."""
        return (self.counts + 1) / (self.counts.sum() + len(self.counts))


class CompressibleEmbedding(CompressibleLayer):
    """An `Embedding`, or a tied `ReversibleEmbedding`.

    With evidence, a row's errors count as often as it is looked up.
    """

    def __init__(self, path: str, layer: keras.Layer, norm: None = None) -> None:
        super().__init__(path, layer, norm)
        tt_class = replacement_for(layer)
        assert tt_class is not None
        self._tt_class: Any = tt_class
        self.kernel = np.asarray(tt_class.dense_matrix(layer))
        self.bias = None

    @classmethod
    def reason_to_keep(cls, layer: keras.Layer) -> str | None:
        """Return what the TT layer that would replace it does not accept."""
        return refusal_of(layer)

    @property
    def dense(self) -> Factorization:
        """The table as it is. A lookup multiplies nothing."""
        return super().dense._replace(multiply_adds=0)

    def multiply_adds(self, factorization: Factorization, rows: float, counted: float) -> float:
        """Return the multiply-adds of the lookups, and of products with the transposed table."""
        products = counted / self.kernel.size
        if factorization.kind == "dense":
            return products * self.kernel.size
        inputs, outputs = factorization.modes
        transposed = count_multiply_adds(outputs, inputs, full_ranks(factorization))
        return rows * factorization.multiply_adds + products * transposed

    def is_forward(self, inputs: Any, outputs: Any) -> bool:
        """Return whether outputs are rows of the table, not products with all of them."""
        return len(outputs.shape) == len(inputs.shape) + 1

    def evidence(self, sensitivity: np.ndarray | None) -> Frequencies:
        """Return counts of lookups; the errors of all outputs count the same."""
        return Frequencies(len(self.kernel))

    def add(
        self,
        evidence: Frequencies,
        inputs: np.ndarray,
        outputs: np.ndarray,
        step: int = 1,
        visible: np.ndarray | None = None,
    ) -> None:
        """Count the ids of a batch, all of them that are data."""
        ids = np.asarray(inputs, np.int64).reshape(-1)
        if ids.min(initial=0) < 0:
            # Keras counts these from the end, `TTEmbedding` does not take them.
            raise ValueError(
                f"Expected `calibration_data` with ids of 0 or more for the layer {self.path!r}. "
                f"Received: {ids.min()}"
            )
        if visible is not None:
            ids = ids[visible]
        if getattr(self.layer, "mask_zero", False):
            ids = ids[ids != 0]
        evidence.counts += np.bincount(ids, minlength=len(self.kernel))

    def variance(self, evidence: Frequencies, sensitivity: np.ndarray) -> float:
        """Return the mean square of the rows that are looked up, all elements counting the same."""
        square = float(evidence.shares @ np.sum(np.square(self.kernel, dtype=np.float64), axis=1))
        return square * float(np.trace(sensitivity)) / len(sensitivity)

    def output_rows(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs as rows of M elements."""
        return outputs.reshape(-1, outputs.shape[-1])

    def factorizations(self, evidence: Frequencies | None = None) -> list[Factorization]:
        """Return TT matrices with two cores, low-rank and balanced ones."""
        most = self.kernel.size
        weights = self._weights(evidence)
        factorizations = []
        for modes in shapes_of(*self.kernel.shape):
            largest = min(modes[0][0] * modes[1][0], modes[0][1] * modes[1][1])
            ranks = rank_ladder(min(largest, most // count_parameters(*modes, (1, 1, 1)) + 1))
            norm = float(np.sum((self.kernel * weights) ** 2)) or 1.0
            if _is_low_rank(modes):
                lost = truncation_errors(self.kernel * weights, *modes)[np.array(ranks) - 1]
            else:
                first, last = two_core_svd(self.kernel.astype(np.float64), *modes, max(ranks)).cores
                lost = self._lost(first, last, ranks, weights)
            factorizations += two_core_factorizations(modes, ranks, lost / norm, 0)
        smaller = self._saving(each._replace(multiply_adds=0) for each in factorizations)
        # A row is the product of a slice of each core.
        width = self.kernel.shape[1]
        return [each._replace(multiply_adds=full_ranks(each)[1] * width) for each in smaller]

    def build(
        self, factorization: Factorization, evidence: Frequencies | None = None
    ) -> tuple[keras.Layer, float]:
        """Return the TT layer, a `TTEmbedding`."""
        modes = factorization.modes[0], factorization.modes[1]
        weights = self._weights(evidence) if _is_low_rank(modes) else np.ones((1, 1))
        _, rank, _ = full_ranks(factorization)
        weighted = two_core_svd(self.kernel * weights, *modes, rank)
        first, *others = weighted.cores
        if weights.size > 1:
            first = first / weights.reshape(1, -1, 1, 1)
        tt = self._tt_class.build_like(self.layer, weighted.ranks, modes[0], modes[1])
        resize([Resizing(tt, (first, *others))])
        return tt, factorization.error

    def _lost(
        self, first: np.ndarray, last: np.ndarray, ranks: Sequence[int], weights: np.ndarray
    ) -> np.ndarray:
        """Return the squared errors of two cores cut to some ranks, rows counting as looked up."""
        # One product in all, and single precision: tables are the largest layers.
        left = (self.kernel * weights).astype(np.float32)
        done, found = 0, []
        for rank in ranks:
            part = TTMatrix((first[..., done:rank], last[done:rank])).to_dense()
            left -= (part * weights).astype(np.float32)
            found.append(float(np.vdot(left, left)))
            done = rank
        return np.array(found)

    def _weights(self, evidence: Frequencies | None) -> np.ndarray:
        if evidence is None or not evidence.counts.any():
            return np.ones((1, 1))
        return np.sqrt(evidence.shares * len(evidence.counts))[:, None]


def _is_low_rank(modes: Modes) -> bool:
    return modes[0][1] == modes[1][0] == 1
