from collections.abc import Sequence
from typing import Any

import numpy as np


class Convergence:
    """Tells when effective ranks have stopped moving.

    Args:
        patience: After how many epochs in a row without movement.
        tolerance: The largest relative change of an effective rank from one epoch to the next that
            counts as none.
    """

    def __init__(self, patience: int, tolerance: float) -> None:
        self.patience = patience
        self.tolerance = tolerance
        self.restart()

    def restart(self) -> None:
        """Forget what was seen."""
        self._previous: tuple[np.ndarray, list[tuple[int, ...]]] | None = None
        self._quiet_epochs = 0

    def update(self, effective_ranks: np.ndarray, ranks: Sequence[tuple[int, ...]]) -> bool:
        """Take in one more epoch.

        Args:
            effective_ranks: One real number a bond.
            ranks: The ranks that a cut would keep now, which must not move either.

        Returns:
            Whether all have been at rest for `patience` epochs.
        """
        if self._previous is not None:
            before, ranks_before = self._previous
            moved = np.max(np.abs(effective_ranks - before) / before, initial=0.0)
            quiet = bool(moved <= self.tolerance) and list(ranks) == ranks_before
            self._quiet_epochs = self._quiet_epochs + 1 if quiet else 0
        self._previous = (effective_ranks, list(ranks))
        return self._quiet_epochs >= self.patience

    def get_state(self) -> dict[str, Any]:
        """Return what was seen, as a JSON-serializable dict."""
        before, ranks = self._previous or (np.zeros(0), [])
        return {
            "effective_ranks": before.tolist(),
            "ranks": [list(each) for each in ranks],
            "quiet_epochs": self._quiet_epochs,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        ranks = [tuple(each) for each in state["ranks"]]
        self._previous = (np.array(state["effective_ranks"]), ranks) if ranks else None
        self._quiet_epochs = state["quiet_epochs"]
