"""Sizes and architectures of the language models."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Size:
    """The dimensions of a model.

    Attributes:
        width: Width of the embeddings and of the residual stream.
        blocks: Number of decoder blocks.
        heads: Number of attention heads, which share the width.
        inner: Inner width of a block's feed-forward part.
        length: Number of words in a window.
        band: Number of the most frequent words, which have a TT matrix of their own.
    """

    width: int
    blocks: int
    heads: int
    inner: int
    length: int
    band: int


SIZES = {
    "tiny": Size(width=32, blocks=1, heads=2, inner=64, length=16, band=64),
    "narrow": Size(width=256, blocks=1, heads=4, inner=512, length=64, band=1024),
    "small": Size(width=512, blocks=1, heads=8, inner=1024, length=64, band=1024),
    "medium": Size(width=512, blocks=6, heads=8, inner=2048, length=256, band=1024),
}
LAYERS = ("dense", "tt", "low-rank")


@dataclass(frozen=True)
class Architecture:
    """What determines the variables of a model at the start of training.

    Attributes:
        size: A key of `SIZES`.
        layers: `"dense"` for Keras layers; `"tt"` for a table and projections of TT layers;
            `"low-rank"` for a table that is a product of two matrices, and dense projections.
        vocabulary: Number of words.
        embedding_rank: Initial rank of each band of the table.
        projection_rank: Initial rank of the projections.
    """

    size: str
    layers: str
    vocabulary: int
    embedding_rank: int | None = None
    projection_rank: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        return cls(**values)
