"""When ranks grow and when they are cut, where only a target is given."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.budgets import Microseconds, MultiplyAdds
from dart_keras.callbacks.truncation_times import TruncationTimes
from dart_keras.distribution.replicas import as_on_chief
from dart_keras.layers.resizing import resize
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.file_budget import FileBudget
from dart_keras.selection.layer_budget import LayerBudget, multiply_adds_of, parameters_of
from dart_keras.selection.loss_selection import LossSelection
from dart_keras.selection.rank_growth import filling_ranks, grown_ranks
from dart_keras.selection.selection import BudgetSelection
from dart_keras.selection.smaller_copies import LayerRanks
from dart_keras.tensor_train.ranks import complete_ranks
from dart_keras.utils.argument_checks import is_integer

# Shares of the epochs of `fit`. With a size, an early cut leaves more training to the smaller
# model. A loss has to be near its end before it says how small the model may be; what is trained on
# after a cut may become smaller still.
EARLIEST_CUT = 0.15
LATEST_CUT = 0.25
CUTS_BY_LOSS = (0.5, 0.75)
# How many times larger than the budget the layers grow at first, so that there is a choice; and not
# to less than what they have without an argument `ranks`, because bonds may differ much.
OVERSIZE = 2.0
USUAL_RANK = 8
# Ranks say something if two halves of the batches disagree about no larger a share of them.
MOST_DISAGREEMENT = 0.1


class AutomaticRanks(TruncationTimes):
    """Grows ranks that are all in use, and cuts when the data agree about the ranks to keep.

    Layers that are smaller than a budget get ranks beyond its size before the first epoch. After
    every epoch, the ranks are selected that a cut would keep now. A bond that would keep all of its
    ranks gets twice as many. When none grows and two halves of the batches select nearly the same
    ranks, they are cut. That is not before `EARLIEST_CUT` of the epochs and not after `LATEST_CUT`,
    so that most of the training is that of the smaller model; by loss, after `CUTS_BY_LOSS`.
    Where a look takes long, because it measures a loss or a file, there are looks after 1, 2, 4,
    8... epochs only.

    All of it depends on the epoch, the weights and the batches, and by loss on the least one until
    then. So a training that was interrupted goes on as it would have.

    Args:
        selection: The selection that a budget stands for.
    """

    def __init__(self, selection: BudgetSelection) -> None:
        super().__init__(1, None, 1, 0.0)
        self.epochs = []  # `schedule` sets them.
        self._selection = selection
        self._planned = 0
        # The epoch with which the model began to train, once that is known.
        self._first: int | None = None
        self._earliest = 1
        counts_arithmetic = isinstance(selection.budget, MultiplyAdds | Microseconds)
        self._compared = multiply_adds_of if counts_arithmetic else parameters_of

    def begin_training(self) -> None:
        """Forget all that was seen of an earlier training."""
        super().begin_training()
        self._first = None

    def plan(self, planned: Any) -> None:
        """Take the argument `epochs` of `fit`, `None` if it is not known.

        Raises:
            ValueError: If there cannot be an epoch after a cut.
        """
        self._planned = planned if is_integer(planned) else 0
        self._check_count(self._planned, planned)

    def schedule(self, epoch: int, is_new: bool) -> list[int]:
        """Return after how many epochs to cut, the last one at the latest.

        Args:
            epoch: The epoch that begins.
            is_new: Whether the model was not trained before.

        Raises:
            ValueError: If the epochs that are left to a new model leave none after a cut.
        """
        if self._first is None:
            self._first = epoch if is_new else 0
            self._check_count(self._planned - self._first, self._planned)
        first, count = self._first, self._planned - self._first
        by_loss = isinstance(self._selection, LossSelection)
        shares = CUTS_BY_LOSS if by_loss else (LATEST_CUT,)
        after = {min(max(1, round(share * count)), count - 1) for share in shares}
        self.epochs = sorted(first + each for each in after)
        self._earliest = self.epochs[0] if by_loss else first + max(1, round(EARLIEST_CUT * count))
        return self.epochs

    def _check_count(self, count: int, planned: Any) -> None:
        if count < 2:
            raise ValueError(
                "RankDiscretization expected at least 2 epochs, to find the ranks and to train "
                "with them. Give more, or `epoch` where there is no `fit` that tells how many. "
                f"Received: epochs={planned!r}"
                + (f", initial_epoch={self._first}" if self._first else "")
            )

    def fill(self, model: keras.Model, layers: Sequence[TTLayer], batches: Any) -> bool:
        """Let layers grow that are smaller than the budget, where there is one of size.

        Args:
            model: The model in training.
            layers: The layers that are to be truncated, all of them built.
            batches: Batches for the selection, or `None`.

        Returns:
            Whether any rank has grown.
        """
        if isinstance(self._selection, LayerBudget):
            cost = self._selection.cost
            usual = [complete_ranks(USUAL_RANK, x.input_modes, x.output_modes) for x in layers]
            limit = max(OVERSIZE * self._selection.budget.n, sum(map(cost, layers, usual)))
            ranks = filling_ranks(layers, cost, limit, self._compared)
            return self._enlarge(model, layers, ranks, 0)
        before = [layer.ranks for layer in layers]
        if isinstance(self._selection, FileBudget):
            while self._enlarge(model, layers, self._in_demand(model, layers, batches), 0):
                pass
        return before != [layer.ranks for layer in layers]

    def grow(self, epoch: int, model: keras.Model, layers: Sequence[TTLayer], batches: Any) -> bool:
        """Look at the ranks at the start of an epoch, and let those grow that are all in use.

        Args:
            epoch: The epoch that begins.
            model: The model in training.
            layers: The layers that are to be truncated, all of them built.
            batches: Batches for the selection, or `None`.

        Returns:
            Whether any rank has grown.
        """
        done = epoch - (self._first or 0)
        if done == 0:
            return self.fill(model, layers, batches)
        looks_fast = isinstance(self._selection, LayerBudget)
        has_cut = epoch >= self.epochs[0]
        if has_cut or self.is_due(epoch) or not (looks_fast or done & (done - 1) == 0):
            return False
        if self._enlarge(model, layers, self._in_demand(model, layers, batches), epoch):
            return True
        if epoch >= self._earliest:
            self.converged = bool(as_on_chief([model], self._agree(model, layers, batches)))
        return False

    def get_state(self) -> dict[str, Any]:
        """Return the state, as a JSON-serializable dict."""
        return {**super().get_state(), "first_epoch": self._first}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        super().set_state(state)
        self._first = state["first_epoch"]

    def _enlarge(
        self, model: keras.Model, layers: Sequence[TTLayer], ranks: LayerRanks, seed: int
    ) -> bool:
        # Workers that train together must not decide differently.
        ranks = [tuple(map(int, as_on_chief([model], each))) for each in ranks]
        if all(new == x.ranks for x, new in zip(layers, ranks, strict=True)):
            return False
        rng = np.random.default_rng(seed)
        resize(
            [
                # What was not trained has nothing to lose, and its new ranks a fair beginning.
                x.plan_redraw(new) if x.is_untrained else x.plan_growth(new, rng)
                for x, new in zip(layers, ranks, strict=True)
                if new != x.ranks
            ]
        )
        return True

    def _in_demand(self, model: keras.Model, layers: Sequence[TTLayer], batches: Any) -> LayerRanks:
        used = self._selection.in_use(model, layers, batches)
        return [
            grown_ranks(layer, 2, _saturated(ranks, layer.ranks), self._compared)
            for layer, ranks in zip(layers, used, strict=True)
        ]

    def _agree(self, model: keras.Model, layers: Sequence[TTLayer], batches: Any) -> bool:
        if not isinstance(self._selection, LayerBudget) or not isinstance(batches, list):
            return True
        one, other = (
            np.concatenate(self._selection.select(model, layers, batches[half::2]))
            for half in (0, min(1, len(batches) - 1))
        )
        return bool(np.abs(one - other).sum() <= MOST_DISAGREEMENT * one.sum())


def _saturated(selected: Sequence[int], present: Sequence[int]) -> list[int]:
    return [bond for bond in range(1, len(present) - 1) if selected[bond] >= present[bond]]
