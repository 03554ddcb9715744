from collections.abc import Sequence
from typing import Any

import keras

from dart_keras.callbacks.convergence import Convergence
from dart_keras.distribution.replicas import as_on_chief
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.selection import Selection
from dart_keras.utils.argument_checks import is_integer


class TruncationTimes:
    """When to truncate: after given epochs, or when ranks have come to rest.

    Args:
        epoch: As for `RankDiscretization`, like all of them.
        when: As there.
        patience: As there.
        tolerance: As there.

    Raises:
        ValueError: If an argument is not valid.
    """

    def __init__(
        self, epoch: int | Sequence[int] | None, when: str | None, patience: int, tolerance: float
    ) -> None:
        epochs: list[Any] = list(epoch) if isinstance(epoch, Sequence) else [epoch]
        if epoch is not None and not (epochs and all(is_integer(e) and e >= 1 for e in epochs)):
            raise ValueError(
                "Expected `epoch` to be a positive integer or a sequence of them. "
                f"Received: epoch={epoch!r}"
            )
        if when not in (None, "converged"):
            raise ValueError(f"Expected `when` to be 'converged' or None. Received: when={when!r}")
        if epoch is None and when is None:
            raise ValueError(
                "Expected `epoch`, `when='converged'` or both; only a budget of "
                "`dart_keras.budgets` needs none of them. Received: epoch=None, when=None"
            )
        if not is_integer(patience) or patience < 1 or not tolerance >= 0:
            raise ValueError(
                "Expected `patience` to be a positive integer and `tolerance` at least 0. "
                f"Received: patience={patience!r}, tolerance={tolerance!r}"
            )
        self.epochs: list[int] = sorted(e for e in epochs if e is not None)
        self.when = when
        self.convergence = Convergence(patience, tolerance)
        self.converged = False
        self._begun = -1

    def begin_training(self) -> None:
        """Forget all that was seen of an earlier training."""
        self._begun = -1
        self.restart()

    def begins(self, epoch: int) -> bool:
        """Return whether an epoch begins for the first time.

        One that was interrupted begins again, with ranks that were already looked at.
        """
        begins, self._begun = epoch > self._begun, max(epoch, self._begun)
        return begins

    def is_due(self, epoch: int) -> bool:
        """Return whether to truncate after so many epochs."""
        return self.is_last(epoch) or epoch in self.epochs

    def is_last(self, epoch: int) -> bool:
        """Return whether a truncation after so many epochs makes the ranks final."""
        # Also where training was resumed beyond the epoch, from weights saved before it.
        return self.converged or (bool(self.epochs) and epoch >= self.epochs[-1])

    def update(
        self, model: keras.Model, layers: list[TTLayer], selection: Selection, data: Any
    ) -> None:
        """Look at the end of an epoch whether ranks have come to rest.

        Args:
            model: The model in training.
            layers: The layers that are to be truncated, all of them built.
            selection: Which ranks are kept.
            data: Calibration data for the selection.
        """
        self.converged = bool(
            as_on_chief([model], self._has_converged(model, layers, selection, data))
        )

    def _has_converged(
        self, model: keras.Model, layers: list[TTLayer], selection: Selection, data: Any
    ) -> bool:
        if not all(layer.is_finite for layer in layers):
            return False
        effective = selection.effective_ranks(layers)
        selected = selection.select(model, layers, data)
        # Ranks also rest before a weak regularizer has done anything; that is no reason to cut.
        cuts_some = any(ranks != layer.ranks for ranks, layer in zip(selected, layers, strict=True))
        at_rest = self.convergence.update(effective, selected)
        return at_rest and cuts_some and selection.is_settled(layers)

    def restart(self) -> None:
        """Forget how long ranks have been at rest."""
        self.convergence.restart()
        self.converged = False

    def get_state(self) -> dict[str, Any]:
        """Return the state, as a JSON-serializable dict: mainly how long ranks were at rest."""
        return {
            "begun": self._begun,
            "converged": self.converged,
            "convergence": self.convergence.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        self._begun = state["begun"]
        self.converged = state["converged"]
        self.convergence.set_state(state["convergence"])
