from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import keras

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import retrace

# What all layers take together, by the ranks of each.
RankSize = Callable[[Sequence[Sequence[int]]], float]


class SteeredRegularizer(keras.regularizers.Regularizer):
    """Base of the regularizers that a steering attaches.

    A model that was saved in the middle of a training holds them. When training goes on, they show
    that the layer had no regularizer of its own.
    """


class Steering(ABC):
    """Base of the ways to regularize ranks towards a target. To write your own, override `begin`.

    `RankDiscretization(budget, ..., steering=...)` calls the methods. What `begin` attaches to the
    layers is dropped with the last truncation, like any rank regularizer.

    Example:
        >>> import dart_keras as dk
        >>> class Constant(Steering):
        ...     def begin(self, model, layers, size, limit, rows=None):
        ...         for layer in layers:
        ...             self.attach(model, layer, dk.regularizers.GroupLasso(0.1))
        >>> layer = dk.layers.TTDense(16, ranks=4)
        >>> model = keras.Sequential([keras.Input((16,)), layer])
        >>> Constant().begin(model, [layer], size=lambda ranks: 0, limit=100)
        >>> layer.rank_regularizer
        GroupLasso(strength=0.1)
    """

    @abstractmethod
    def begin(
        self,
        model: keras.Model,
        layers: Sequence[TTLayer],
        size: RankSize,
        limit: float,
        rows: int | None = None,
    ) -> None:
        """Attach regularizers, when training begins or goes on.

        Args:
            model: The model in training.
            layers: Its layers whose ranks are not final, in an order that stays.
            size: A function of the ranks of all these layers, d + 1 for each, that returns what
                they take together.
            limit: The most that they may take.
            rows: How many training rows an epoch has; `None` if unknown.
        """

    def begin_epoch(self, epoch: int) -> None:  # noqa: B027
        """Follow the training. Called at the beginning of an epoch, after a truncation.

        Args:
            epoch: The epoch that begins, from 0.
        """

    def end_epoch(self, epoch: int, logs: dict[str, Any]) -> None:  # noqa: B027
        """Follow the training. Called at the end of an epoch.

        Args:
            epoch: The epoch that ends, from 0.
            logs: Its logs, with `data_loss`, the loss without what regularizers add.
        """

    def largest_ranks(self, layers: Sequence[TTLayer]) -> list[tuple[int, ...]]:
        """Return the most that a truncation keeps; by default, the present ranks.

        Args:
            layers: Some of the layers that `begin` was given, all of them built.

        Returns:
            For each layer all d + 1 ranks.
        """
        return [layer.ranks for layer in layers]

    def get_state(self) -> dict[str, Any]:
        """Return what later epochs depend on, as a JSON-serializable dict; by default, nothing."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Go on from what `get_state` returned. Called after `begin`.

        Args:
            state: What it returned.
        """

    def attach(
        self, model: keras.Model, layer: TTLayer, regularizer: keras.regularizers.Regularizer
    ) -> bool:
        """Give a layer a rank regularizer, unless it has one of its own.

        Args:
            model: The model in training.
            layer: One of its layers.
            regularizer: The regularizer of each core.

        Returns:
            Whether the layer has the regularizer now.
        """
        present = layer.rank_regularizer
        if present is regularizer:
            return True
        if present is not None and not isinstance(present, SteeredRegularizer):
            return False
        layer.rank_regularizer = regularizer
        for core in layer.cores:
            core.regularizer = regularizer
        # A step that an earlier training has compiled knows nothing of it.
        retrace(model)
        return True
