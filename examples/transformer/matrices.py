"""The matrices of a transformer as dense or TT layers."""

from collections.abc import Callable
from typing import Any

import keras

import dart_keras as dk
from examples.transformer.dense_initialization import initialize_as_dense
from examples.transformer.table import BandedTable, Table, band_ends

# Standard deviation of embeddings, as in GPT-2 (Radford et al. 2019).
_DEVIATION = 0.02
# (inputs, units, name, activation) to outputs.
Projection = Callable[..., Any]


def initializer() -> keras.initializers.Initializer:
    """Return the initializer of dense embeddings."""
    return keras.initializers.RandomNormal(stddev=_DEVIATION)


def make_table(
    layers: str,
    vocabulary: int,
    width: int,
    band: int,
    rank: int | None,
    rank_regularizer: dk.regularizers.RankRegularizer | None,
    name: str = "table",
) -> Table:
    """Return a table of embeddings that also computes the logits.

    Args:
        layers: `"dense"`, `"tt"` for a TT matrix for each band of words, or `"low-rank"` for a
            product of two matrices.
        vocabulary: Number of words.
        width: Width of an embedding.
        band: Number of the most frequent words, which have a TT matrix of their own.
        rank: Initial rank of each band.
        rank_regularizer: Rank regularizer of each TT layer.
        name: Prefix of the layer names.
    """
    if layers == "dense":
        return keras.layers.ReversibleEmbedding(
            vocabulary, width, embeddings_initializer=initializer(), name=name
        )
    return BandedTable(
        band_ends(vocabulary, band) if layers == "tt" else [vocabulary],
        width,
        rank,
        _DEVIATION,
        rank_regularizer,
        name,
    )


def make_projection(
    layers: str,
    rank: int | None,
    rank_regularizer: dk.regularizers.RankRegularizer | None,
) -> Projection:
    """Return a function that adds a projection, TT with this initial rank or dense."""

    def projection(x: Any, units: int, name: str, activation: str | None = None) -> Any:
        if layers != "tt":
            return keras.layers.Dense(units, activation, name=name)(x)
        layer = dk.layers.TTDense(
            units,
            rank,
            # One bond: these modes need the fewest multiply-adds for their size.
            input_modes=(x.shape[-1], 1),
            output_modes=(1, units),
            activation=activation,
            # In deep networks, all ranks should contribute from the start.
            core_initializer="orthogonal",
            rank_regularizer=rank_regularizer,
            name=name,
        )
        outputs = layer(x)
        initialize_as_dense(layer)
        return outputs

    return projection
