"""What a language model is made of, by name."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Size:
    """The measures of a model.

    Args:
        width: Of the embeddings and of the stream between the blocks.
        blocks: How many decoder blocks.
        heads: How many attention heads, which share the width.
        inner: The width inside of a block's feed-forward part.
        length: How many words a model sees at once.
        band: How many of the most frequent words have a tensor train of their own.
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
    """All that decides which variables a model has when its training begins.

    Args:
        size: A key of `SIZES`.
        layers: `"dense"` for Keras layers; `"tt"` for a table and projections that are tensor
            trains; `"low-rank"` for a table that is a product of two matrices, and dense
            projections.
        vocabulary: How many words there are.
        embedding_rank: The rank that each band of the table begins with.
        projection_rank: The rank that the projections begin with.
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
