"""A decoder-only transformer (Radford et al. 2018) whose matrices may be tensor trains."""

import math
from collections.abc import Callable
from typing import Any

import keras
import keras_hub
import numpy as np
from keras import ops

import dart_keras as dk
from examples.language_model.architecture import SIZES, Architecture, Size
from examples.language_model.table import BandedTable, Table, band_ends

# Added to the scores of words that are still to come; -1e9 would be too much for half precision.
_HIDDEN = -1e4

# (inputs, units, name, activation) to outputs.
Projection = Callable[..., Any]


def build_model(
    architecture: Architecture,
    dropout: float = 0.0,
    rank_regularizer: dk.regularizers.RankRegularizer | None = None,
    last_only: bool = False,
) -> keras.Model:
    """From words to logits of the next word, at every place of a window.

    A functional model of public layers and operations, so that its file needs none of this code.
    KerasHub's decoder block is not used because it makes its projections itself, which leaves no
    place for tensor trains.

    Args:
        architecture: Which model.
        dropout: The share of numbers left out behind the embedding, every part of a block, and in
            front of the logits.
        rank_regularizer: Of every tensor train.
        last_only: Whether to predict behind the last word of a window alone, as a device does.

    Returns:
        A model from int32 (batch, length) to float32 (batch, length, vocabulary), or
        (batch, vocabulary).
    """
    size = SIZES[architecture.size]
    table = _table(architecture, size, rank_regularizer)
    projection = _projection(architecture, rank_regularizer)
    words = keras.Input((size.length,), dtype="int32", name="words")
    x = table(words)
    positions = keras_hub.layers.PositionEmbedding(
        size.length, initializer=_initializer(), name="positions"
    )
    x = keras.layers.Dropout(dropout)(x + positions(x))
    for i in range(1, size.blocks + 1):
        queries = 1 if last_only and i == size.blocks else size.length
        x = _block(x, size, projection, dropout, f"block_{i}", queries)
    if last_only:
        x = ops.reshape(x, (-1, size.width))
    x = keras.layers.LayerNormalization(name="norm")(x)
    x = keras.layers.Dropout(dropout)(x)
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(
        table(x, reverse=True)
    )
    return keras.Model(words, logits, name="language_model")


def _block(
    x: Any, size: Size, projection: Projection, dropout: float, name: str, queries: int
) -> Any:
    """What becomes of the last so many words; the others are only looked at."""
    normalized = keras.layers.LayerNormalization(name=f"{name}_attention_norm")(x)
    asking = normalized
    if queries < size.length:
        x, asking = x[:, -queries:], normalized[:, -queries:]
    query, key, value = (
        projection(source, size.width, f"{name}_{part}")
        for source, part in ((asking, "query"), (normalized, "key"), (normalized, "value"))
    )
    attended = _attention(query, key, value, size)
    x = x + keras.layers.Dropout(dropout)(projection(attended, size.width, f"{name}_attention"))
    normalized = keras.layers.LayerNormalization(name=f"{name}_feed_forward_norm")(x)
    # Not GELU, which TensorFlow Lite Micro does not have.
    inner = projection(normalized, size.inner, f"{name}_expand", "relu")
    return x + keras.layers.Dropout(dropout)(projection(inner, size.width, f"{name}_contract"))


def _attention(query: Any, key: Any, value: Any, size: Size) -> Any:
    """Every word's mean of the values at and before it.

    Written in matrix products: what `ops.dot_product_attention` makes of its mask does not run on
    TensorFlow Lite Micro.
    """
    width, queries = size.width // size.heads, query.shape[1]

    def split(x: Any, order: tuple[int, ...]) -> Any:
        return ops.transpose(ops.reshape(x, (-1, x.shape[1], size.heads, width)), order)

    mask = np.triu(np.full((size.length, size.length), _HIDDEN, "float32"), 1)[-queries:]
    scores = ops.matmul(split(query, (0, 2, 1, 3)), split(key, (0, 2, 3, 1)))
    shares = ops.softmax(scores / math.sqrt(width) + ops.cast(mask, scores.dtype))
    heads = ops.matmul(shares, split(value, (0, 2, 1, 3)))
    return ops.reshape(ops.transpose(heads, (0, 2, 1, 3)), (-1, queries, size.width))


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.02)


def _table(architecture: Architecture, size: Size, rank_regularizer: Any) -> Table:
    if architecture.layers == "dense":
        return keras.layers.ReversibleEmbedding(
            architecture.vocabulary,
            size.width,
            embeddings_initializer=_initializer(),
            name="table",
        )
    return BandedTable(
        band_ends(architecture.vocabulary, size.band)
        if architecture.layers == "tt"
        else [architecture.vocabulary],
        size.width,
        architecture.embedding_rank,
        embeddings_initializer=_initializer(),
        rank_regularizer=rank_regularizer,
    )


def _projection(architecture: Architecture, rank_regularizer: Any) -> Projection:
    def projection(x: Any, units: int, name: str, activation: str | None = None) -> Any:
        if architecture.layers != "tt":
            return keras.layers.Dense(units, activation, name=name)(x)
        return dk.layers.TTDense(
            units,
            architecture.projection_rank,
            # One bond: of all modes these take the least arithmetic for their size.
            input_modes=(x.shape[-1], 1),
            output_modes=(1, units),
            activation=activation,
            rank_regularizer=rank_regularizer,
            name=name,
        )(x)

    return projection
