"""Ordered dropout of rank slices, so that the first ones matter most."""

from typing import Any

import keras
from keras import ops

from dart_keras.layers.slice_gates import SliceGates


@keras.saving.register_keras_serializable("dart_keras")
class NestedGates(SliceGates):
    """Masks that keep a random share of the rank slices in training, and all of them otherwise.

    At every call in training a share is drawn from the uniform distribution over 0 to 1. Each bond
    of the layer uses that share of its rank slices, the first ones, and at least one: nested
    dropout (Rippel, Gelbart and Adams 2014, "Learning Ordered Representations with Nested Dropout",
    section 3) of the ranks of a factorized layer (Horvath et al. 2024, "Maestro: Uncovering
    Low-Rank Structures via Trainable Decomposition", section 3). Gates with the same seed draw the
    same shares.

    `dart_keras.callbacks.NestedRanks` adds this layer to the layers of a model.

    Args:
        ranks: All d + 1 ranks of the layer.
        seed: Seed of the draws, an integer or `None`.

    Example:
        >>> gates = NestedGates((1, 4, 1), seed=0)
        >>> [first, second] = gates([ops.ones((1, 2, 2, 4)), ops.ones((4, 2, 2, 1))], training=True)
        >>> [float(x) for x in first[0, 0, 0]]
        [1.0, 0.0, 0.0, 0.0]
    """

    choose_ranks = False

    def masks(self, training: bool) -> list[Any]:
        """Return for each bond the mask of a drawn share; outside training none."""
        if not training:
            return []
        share = keras.random.uniform((), dtype="float32", seed=self.seed_generator)
        # A share of exactly 0 keeps the first slice, too.
        return [
            ops.cast(ops.arange(rank, dtype="float32") <= share * rank, "float32")
            for rank in self.ranks[1:-1]
        ]

    def selected_ranks(self) -> tuple[int, ...]:
        """Return all d + 1 ranks: inference uses all slices."""
        return self.ranks
