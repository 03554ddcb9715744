"""Different selections for different layers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.budgets import ArenaBytes, Budget, FlashBytes, LossIncrease
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.budget_selection import selection_for
from dart_keras.selection.selection import Selection


class SelectionMap(Selection):
    """A selection or a budget for each layer, by its name, as in `keras.optimizers.OptimizerMap`.

    So an embedding table and the projections after it can have a budget each, or one part of a
    model its ranks by a tolerance and another by a budget.

    Args:
        default: For layers that no pattern matches: a selection or a budget of `dart_keras.budgets`
            other than `FlashBytes`, `ArenaBytes` and `LossIncrease`, which are limits of the whole
            model.
        selections: The same by regular expressions, each for the layers whose whole name it
            matches. They share a budget.

    Raises:
        ValueError: If an argument is none of these or no regular expression; when training begins,
            if two patterns match one layer, or a pattern matches none.

    Example:
        >>> from dart_keras.budgets import Parameters, RelativeError
        >>> from dart_keras.layers import TTDense, TTEmbedding
        >>> model = keras.Sequential([
        ...     keras.Input((), dtype="int32"),
        ...     TTEmbedding(100, 16, ranks=8, name="table"),
        ...     TTDense(16, ranks=8, name="dense"),
        ... ])
        >>> selection = SelectionMap(RelativeError(0.99), {"table.*": Parameters(300)})
        >>> selection.select(model, model.layers)
        [(1, 3, 1), (1, 1, 1)]
    """

    def __init__(
        self, default: Selection | Budget, selections: Mapping[str, Selection | Budget]
    ) -> None:
        for given in (default, *selections.values()):
            if isinstance(given, FlashBytes | ArenaBytes | LossIncrease):
                raise ValueError(
                    "Expected budgets of some of the layers. A file and a loss are those of the "
                    "whole model: give their budget to `RankDiscretization` by itself. "
                    f"Received: {given}"
                )
        for pattern in selections:
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                raise ValueError(
                    f"Expected regular expressions. Received: {pattern!r} ({error})"
                ) from error
        self.default = selection_for(default)
        self.selections = {pattern: selection_for(given) for pattern, given in selections.items()}

    def select(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> list[tuple[int, ...]]:
        """Return all d + 1 ranks of each layer, by its own selection.

        Raises:
            ValueError: If two patterns match one layer; from the selections.
        """
        found: dict[int, tuple[int, ...]] = {}
        for _, selection, part in self._parts(layers):
            ranks = selection.select(model, part, calibration_data)
            found.update(zip(map(id, part), ranks, strict=True))
        return [found[id(layer)] for layer in layers]

    def effective_ranks(self, layers: Sequence[TTLayer]) -> np.ndarray:
        """Return those of every selection, one after the other."""
        return np.concatenate([each.effective_ranks(part) for _, each, part in self._parts(layers)])

    def is_settled(self, layers: Sequence[TTLayer]) -> bool:
        """Return whether every selection is."""
        return all(each.is_settled(part) for _, each, part in self._parts(layers))

    def begin(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> None:
        """Begin every selection.

        Raises:
            ValueError: If there are layers, but a pattern matches none of them.
        """
        parts = self._parts(layers)
        if layers and (unused := set(self.selections) - {pattern for pattern, *_ in parts}):
            raise ValueError(
                f"Expected patterns of the names {[layer.name for layer in layers]}. "
                f"Received: {sorted(unused)}, which match none"
            )
        for _, selection, part in parts:
            selection.begin(model, part, calibration_data)

    def on_epoch(self, layers: Sequence[TTLayer], epoch: int) -> None:
        """Tell every selection."""
        for _, selection, part in self._parts(layers):
            selection.on_epoch(part, epoch)

    def _parts(
        self, layers: Sequence[TTLayer]
    ) -> list[tuple[str | None, Selection, list[TTLayer]]]:
        parts: dict[str | None, list[TTLayer]] = {}
        for layer in layers:
            parts.setdefault(self._pattern_of(layer.name), []).append(layer)
        return [
            (pattern, self.default if pattern is None else self.selections[pattern], part)
            for pattern, part in parts.items()
        ]

    def _pattern_of(self, name: str) -> str | None:
        matching = [pattern for pattern in self.selections if re.fullmatch(pattern, name)]
        if len(matching) > 1:
            raise ValueError(
                f"Expected one pattern for each layer. Received: {matching} for {name!r}"
            )
        return matching[0] if matching else None
