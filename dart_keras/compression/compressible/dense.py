"""Compressible Dense and EinsumDense layers."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.compressible.base import CompressibleLinear, Factorization, rank_ladder
from dart_keras.compression.compressible.batch_norm import fold_batch_norm
from dart_keras.compression.factorization.moments import Moments
from dart_keras.compression.factorization.tt_decomposition import decompose, train_errors
from dart_keras.layers import TTDense, TTEinsumDense
from dart_keras.layers.einsum_axes import EinsumAxes, einsum_axes
from dart_keras.layers.resizing import Resizing, resize
from dart_keras.layers.tt_einsum_dense import einsum_kernel, einsum_matrix
from dart_keras.layers.tt_kernel_layer import arguments_of
from dart_keras.tensor_train import (
    TTMatrix,
    automatic_modes,
    candidate_plans,
    complete_ranks,
    count_parameters,
)

Modes = tuple[tuple[int, ...], tuple[int, ...]]


def shapes_of(n: int, m: int) -> list[Modes]:
    """The modes that are tried for a matrix (n, m): low rank, and two balanced cores."""
    low_rank: Modes = (n, 1), (1, m)
    return list(dict.fromkeys([low_rank, automatic_modes(n, m)]))


def full_ranks(factorization: Factorization) -> tuple[int, ...]:
    """All ranks of a TT matrix, none of which is missing."""
    return tuple(rank for rank in factorization.ranks if rank is not None)


def two_core_factorizations(
    modes: Modes, ranks: Sequence[int], errors: Sequence[float], extra: int
) -> list[Factorization]:
    """Factorizations with two cores at some ranks.

    Args:
        modes: Input and output modes.
        ranks: The ranks of the bond.
        errors: The squared errors at these.
        extra: How many numbers come on top of the cores.
    """
    kind = "low rank" if modes[0][1] == modes[1][0] == 1 else "tensor train"
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


class CompressibleDense(CompressibleLinear):
    """A `Dense` layer, or an `EinsumDense` whose kernel is one matrix."""

    def __init__(self, path: str, layer: keras.Layer, norm: keras.Layer | None = None) -> None:
        super().__init__(path, layer, norm)
        self._axes = None if isinstance(layer, keras.layers.Dense) else einsum_axes(layer.equation)
        matrix = layer.kernel if self._axes is None else einsum_matrix(layer)
        kernel = np.asarray(ops.convert_to_numpy(matrix), np.float64)
        bias = None
        # A bias that not every column has an element of its own of does not belong to the matrix.
        self._columns_have_bias = self._axes is None or (
            set(layer.bias_axes or self._axes.new) == set(self._axes.new)
        )
        if layer.bias is not None and self._columns_have_bias:
            bias = np.asarray(ops.convert_to_numpy(layer.bias), np.float64).reshape(-1)
        self.kernel, self.bias = fold_batch_norm(kernel, bias, norm)

    def add(
        self, evidence: Moments, inputs: np.ndarray, outputs: np.ndarray, step: int = 1
    ) -> None:
        """Take a batch into the moments."""
        if self._axes is not None:
            axes = self._axes.expanded(inputs.ndim)
            inputs = np.transpose(inputs, _places(axes.kept + axes.summed, axes.input))
        rows = inputs.reshape(-1, self.kernel.shape[0])
        evidence.add(rows[::step], self.output_rows(outputs)[::step])

    def output_rows(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs, before the activation, as rows of M numbers."""
        if self._axes is not None:
            axes = _expanded_output(self._axes, outputs.ndim)
            outputs = np.transpose(outputs, _places(axes.kept + axes.new, axes.output))
        return outputs.reshape(-1, self.kernel.shape[1])

    def factorizations(self, evidence: Moments | None = None) -> list[Factorization]:
        """Trains of two cores, low-rank ones and balanced ones."""
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
        errors = train_errors(self.kernel, wanted, moments)
        factorizations = [
            each._replace(error=float(error))
            for (_, smaller), errors_here in zip(found, errors, strict=True)
            for each, error in zip(smaller, errors_here, strict=True)
        ]
        return self._with_whole(factorizations)

    def build(
        self, factorization: Factorization, evidence: Moments | None = None
    ) -> tuple[keras.Layer, float]:
        """A `TTDense` or `TTEinsumDense`, or for exact factorizations a layer of the same class."""
        moments = self._usable(evidence)
        if factorization.is_exact:
            return self._whole_layer(moments)
        inputs, outputs = factorization.modes
        ranks = full_ranks(factorization)
        found = decompose(self.kernel, inputs, outputs, ranks, moments, self.bias)
        layer: Any = self._layer(found.train, found.bias)
        return layer, found.error

    def _usable(self, evidence: Moments | None) -> Moments | None:
        usable = evidence is not None and evidence.count and self._columns_have_bias
        return evidence if usable else None

    def _with_numbers(self, matrix: np.ndarray, bias: np.ndarray) -> keras.layers.Layer:
        dense: Any = self.layer
        new: Any
        if self._axes is None:
            new = keras.layers.Dense.from_config({**dense.get_config(), "use_bias": True})
            new.build((None, len(matrix)))
            new.set_weights([matrix, bias])
        else:
            new = keras.layers.EinsumDense.from_config(dense.get_config())
            new.build(dense.get_build_config()["input_shape"])
            new.set_weights([einsum_kernel(matrix, dense), bias.reshape(dense.bias.shape)])
        return new

    def _layer(self, train: TTMatrix, bias: np.ndarray | None) -> TTDense | TTEinsumDense:
        dense: Any = self.layer
        arguments = {
            **arguments_of(dense, None),
            "ranks": train.ranks,
            "input_modes": train.input_modes,
            "output_modes": train.output_modes,
        }
        tt: TTDense | TTEinsumDense
        if self._axes is None:
            tt = TTDense(dense.units, use_bias=bias is not None, **arguments)
            tt.build((None, self.kernel.shape[0]))
        else:
            bias_axes = dense.bias_axes if bias is None else self._axes.new
            shape = dense.partial_output_shape
            tt = TTEinsumDense(dense.equation, shape, bias_axes=bias_axes, **arguments)
            tt.build(dense.get_build_config()["input_shape"])
        resize([Resizing(tt, train.cores)])
        if bias is not None:
            tt.bias.assign(bias.reshape(tt.bias.shape))
        elif dense.bias is not None:
            tt.bias.assign(dense.bias)
        return tt


def _expanded_output(axes: EinsumAxes, count: int) -> EinsumAxes:
    elided = count - len(axes.output.replace(".", ""))
    return axes.expanded(len(axes.input.replace(".", "")) + elided)


def _places(order: str, axes: str) -> list[int]:
    return [axes.index(axis) for axis in order]
