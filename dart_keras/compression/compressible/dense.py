"""Compressible layers with a dense matrix."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.compression.compressible.base import CompressibleLinear, Factorization, rank_ladder
from dart_keras.compression.factorization.moments import Moments
from dart_keras.compression.factorization.tt_decomposition import decompose, two_core_errors
from dart_keras.layers.replacement import replacement_for
from dart_keras.layers.resizing import Resizing, resize
from dart_keras.model_surgery.batch_norm import fold_into_matrix
from dart_keras.tensor_train import (
    TTMatrix,
    automatic_modes,
    candidate_plans,
    complete_ranks,
    count_parameters,
)

Modes = tuple[tuple[int, ...], tuple[int, ...]]


def shapes_of(n: int, m: int) -> list[Modes]:
    """Return the modes that are tried for a matrix (n, m): low rank, and two balanced cores."""
    low_rank: Modes = (n, 1), (1, m)
    return list(dict.fromkeys([low_rank, automatic_modes(n, m)]))


def full_ranks(factorization: Factorization) -> tuple[int, ...]:
    """Return all ranks of a TT matrix, leaving out `None`."""
    return tuple(rank for rank in factorization.ranks if rank is not None)


def two_core_factorizations(
    modes: Modes, ranks: Sequence[int], errors: Sequence[float], extra: int
) -> list[Factorization]:
    """Return factorizations with two cores at some ranks.

    Args:
        modes: Input and output modes.
        ranks: The ranks of the bond.
        errors: The squared errors at these.
        extra: How many parameters the layer has besides the cores.
    """
    kind = "low rank" if modes[0][1] == modes[1][0] == 1 else "TT matrix"
    factorizations = []
    for rank, error in zip(ranks, errors, strict=True):
        every = complete_ranks(rank, *modes)
        parameters = count_parameters(*modes, every) + extra
        # Merging cores to a larger matrix is for those who have the flash to spare.
        plans = candidate_plans(*modes, every, 1, target="raspberry-pi")
        [plan, *_] = (each for each in plans if each.weights <= parameters - extra)
        factorizations.append(
            Factorization(kind, every, modes, parameters, plan.multiply_adds, float(error))
        )
    return factorizations


def refusal_of(layer: keras.Layer) -> str | None:
    """Return why the TT layer that would replace a layer does not accept it, `None` if it does."""
    tt_class: Any = replacement_for(layer)
    try:
        tt_class.check_replaceable(layer)
    except ValueError as error:
        return str(error).partition("Received: ")[0].strip()
    return None


class CompressibleDense(CompressibleLinear):
    """A layer with a dense matrix, such as a `Dense` or an `EinsumDense`, that a TT layer replaces.

    What is particular to its class the hooks of the TT layer's class tell.
    """

    def __init__(self, path: str, layer: keras.Layer, norm: keras.Layer | None = None) -> None:
        super().__init__(path, layer, norm)
        tt_class = replacement_for(layer)
        assert tt_class is not None
        self._tt_class: Any = tt_class
        kernel = np.asarray(tt_class.dense_matrix(layer))
        bias = tt_class.dense_bias(layer)
        # One that has not an element for each column does not belong to the matrix.
        self._has_other_bias = bias is None and self.layer.bias is not None
        if bias is not None:
            bias = np.asarray(bias, np.float64)
        self.kernel, self.bias = fold_into_matrix(kernel, bias, norm)

    @classmethod
    def reason_to_keep(cls, layer: keras.Layer) -> str | None:
        """Return what the TT layer that would replace it does not accept."""
        return refusal_of(layer)

    @classmethod
    def folds_batch_norm(cls, layer: Any) -> bool:
        """Return whether the layer is linear, and its output's last axis the matrix's columns."""
        tt_class: Any = replacement_for(layer)
        is_plain = tt_class.folds_batch_norm and type(layer) in tt_class.replaces
        return is_plain and layer.activation is keras.activations.linear

    @property
    def can_be_copied(self) -> bool:
        """Whether it is of a class that the TT layer names, not of a subclass."""
        return type(self.layer) in self._tt_class.replaces

    def add(
        self,
        evidence: Moments,
        inputs: np.ndarray,
        outputs: np.ndarray,
        step: int = 1,
        visible: np.ndarray | None = None,
    ) -> None:
        """Take a batch into the moments."""
        kept = slice(None) if visible is None else visible
        rows = self._tt_class.input_rows(self.layer, inputs)[kept][::step]
        if len(rows):
            evidence.add(rows, self.output_rows(outputs)[kept][::step])

    def output_rows(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs, before the activation, as rows of M elements."""
        return self._tt_class.output_rows(self.layer, outputs)

    def factorizations(self, evidence: Moments | None = None) -> list[Factorization]:
        """Return TT matrices with two cores, both low-rank and balanced."""
        moments = self._usable(evidence)
        most = self._whole.parameters
        extra = 0
        if moments is not None or self.bias is not None:
            extra = self.kernel.shape[1]
        elif self.layer.bias is not None:
            extra = math.prod(self.layer.bias.shape)
        found: list[tuple[Modes, list[Factorization]]] = []
        for modes in shapes_of(*self.kernel.shape):
            largest = min(modes[0][0] * modes[1][0], modes[0][1] * modes[1][1])
            ranks = rank_ladder(min(largest, most // count_parameters(*modes, (1, 1, 1)) + 1))
            smaller = self._saving(two_core_factorizations(modes, ranks, [0.0] * len(ranks), extra))
            if smaller:
                found.append((modes, smaller))
        wanted = [(modes, [full_ranks(each)[1] for each in smaller]) for modes, smaller in found]
        errors = two_core_errors(self.kernel, wanted, moments)
        factorizations = [
            each._replace(error=float(error))
            for (_, smaller), errors_here in zip(found, errors, strict=True)
            for each, error in zip(smaller, errors_here, strict=True)
        ]
        return self._with_whole(factorizations)

    def build(
        self, factorization: Factorization, evidence: Moments | None = None
    ) -> tuple[keras.Layer, float]:
        """Return the TT layer, or for exact factorizations a layer of the same class."""
        moments = self._usable(evidence)
        if factorization.is_exact:
            return self._whole_layer(moments)
        inputs, outputs = factorization.modes
        ranks = full_ranks(factorization)
        found = decompose(self.kernel, inputs, outputs, ranks, moments, self.bias)
        return self._tt_layer(found.matrix, found.bias), found.error

    def _usable(self, evidence: Moments | None) -> Moments | None:
        usable = evidence is not None and evidence.count and not self._has_other_bias
        return evidence if usable else None

    def _with_weights(self, matrix: np.ndarray, bias: np.ndarray) -> keras.layers.Layer:
        return self._tt_class.dense_like(self.layer, matrix, bias)

    def _tt_layer(self, tt_matrix: TTMatrix, bias: np.ndarray | None) -> keras.Layer:
        tt = self._tt_class.build_like(
            self.layer,
            tt_matrix.ranks,
            tt_matrix.input_modes,
            tt_matrix.output_modes,
            column_bias=bias is not None,
        )
        resize([Resizing(tt, tt_matrix.cores)])
        if bias is not None:
            tt.bias.assign(bias.reshape(tt.bias.shape))
        return tt
