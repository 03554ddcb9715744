"""The matrices of a transformer, dense or as tensor trains."""

from collections.abc import Callable
from typing import Any

import keras

import dart_keras as dk
from examples.transformer.dense_start import begin_as_dense
from examples.transformer.table import BandedTable, Table, band_ends

# Of the numbers of an embedding, as in GPT-2 (Radford et al. 2019).
_DEVIATION = 0.02
# (inputs, units, name, activation) to outputs.
Projection = Callable[..., Any]


def initializer() -> keras.initializers.Initializer:
    """Of dense embeddings."""
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
    """A table of embeddings that also makes the logits.

    Args:
        layers: `"dense"`, `"tt"` for a tensor train for each band of words, or `"low-rank"` for one
            product of two matrices.
        vocabulary: How many words there are.
        width: Of an embedding.
        band: How many of the most frequent words have a tensor train of their own.
        rank: That each band begins with.
        rank_regularizer: Of each tensor train.
        name: What the names of its layers begin with.
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
    """What makes projections: `"tt"` ones of a rank to begin with, or dense ones."""

    def projection(x: Any, units: int, name: str, activation: str | None = None) -> Any:
        if layers != "tt":
            return keras.layers.Dense(units, activation, name=name)(x)
        layer = dk.layers.TTDense(
            units,
            rank,
            # One bond: of all modes these take the least arithmetic for their size.
            input_modes=(x.shape[-1], 1),
            output_modes=(1, units),
            activation=activation,
            # Deep in a network all ranks are to be of use from the start.
            core_initializer="orthogonal",
            rank_regularizer=rank_regularizer,
            name=name,
        )
        outputs = layer(x)
        begin_as_dense(layer)
        return outputs

    return projection
