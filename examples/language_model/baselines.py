"""Architectures to hold a model with learned ranks against."""

from dataclasses import replace
from typing import Any

import keras

from examples.language_model.architecture import SIZES, Architecture
from examples.language_model.model import build_model


def dense_twin(architecture: Architecture) -> Architecture:
    """The same without tensor trains."""
    return replace(architecture, layers="dense", embedding_rank=None, projection_rank=None)


def fixed_rank_twin(architecture: Architecture, reached: dict[str, Any]) -> Architecture:
    """One rank for all bands of the table and one for all projections.

    Each is the largest that takes no more numbers than were reached.

    Args:
        architecture: The model that began with larger ranks.
        reached: The results of its run.
    """
    first, second = (
        build_model(replace(architecture, embedding_rank=rank, projection_rank=rank))
        for rank in (1, 2)
    )

    def rank_of(part: str) -> int:
        # Every train has one bond, so that its size is in proportion to its rank.
        least = _count(first, part)
        return 1 + (reached[f"{part}_parameters"] - least) // (_count(second, part) - least)

    return replace(architecture, embedding_rank=rank_of("table"), projection_rank=rank_of("block"))


def _count(model: keras.Model, part: str) -> int:
    return sum(layer.count_params() for layer in model.layers if part in layer.name)


def low_rank_twin(architecture: Architecture, reached: dict[str, Any]) -> Architecture:
    """One matrix product for the whole table, with as many numbers, and dense projections."""
    of_a_rank = architecture.vocabulary + SIZES[architecture.size].width
    rank = max(1, reached["table_parameters"] // of_a_rank)
    return replace(architecture, layers="low-rank", embedding_rank=rank, projection_rank=None)
