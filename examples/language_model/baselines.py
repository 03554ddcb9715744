"""Architectures to hold a model with learned ranks against."""

from dataclasses import replace
from typing import Any

from examples.language_model.architecture import SIZES, Architecture
from examples.language_model.model import build_model


def dense_twin(architecture: Architecture) -> Architecture:
    """The same without tensor trains."""
    return replace(architecture, layers="dense", embedding_rank=None, projection_rank=None)


def fixed_rank_twin(architecture: Architecture, reached: dict[str, Any]) -> Architecture:
    """One rank for every tensor train, the largest that takes no more numbers than were reached.

    Args:
        architecture: The model that began with larger ranks.
        reached: The results of its run.
    """
    # Every train has one bond, so that its size is in proportion to its rank.
    first = build_model(replace(architecture, embedding_rank=1, projection_rank=1))
    rest = build_model(replace(architecture, embedding_rank=2, projection_rank=2))
    of_a_rank = rest.count_params() - first.count_params()
    rank = 1 + (reached["parameters"] - first.count_params()) // of_a_rank
    return replace(architecture, embedding_rank=rank, projection_rank=rank)


def low_rank_twin(architecture: Architecture, reached: dict[str, Any]) -> Architecture:
    """One matrix product for the whole table, with as many numbers, and dense projections."""
    of_a_rank = architecture.vocabulary + SIZES[architecture.size].width
    rank = max(1, reached["table_parameters"] // of_a_rank)
    return replace(architecture, layers="low-rank", embedding_rank=rank, projection_rank=None)
