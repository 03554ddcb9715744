"""What a user should change about a truncation, judged by what it did."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import warn_in_fit
from dart_keras.selection.selection import Selection

# Strengths from a thousandth to a hundred times the recommended one were tried on the models of the
# README, of the guide to training and of `benchmarks/planted_ranks.py`; the recommended one also on
# the demo's.

# The least that effective ranks fall by, as a share, if something drives them. They fell by 0.29 to
# 0.70 with recommended settings, and by 0.001 to 0.017 where a cut found nothing to remove.
LEAST_FALL = 0.02
# From an epoch's data loss to that of the epoch after the cut. It was 0.86 to 1.12 times as large
# with recommended settings, and 1.44 times where a budget took ranks that were in use.
LARGEST_RISE = 1.3
# The data loss before the cut, as a share of the first epoch's, above which nothing was learned. It
# was 0.02 to 0.4 with recommended settings, and 1.1 at a hundred times the strength. The penalty
# alone says little: with recommended settings, too, it was 9 to 60 times the data loss.
LARGEST_REST = 0.9
# Before that, learning may just not have begun.
FEWEST_EPOCHS = 3

_KEEP_MORE = "keep more (a smaller `delta` of `Threshold`, a larger budget)"
_KEEP_LESS = "keep less (a larger `delta` of `Threshold`, a smaller budget)"


class TruncationWarnings:
    """Warns of truncations that went wrong, of each kind once in a training.

    Args:
        selection: Which ranks are kept.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._said: set[str] = set()
        self._first_ranks: np.ndarray | None = None
        self._fall: float | None = None
        self._has_open_layers = False
        self._epochs = 0
        self._first_loss: float | None = None
        self._last_loss: float | None = None
        self._penalty = 0.0
        self._loss_before_cut: float | None = None
        self._has_removed = False
        self._driven = False

    def say(self, kind: str, text: str) -> None:
        """Warn, unless it was said in this training.

        Args:
            kind: What it is about.
            text: What goes after the name of the callback.
        """
        if kind not in self._said:
            self._said.add(kind)
            warn_in_fit(f"RankDiscretization {text}")

    def begin_training(self, frozen: Sequence[str], has_open_layers: bool) -> None:
        """Judge which layers are to be truncated.

        Args:
            frozen: The names of layers that are not, because they are frozen.
            has_open_layers: Whether some are to be truncated.
        """
        if frozen:
            self.say(
                "frozen",
                f"leaves the frozen layers {list(frozen)} as they are. To truncate them, too, give "
                "it `include_frozen=True`",
            )
        elif not has_open_layers:
            self._say_closed()

    def say_no_batches(self) -> None:
        """Warn that the loss cannot tell which ranks it needs."""
        self.say(
            "no batches",
            "gives ranks by the norms of the layers, not by what the loss needs: the data of `fit` "
            "can be gone through only once, or are no pairs of arrays, or `compile` was given no "
            "loss. Give `calibration_data`, some dozens of batches, and a loss",
        )

    def compare_loss(
        self,
        last: float | None,
        limit: float | None,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Judge the loss that a training has ended with.

        Args:
            last: The validation loss of the last epoch, without the rank penalty, if it is known.
            limit: The largest that the truncation allowed, if it went by the loss.
            callbacks: Those of the training. One that restores the best weights decides what is
                left of it.
        """
        restores = any(getattr(each, "restore_best_weights", False) for each in callbacks)
        if last is not None and limit is not None and not restores and not last <= limit:
            self.say(
                "loss limit",
                f"was to keep the validation loss at {limit:.4g} or below, and the last epoch "
                f"ended with {last:.4g}. Train for more epochs, with a learning rate that falls, "
                "keep the best epoch by an `EarlyStopping` that is named in `restarts`, or allow a "
                "larger increase",
            )

    def compare_epochs(self, last_cut: int, planned: int) -> None:
        """Judge whether training goes on after the last truncation.

        Args:
            last_cut: After how many epochs it comes.
            planned: The epochs of `fit`.
        """
        if last_cut == planned:
            self.end_with_cut(planned)
        elif last_cut > planned:
            self.say(
                "no cut",
                f"will make no final cut: it is to come after {last_cut} epochs, and `fit` has "
                f"{planned}. Give a smaller `epoch`, or train for more epochs",
            )

    def begin_epoch(self, epoch: int, layers: Sequence[TTLayer]) -> None:
        """Note the ranks that training begins with. A resumed one begins in the middle.

        Args:
            epoch: The epoch that begins.
            layers: The layers that are to be truncated.
        """
        if epoch == 0 and layers:
            self._first_ranks = self._effective_ranks(layers)
        if not layers:
            self.end_closed()
        self._has_open_layers = bool(layers)

    def end_epoch(self, epoch: int, data_loss: float | None, penalty: float) -> None:
        """Judge the loss of an epoch, if it is the first after a truncation.

        Args:
            epoch: The epoch.
            data_loss: Its loss without the rank penalty, if it is known.
            penalty: The rank penalty.
        """
        before, self._loss_before_cut = self._loss_before_cut, None
        if data_loss is not None and before is not None and data_loss > LARGEST_RISE * before > 0:
            self.say(
                "loss after",
                f"has removed what the model needs: the loss went from {before:.3g} before the cut "
                f"to {data_loss:.3g} in the epoch after it (without the rank penalty). "
                f"Train longer before the cut, increase the strength of the rank regularizer, or "
                f"{_KEEP_MORE}",
            )
        if epoch == 0:
            self._first_loss = data_loss
        self._epochs = epoch + 1
        self._last_loss, self._penalty = data_loss, penalty

    def before_cut(self, layers: Sequence[TTLayer], cuts: Sequence[dict[str, Any]]) -> None:
        """Note what the model is like before a truncation.

        Args:
            layers: The layers that are to be truncated.
            cuts: The truncations so far.
        """
        self._has_removed = any(cut["ranks_after"] != cut["ranks_before"] for cut in cuts)
        self._loss_before_cut = self._last_loss
        self._fall = None
        self._driven = any(layer.rank_regularizer or layer.rank_gates for layer in layers)
        first, now = self._first_ranks, self._effective_ranks(layers) if self._driven else None
        if not self._has_removed and first is not None and now is not None:
            known = first > 0
            if len(first) == len(now) and np.any(known):
                self._fall = float(1 - np.mean(now[known]) / np.mean(first[known]))

    def after_cut(self, cut: dict[str, Any], is_last: bool) -> None:
        """Judge a truncation.

        Args:
            cut: Its entry in `RankDiscretization.cuts`.
            is_last: Whether the ranks are final.
        """
        after = cut["ranks_after"]
        removes = after != cut["ranks_before"]
        is_weak = self._fall is not None and self._fall < LEAST_FALL
        if is_last and not removes and not self._has_removed:
            advice = _KEEP_LESS
            if is_weak:
                advice = f"{self._weakness()}, or {_KEEP_LESS}"
            self.say("nothing removed", f"has removed nothing: all ranks are as before. {advice}")
        elif removes and max(rank for ranks in after.values() for rank in ranks) == 1:
            weaker = "lower the strength of the rank regularizer, or " if self._driven else ""
            self.say("rank 1", f"has left rank 1 at every bond: {weaker}{_KEEP_MORE}")
        elif removes and is_weak:
            self.say("weak", f"has removed ranks that nothing had weakened. {self._weakness()}")
        self._judge_learning()
        self._has_open_layers = not is_last

    def end_with_cut(self, epochs: int) -> None:
        """Warn that no training follows a truncation.

        Args:
            epochs: After how many epochs it comes.
        """
        self.say(
            "late",
            f"cuts after the last epoch, {epochs}: no training follows that repairs what it costs, "
            "and the losses in the logs are those of the uncut model. Train for more epochs, or "
            "give a smaller `epoch`",
        )

    def end_without_cut(
        self, epochs: int, wanted: str, callbacks: Sequence[keras.callbacks.Callback]
    ) -> None:
        """Warn that training has ended before the last truncation.

        Args:
            epochs: The epochs that were trained.
            wanted: When the truncation was to come.
            callbacks: Those of the training.
        """
        stopping = [type(x).__name__ for x in callbacks if getattr(x, "stopped_epoch", 0)]
        ended = "training ended"
        advice = "Train for more epochs, give a smaller `epoch`"
        if stopping:
            ended = f"{' and '.join(stopping)} stopped the training"
            advice = "Let that callback wait longer (`start_from_epoch`), give a smaller `epoch`"
        self.say(
            "no cut",
            f"has made no final cut: {ended} after {epochs} epochs, before {wanted} came true. "
            f"{advice}, or increase the strength of the rank regularizer",
        )

    def end_closed(self) -> None:
        """Warn if something else has made the ranks final during the training."""
        if self._has_open_layers:
            self._say_closed()

    def _say_closed(self) -> None:
        self.say(
            "closed",
            "has nothing to cut: the ranks of all layers are final, by an earlier truncation or by "
            "another callback. Leave it out, or give one callback all epochs: `epoch=[4, 6]`. "
            "`dart_keras.compression.compress` makes a trained model smaller",
        )

    def _weakness(self) -> str:
        return (
            f"The effective ranks have changed by {-(self._fall or 0.0):+.1%} since training "
            "began: increase the strength of the rank regularizer, or train longer before the cut "
            "or with a higher learning rate"
        )

    def _judge_learning(self) -> None:
        first, last = self._first_loss, self._last_loss
        if first is None or last is None or self._epochs < FEWEST_EPOCHS:
            return
        if not self._penalty > last > LARGEST_REST * first > 0:
            return
        self.say(
            "loss before",
            f"finds a model that has learned nothing: its loss was {first:.3g} in the first epoch "
            f"and {last:.3g} in the last before the cut (without the rank penalty, which is "
            f"{self._penalty:.3g}). Lower the strength of the rank regularizer",
        )

    def _effective_ranks(self, layers: Sequence[TTLayer]) -> np.ndarray | None:
        if not layers or not all(layer.built and layer.is_finite for layer in layers):
            return None
        return np.asarray(self._selection.effective_ranks(layers))
