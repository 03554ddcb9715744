"""Compressible convolutions."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.compressible.base import CompressibleLinear, Factorization
from dart_keras.compression.factorization.convolution import (
    convolution_options,
    factorize_convolution,
    patch_rows,
)
from dart_keras.compression.factorization.moments import Moments
from dart_keras.model_surgery.batch_norm import fold_into_matrix

# How many elements patches may hold at a time: a quarter of a gigabyte in double precision.
_MOST_ELEMENTS = 2**25


class CompressibleConv2D(CompressibleLinear):
    """A `Conv2D` layer, whose factorizations are two or three smaller ones."""

    def __init__(self, path: str, layer: keras.Layer, norm: keras.Layer | None = None) -> None:
        super().__init__(path, layer, norm)
        dense: Any = layer
        kernel = np.asarray(ops.convert_to_numpy(dense.kernel), np.float64)
        bias = None
        if dense.use_bias:
            bias = np.asarray(ops.convert_to_numpy(dense.bias), np.float64)
        self.kernel, self.bias = fold_into_matrix(kernel.reshape(-1, dense.filters), bias, norm)
        self._folded = dense
        if norm is not None:
            assert self.bias is not None
            self._folded = self._with_weights(self.kernel, self.bias)
        # Numbers of places in the inputs and the outputs, whose ratio padding and sizes decide.
        self._places_seen = [0, 0]

    @classmethod
    def reason_to_keep(cls, layer: Any) -> str | None:
        """Return what of its geometry smaller convolutions could not keep."""
        if layer.groups == 1 and layer.data_format == "channels_last":
            return None
        return f"has groups={layer.groups} and data_format={layer.data_format!r}"

    @classmethod
    def folds_batch_norm(cls, layer: Any) -> bool:
        """Return whether the layer is linear."""
        plain = type(layer) is keras.layers.Conv2D
        return plain and layer.activation is keras.activations.linear

    @property
    def can_be_copied(self) -> bool:
        """Whether it is a `Conv2D`, not of a subclass."""
        return type(self.layer) is keras.layers.Conv2D

    def add(
        self,
        evidence: Moments,
        inputs: np.ndarray,
        outputs: np.ndarray,
        step: int = 1,
        visible: np.ndarray | None = None,
    ) -> None:
        """Take a batch into the moments. Pictures have no padding."""
        images = np.asarray(inputs, np.float32)
        self._places_seen[0] += math.prod(images.shape[:-1])
        self._places_seen[1] += math.prod(outputs.shape[:-1])
        size = max(1, _MOST_ELEMENTS // (math.prod(outputs.shape[1:-1]) * len(self.kernel)))
        for start in range(0, len(images), size):
            chunk = slice(start, start + size)
            rows = patch_rows(self._folded, images[chunk])
            evidence.add(rows[::step], self.output_rows(outputs[chunk])[::step])

    def output_rows(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs, before the activation, as rows of M elements."""
        return outputs.reshape(-1, self.kernel.shape[1])

    def factorizations(self, evidence: Moments | None = None) -> list[Factorization]:
        """Return Tucker-2 factorizations of the kernel."""
        return self._with_whole(
            self._saving(
                Factorization(
                    "convolutions",
                    option.ranks,
                    (),
                    option.parameters,
                    self._products(option.ranks),
                    option.error,
                )
                for option in convolution_options(self._folded, evidence)
                if option.ranks != (None, None)
            )
        )

    def build(
        self, factorization: Factorization, evidence: Moments | None = None
    ) -> tuple[keras.Layer, float]:
        """Return a Sequential model of smaller convolutions; one layer if exact."""
        if factorization.is_exact:
            return self._whole_layer(evidence)
        input_rank, output_rank = factorization.ranks
        small = factorize_convolution(self._folded, (input_rank, output_rank), evidence)
        return small, factorization.error

    def _products(self, ranks: tuple[int | None, int | None]) -> float:
        """Return multiply-adds at an output position; the first kernel runs at input positions."""
        dense: Any = self.layer
        inputs, outputs = self._places_seen
        ratio = inputs / outputs if outputs else math.prod(dense.strides)
        *places, channels, filters = dense.kernel.shape
        inside, outside = ranks[0] or channels, ranks[1] or filters
        before = channels * inside * ratio if ranks[0] else 0
        return before + math.prod(places) * inside * outside + (ranks[1] or 0) * filters

    def _with_weights(self, matrix: np.ndarray, bias: np.ndarray) -> keras.layers.Conv2D:
        dense: Any = self.layer
        new = keras.layers.Conv2D.from_config({**dense.get_config(), "use_bias": True})
        new.build((None, None, None, dense.kernel.shape[2]))
        new.set_weights([matrix.reshape(dense.kernel.shape), bias])
        return new
