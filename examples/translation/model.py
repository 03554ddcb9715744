"""An encoder-decoder transformer (Vaswani et al. 2017), dense or with TT layers."""

from typing import Any

import keras
from keras import ops

import dart_keras as dk
from examples.language_model.architecture import Architecture
from examples.transformer.blocks import MASKED, attend, feed_forward
from examples.transformer.matrices import initializer, make_projection, make_table
from examples.translation.settings import SIZES
from examples.translation.subwords import PADDING, START


def build_model(
    architecture: Architecture,
    dropout: float = 0.0,
    rank_regularizer: dk.regularizers.RankRegularizer | None = None,
) -> keras.Model:
    """Build a model from sentences and target prefixes to logits of the next subwords.

    Both languages and the logits share one table. A row may hold several pairs, which do not attend
    to each other (see `examples.translation.packing`). A functional model of public layers and
    operations, so that its file loads without this code.

    Args:
        architecture: The architecture.
        dropout: Dropout rate after the embeddings, after each part of a block, and before the
            logits.
        rank_regularizer: Rank regularizer of every TT layer.

    Returns:
        A model from `[source, target]`, int32 (batch, length) each, to float32
        (batch, length of target, vocabulary).
    """
    size = SIZES[architecture.size]
    table = make_table(
        architecture.layers,
        architecture.vocabulary,
        size.width,
        size.band,
        architecture.embedding_rank,
        rank_regularizer,
    )
    projection = make_projection(
        architecture.layers, architecture.projection_rank, rank_regularizer
    )
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")

    def embed(words: Any, so_far: Any, name: str) -> Any:
        # A word's position is the number of words before it in its sentence.
        places = ops.sum(ops.cast(so_far, "int32"), axis=-1) - 1
        positions = keras.layers.Embedding(size.length, size.width, initializer(), name=name)
        return keras.layers.Dropout(dropout)(table(words) + positions(places))

    source_sentences, target_sentences = _sentences(source), _sentences(target)
    words_to_see = ops.not_equal(ops.expand_dims(source, 1), PADDING)
    same = _same(source_sentences, source_sentences)
    mask = _mask(ops.logical_and(same, words_to_see))
    x = embed(source, ops.logical_and(same, _not_after(source)), "source_positions")
    for i in range(1, size.blocks + 1):
        x = attend(x, mask, size.heads, projection, dropout, f"encoder_{i}")
        x = feed_forward(x, size.inner, projection, dropout, f"encoder_{i}")
    encoded = keras.layers.LayerNormalization(name="encoded")(x)

    so_far = ops.logical_and(_same(target_sentences, target_sentences), _not_after(target))
    mask = _mask(so_far)
    source_mask = _mask(ops.logical_and(_same(target_sentences, source_sentences), words_to_see))
    x = embed(target, so_far, "target_positions")
    for i in range(1, size.blocks + 1):
        x = attend(x, mask, size.heads, projection, dropout, f"decoder_{i}")
        x = attend(
            x, source_mask, size.heads, projection, dropout, f"decoder_{i}_source", memory=encoded
        )
        x = feed_forward(x, size.inner, projection, dropout, f"decoder_{i}")
    decoded = keras.layers.LayerNormalization(name="decoded")(x)
    logits = table(keras.layers.Dropout(dropout)(decoded), reverse=True)
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(logits)
    return keras.Model([source, target], logits, name="translation")


def _sentences(words: Any) -> Any:
    # Index in its row of each word's sentence.
    return ops.cumsum(ops.cast(ops.equal(words, START), "int32"), axis=1)


def _same(seeing: Any, seen: Any) -> Any:
    return ops.equal(ops.expand_dims(seeing, 2), ops.expand_dims(seen, 1))


def _not_after(words: Any) -> Any:
    places = ops.cumsum(ops.ones_like(words), axis=1)
    return ops.greater_equal(ops.expand_dims(places, 2), ops.expand_dims(places, 1))


def _mask(visible: Any) -> Any:
    # One mask for all heads.
    return ops.expand_dims((1 - ops.cast(visible, "float32")) * MASKED, 1)
