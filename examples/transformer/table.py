"""The embedding table that also computes the logits, as a whole or in bands of different ranks."""

import math
from typing import Any, Protocol

import keras
from keras import ops

import dart_keras as dk
from examples.transformer.dense_initialization import initialize_as_dense


class Table(Protocol):
    """From ids to embeddings, and with `reverse=True` from the stream to logits."""

    def __call__(self, x: Any, reverse: bool = False) -> Any: ...


def band_ends(vocabulary: int, first: int) -> list[int]:
    """Return the ends of bands; each has three times as many words as all before it."""
    ends = [first]
    while ends[-1] < vocabulary:
        ends.append(4 * ends[-1])
    return [*ends[:-1], vocabulary]


class BandedTable:
    """TT matrices for bands of words, the most frequent words first.

    Frequent words need a higher rank than rare ones (Baevski and Auli 2019, "Adaptive Input
    Representations for Neural Language Modeling", section 3, set wider embeddings by hand). Each
    band has its own TT matrix, so its rank can be learned.

    Args:
        ends: End of each band; the last one is the size of the vocabulary.
        width: Width of an embedding.
        rank: Initial rank of every band.
        deviation: Standard deviation of the embeddings.
        rank_regularizer: Rank regularizer of each band.
        name: Prefix of the layer names.
    """

    def __init__(
        self,
        ends: list[int],
        width: int,
        rank: int,
        deviation: float,
        rank_regularizer: dk.regularizers.RankRegularizer | None = None,
        name: str = "table",
    ) -> None:
        self._bands = [
            (
                start,
                end,
                dk.layers.TTEmbedding(
                    end - start,
                    width,
                    rank,
                    # One bond: these modes need the fewest multiply-adds for their size.
                    input_modes=(end - start, 1),
                    output_modes=(1, width),
                    # All ranks should contribute from the start, as in a dense table.
                    embeddings_initializer=_orthogonal(deviation, end - start, width),
                    rank_regularizer=rank_regularizer,
                    name=f"{name}_{i}",
                ),
            )
            for i, (start, end) in enumerate(zip([0, *ends], ends, strict=False), start=1)
        ]
        for _, _, band in self._bands:
            band.build()
            initialize_as_dense(band)

    def __call__(self, x: Any, reverse: bool = False) -> Any:
        if reverse:
            parts = [band(x, reverse=True) for _, _, band in self._bands]
            return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
        return sum(self._lookup(x, *band) for band in self._bands)

    def _lookup(self, words: Any, start: int, end: int, band: keras.Layer) -> Any:
        if len(self._bands) == 1:
            return band(words)
        rows = band(ops.clip(words - start, 0, end - start - 1))
        inside = ops.logical_and(words >= start, words < end)
        return rows * ops.expand_dims(ops.cast(inside, rows.dtype), -1)


def _orthogonal(deviation: float, words: int, width: int) -> keras.initializers.Initializer:
    return keras.initializers.Orthogonal(deviation * math.sqrt(max(words, width)))
