"""A decoder-only transformer (Radford et al. 2018), dense or with TT layers."""

import keras
import keras_hub
import numpy as np
from keras import ops

import dart_keras as dk
from examples.language_model.architecture import SIZES, Architecture
from examples.transformer.blocks import MASKED, attend, feed_forward
from examples.transformer.matrices import initializer, make_projection, make_table
from examples.transformer.table import Table


def build_model(
    architecture: Architecture,
    dropout: float = 0.0,
    rank_regularizer: dk.regularizers.RankRegularizer | None = None,
    last_only: bool = False,
    tied: bool = True,
) -> keras.Model:
    """Build a model from words to logits of the next word at every position of a window.

    A functional model of public layers and operations, so that its file loads without this code.

    Args:
        architecture: The architecture.
        dropout: Dropout rate after the embedding, after each part of a block, and before the
            logits.
        rank_regularizer: Rank regularizer of every TT layer.
        last_only: Whether to predict only the word after the window, as on a device.
        tied: Whether embeddings and logits share one table.

    Returns:
        A model from int32 (batch, length) to float32 (batch, length, vocabulary), or
        (batch, vocabulary).
    """
    size, layers = SIZES[architecture.size], architecture.layers

    def make(name: str) -> Table:
        return make_table(
            layers,
            architecture.vocabulary,
            size.width,
            size.band,
            architecture.embedding_rank,
            rank_regularizer,
            name,
        )

    table = make("table")
    head = table if tied else make("head")
    projection = make_projection(layers, architecture.projection_rank, rank_regularizer)
    words = keras.Input((size.length,), dtype="int32", name="words")
    x = table(words)
    positions = keras_hub.layers.PositionEmbedding(
        size.length, initializer=initializer(), name="positions"
    )
    x = keras.layers.Dropout(dropout)(x + positions(x))
    mask = np.triu(np.full((size.length, size.length), MASKED, "float32"), 1)
    for i in range(1, size.blocks + 1):
        last = 1 if last_only and i == size.blocks else None
        x = attend(x, mask, size.heads, projection, dropout, f"block_{i}", last=last)
        x = feed_forward(x, size.inner, projection, dropout, f"block_{i}")
    if last_only:
        x = ops.reshape(x, (-1, size.width))
    x = keras.layers.LayerNormalization(name="norm")(x)
    x = keras.layers.Dropout(dropout)(x)
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(
        head(x, reverse=True)
    )
    return keras.Model(words, logits, name="language_model")
