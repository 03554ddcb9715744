"""Architectures to compare with a model with learned ranks."""

from dataclasses import replace
from typing import Any

import keras

from examples.language_model.architecture import SIZES, Architecture
from examples.language_model.model import build_model


def dense_equivalent(architecture: Architecture) -> Architecture:
    """Return the same architecture without TT layers."""
    return replace(architecture, layers="dense", embedding_rank=None, projection_rank=None)


def fixed_rank_equivalent(architecture: Architecture, reached: dict[str, Any]) -> Architecture:
    """Return an architecture with one rank for all bands and one for all projections.

    Each is the largest rank that takes no more parameters than the learned ranks.

    Args:
        architecture: The model with its initial ranks.
        reached: Results of its run.
    """
    first, second = (
        build_model(replace(architecture, embedding_rank=rank, projection_rank=rank))
        for rank in (1, 2)
    )

    def rank_of(part: str) -> int:
        # Every TT matrix has one bond, so its size is proportional to its rank.
        least = _count(first, part)
        return 1 + (reached[f"{part}_parameters"] - least) // (_count(second, part) - least)

    return replace(architecture, embedding_rank=rank_of("table"), projection_rank=rank_of("block"))


def _count(model: keras.Model, part: str) -> int:
    return sum(layer.count_params() for layer in model.layers if part in layer.name)


def low_rank_equivalent(architecture: Architecture, reached: dict[str, Any]) -> Architecture:
    """Return an architecture with one low-rank table of the same size and dense projections."""
    of_a_rank = architecture.vocabulary + SIZES[architecture.size].width
    rank = max(1, reached["table_parameters"] // of_a_rank)
    return replace(architecture, layers="low-rank", embedding_rank=rank, projection_rank=None)
