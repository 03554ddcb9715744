"""Lookup of table rows as a device computes it in int8."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.layers.planning import count_rows, device_planning
from dart_keras.quantization.products import RoundingInterceptor, final_weights
from dart_keras.quantization.ranges import (
    ActivationQuantizer,
    SingleScaleQuantizer,
    WeightQuantizer,
)
from dart_keras.tensor_train.contraction import intercept_products
from dart_keras.tensor_train.lookup import Factor


class TableLookup:
    """Lookup of rows in the rounded table of an `Embedding`.

    Args:
        holder: Has the layer as its `layer`, and holds the ranges.
    """

    # The rows have the scale of the table.
    gives_range = True

    def __init__(self, holder: Any) -> None:
        self._layer = holder.layer
        self._quantizer = SingleScaleQuantizer(holder, "table", symmetric=False)
        self.quantizers: list[ActivationQuantizer] = []

    def __call__(self, ids: Any, training: bool | None, final: bool) -> Any:
        """Return the rows."""
        table = self._layer.embeddings
        if final:
            import tensorflow as tf

            with tf.init_scope():
                self._quantizer(table)
        rounded = self._quantizer(table, final)
        with keras.StatelessScope(state_mapping=[(table, rounded)]):
            return self._layer(ids)


class TTLookup:
    """Lookup of rows of a `TTEmbedding` with rounded cores and rounded results of products.

    Args:
        holder: Has the layer as its `layer`, and holds the ranges.
        input_shape: Shape of the ids.
    """

    def __init__(self, holder: Any, input_shape: Sequence[int | None]) -> None:
        self._layer, self._target = holder.layer, holder.target
        with self._planned():
            factors = self._layer.lookup_plan(count_rows(input_shape)).factors
        self._tables = [_table_quantizer(holder, factor, k) for k, factor in enumerate(factors)]
        self.gives_range = len(factors) == 1
        # The result of the last product is the rows.
        self.quantizers = [
            ActivationQuantizer(holder, f"state_{k}") for k in range(len(factors) - 2)
        ]

    def __call__(self, ids: Any, training: bool | None, final: bool) -> Any:
        """Return the rows."""
        tables = self._tables
        if final:
            zero = np.zeros(1, "int32")
            tables = final_weights(self._tables, lambda interceptor: self._run(zero, interceptor))
        return self._run(ids, RoundingInterceptor(tables, self.quantizers, training, final))

    def _run(self, ids: Any, interceptor: Any) -> Any:
        with self._planned(), intercept_products(interceptor):
            return self._layer(ids)

    def _planned(self) -> Any:
        return device_planning(self._target, lambda layer, plans: plans[0])


def _table_quantizer(holder: Any, factor: Factor, place: int) -> Any:
    """Return the quantizer of a factor's table, a tensor of shape (n, r, m * r')."""
    name = f"slices_{place}"
    if not factor.grouped:
        return SingleScaleQuantizer(holder, name, symmetric=False)
    # A digit with one value selects nothing: its only slice is a matrix to multiply by.
    shape = (factor.rank, factor.m * factor.next_rank)
    rounded = WeightQuantizer(holder, shape, name)
    return lambda table: keras.ops.reshape(rounded(keras.ops.reshape(table, shape)), (1, *shape))
