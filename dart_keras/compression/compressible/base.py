"""A compressible layer, seen as a matrix, and its factorizations."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np

from dart_keras.compression.factorization.moments import Moments
from dart_keras.compression.factorization.tt_decomposition import refit


class Factorization(NamedTuple):
    """A way to hold a layer's matrix.

    Attributes:
        kind: "dense" (unchanged), "folded" (with its normalization folded in), "low rank",
            "TT matrix" or "convolutions".
        ranks: The d + 1 ranks of a TT matrix, (r_in, r_out) of convolutions, empty for "dense".
        modes: Input and output modes of a TT matrix, empty for others.
        parameters: How many parameters the layer then has, with its normalization if any.
        multiply_adds: Products for one row of the layer's matrix, on average; of a table, for one
            lookup.
        error: With evidence the expected squared error of the layer's outputs, relative to their
            variance; without, the squared relative Frobenius error of its matrix.
    """

    kind: str
    ranks: tuple[int | None, ...]
    modes: tuple[tuple[int, ...], ...]
    parameters: int
    multiply_adds: float
    error: float

    @property
    def products(self) -> int:
        """How many matrices or kernels are multiplied by, one after another."""
        if self.kind == "convolutions":
            return 1 + sum(rank is not None for rank in self.ranks)
        return max(1, len(self.ranks) - 1)

    @property
    def is_exact(self) -> bool:
        """Whether the layer's outputs are the same as those of the original."""
        return self.kind in ("dense", "folded")


class CompressibleLayer(ABC):
    """A layer of a model seen as a matrix, and the factorizations that can replace it.

    Args:
        path: The names that lead to the layer.
        layer: The built layer. It is never changed.
        norm: The `BatchNormalization` directly after it, which is folded into its other
            factorizations, or `None`.

    Attributes:
        kernel: The layer's matrix of shape (N, M), with the normalization folded in; in float64
            then, else in the layer's own precision, as all of a large model are in memory.
        bias: Array of shape (M,), or `None`.
    """

    kernel: np.ndarray
    bias: np.ndarray | None

    @classmethod
    @abstractmethod
    def reason_to_keep(cls, layer: Any) -> str | None:
        """Return why a built layer of float weights has to stay as it is, `None` if it need not."""

    @classmethod
    def folds_batch_norm(cls, layer: Any) -> bool:
        """Return whether a normalization of the last axis can be folded into a layer's matrix."""
        return False

    def __init__(self, path: str, layer: keras.Layer, norm: keras.Layer | None = None) -> None:
        self.path = path
        self.layer = layer
        self.norm = norm

    @property
    def dense(self) -> Factorization:
        """The layer as it is."""
        parameters = self.layer.count_params()
        if self.norm is not None:
            parameters += self.norm.count_params()
        return Factorization("dense", (), (), parameters, self.kernel.size, 0.0)

    def multiply_adds(self, factorization: Factorization, rows: float, counted: float) -> float:
        """Return the multiply-adds in a factorization for one row of the model's inputs.

        Args:
            factorization: One of the layer's.
            rows: How many rows of outputs it gives for one row of the model's inputs.
            counted: Its multiply-adds as it is for one row of the model's inputs.
        """
        return counted / self.kernel.size * factorization.multiply_adds

    def is_forward(self, inputs: Any, outputs: Any) -> bool:
        """Return whether outputs are those of the matrix, not of its transpose."""
        return True

    @abstractmethod
    def evidence(self, sensitivity: np.ndarray | None) -> Any:
        """Return an empty collection of calibration statistics, to be filled by `add`.

        Args:
            sensitivity: How outputs' errors count, as for `Moments`; `None`: all the same.
        """

    @abstractmethod
    def add(
        self,
        evidence: Any,
        inputs: np.ndarray,
        outputs: np.ndarray,
        step: int = 1,
        visible: np.ndarray | None = None,
    ) -> None:
        """Take a batch into the evidence.

        Args:
            evidence: What `evidence` has made.
            step: One row of so many is enough.
            inputs: What the layer is called with.
            outputs: The original layer's outputs for these, before its activation, or those of its
                normalization.
            visible: Which rows of the outputs are data and not padding; `None` if all are.
        """

    @abstractmethod
    def variance(self, evidence: Any, sensitivity: np.ndarray) -> float:
        """Return the variance of an output row e, as e G e counts it with G the sensitivity."""

    @abstractmethod
    def output_rows(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs, before the activation, as rows of M elements."""

    def can_refit(self, factorization: Factorization) -> bool:
        """Return whether the layer, at its full size in a factorization, can be refitted."""
        return False

    @property
    def _whole(self) -> Factorization:
        """The largest factorization: the layer, with its normalization folded in if any."""
        if self.norm is None:
            return self.dense
        assert self.bias is not None
        parameters = self.kernel.size + self.bias.size
        return Factorization("folded", (), (), parameters, self.kernel.size, 0.0)

    def _saving(self, factorizations: Iterable[Factorization]) -> list[Factorization]:
        """Return the factorizations that save parameters and cost no more multiply-adds."""
        whole = self._whole
        return [
            factorization
            for factorization in factorizations
            if factorization.parameters < whole.parameters
            and factorization.multiply_adds <= whole.multiply_adds
        ]

    def _with_whole(self, factorizations: list[Factorization]) -> list[Factorization]:
        """Add the factorization that only folds the normalization, if there is one."""
        return factorizations if self.norm is None else [*factorizations, self._whole]

    @abstractmethod
    def factorizations(self, evidence: Any = None) -> list[Factorization]:
        """Return factorizations with fewer parameters than the layer and no more multiply-adds."""

    @abstractmethod
    def build(
        self, factorization: Factorization, evidence: Any = None
    ) -> tuple[keras.Layer, float]:
        """Return the layer in one of its factorizations, built and with weights, and its error.

        Args:
            factorization: One of `factorizations`; also the dense one where `can_refit` says so.
            evidence: What is known of the layer where it is to work; `None` to keep to its weights.

        Returns:
            The new layer, and its error as in `Factorization`.
        """


def rank_ladder(largest: int) -> list[int]:
    """Return ranks from 1 to the largest: all small ones, and fewer as they grow.

    Example:
        >>> rank_ladder(40)[-6:]
        [31, 32, 34, 36, 38, 40]
    """
    ladder, rank = [], 1
    while rank < largest:
        ladder.append(rank)
        rank += max(1, rank // 16)
    return [*ladder, largest]


class CompressibleLinear(CompressibleLayer):
    """A layer whose outputs are input rows times its matrix, and a bias.

    The rows are what moments are taken of, to fit another matrix to.
    """

    def evidence(self, sensitivity: np.ndarray | None) -> Moments:
        """Return moments of the layer's input rows."""
        return Moments(sensitivity)

    def variance(self, evidence: Moments, sensitivity: np.ndarray) -> float:
        """Return the outputs' variance, which the moments hold."""
        return evidence.target_variance

    def can_refit(self, factorization: Factorization) -> bool:
        """Return whether there is a bias to hold the means, and no normalization after it."""
        kind = factorization.kind
        is_whole = kind == "folded" or (kind == "dense" and self.norm is None)
        return is_whole and self.bias is not None and self.can_be_copied

    @property
    @abstractmethod
    def can_be_copied(self) -> bool:
        """Whether a layer of the same class can be made with other weights."""

    @abstractmethod
    def _with_weights(self, matrix: np.ndarray, bias: np.ndarray) -> keras.layers.Layer:
        """Return a layer of the same class with another matrix and bias, unnormalized."""

    def _whole_layer(self, moments: Moments | None) -> tuple[keras.Layer, float]:
        """Return the layer with its own matrix or one refitted to moments, and its error."""
        if moments is None:
            assert self.bias is not None
            return self._with_weights(self.kernel, self.bias), 0.0
        matrix, bias, error = refit(self.kernel, moments)
        return self._with_weights(matrix, bias), error
