"""Different selections for different layers."""

import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.selection import Selection


class SelectionMap(Selection):
    """Chooses among selections by the layer's name, as `keras.optimizers.OptimizerMap` does.

    So a table of embeddings and the projections behind it can have a budget each, or one part of a
    model its ranks by a tolerance and another by a budget.

    Args:
        default: For layers that no pattern matches.
        selections: Selections by regular expressions, each for the layers whose whole name it
            matches.

    Raises:
        ValueError: If an argument is no selection or no regular expression; when training begins,
            if two patterns match one layer, or a pattern matches none.

    Example:
        >>> from dart_keras.layers import TTDense, TTEmbedding
        >>> from dart_keras.selection import Budget, Energy
        >>> table, dense = TTEmbedding(100, 16, 8, name="table"), TTDense(16, 8, name="dense")
        >>> table.build(), dense.build((None, 16))
        (None, None)
        >>> selection = SelectionMap(Energy(0.5), {"table.*": Budget(300)})
        >>> ranks = dict(zip(["table", "dense"], selection.select([table, dense])))
        >>> ranks["table"] == Budget(300).select([table])[0]
        True
    """

    def __init__(self, default: Selection, selections: Mapping[str, Selection]) -> None:
        for selection in (default, *selections.values()):
            if not isinstance(selection, Selection):
                raise ValueError(
                    f"Expected selections of `dart_keras.selection`. Received: {selection!r}"
                )
        for pattern in selections:
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                raise ValueError(
                    f"Expected regular expressions. Received: {pattern!r} ({error})"
                ) from error
        self.default = default
        self.selections = dict(selections)

    def select(self, layers: Sequence[TTLayer]) -> list[tuple[int, ...]]:
        """All d + 1 ranks of each layer, by its own selection.

        Raises:
            ValueError: If two patterns match one layer; from the selections.
        """
        found: dict[int, tuple[int, ...]] = {}
        for _, selection, part in self._parts(layers):
            found.update(zip(map(id, part), selection.select(part), strict=True))
        return [found[id(layer)] for layer in layers]

    def effective_ranks(self, layers: Sequence[TTLayer]) -> np.ndarray:
        """Those of every selection, one after the other."""
        return np.concatenate([each.effective_ranks(part) for _, each, part in self._parts(layers)])

    def is_settled(self, layers: Sequence[TTLayer]) -> bool:
        """Whether every selection is."""
        return all(each.is_settled(part) for _, each, part in self._parts(layers))

    def begin(self, model: keras.Model, layers: Sequence[TTLayer]) -> None:
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
            selection.begin(model, part)

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
