from collections.abc import Sequence
from typing import Any

import keras

from dart_keras.budgets import Budget
from dart_keras.callbacks.automatic_ranks import AutomaticRanks
from dart_keras.callbacks.callback_order import (
    check_keep_best,
    check_same_model,
    restart,
    warn_of_readers_before,
)
from dart_keras.callbacks.fit_data import batches_of_fit, check_lasting, is_new
from dart_keras.callbacks.loss_target import LossTarget
from dart_keras.callbacks.rank_penalty import RankPenalty
from dart_keras.callbacks.steered_budget import begin_steering, check_steering
from dart_keras.callbacks.truncation import cuts_from_json, truncate_layers
from dart_keras.callbacks.truncation_times import TruncationTimes
from dart_keras.callbacks.truncation_warnings import TruncationWarnings
from dart_keras.callbacks.tt_layers import ranks_to_log, tt_layers_of
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import add_owner, callbacks_beside
from dart_keras.selection.budget_selection import selection_for
from dart_keras.selection.layer_budget import LayerBudget
from dart_keras.selection.loss_selection import LossSelection
from dart_keras.selection.selection import BudgetSelection, Selection
from dart_keras.steering.steering import Steering
from dart_keras.utils.representation import call_repr

# The names of what it logs, besides the ranks.
_LOGGED = r"rank_penalty|(val_)?data_loss|parameters|.*(?<!_effective)_rank_\d+"


class RankDiscretization(keras.callbacks.Callback):
    """A callback that truncates a model's TT layers to the ranks that a selection keeps.

    At the beginning of an epoch of `fit` the layers' cores are replaced by smaller ones of static
    shape, by TT-rounding, and training goes on with them. The optimizer keeps its iterations, its
    learning rate or schedule and the state of every variable that stays; the state of the cores
    goes through the same linear maps as the cores. With the last cut the ranks are final: rank
    regularizers and rank gates are dropped and `layer.ranks_fixed` is set, which goes into saved
    files.

    With a budget and neither `epoch` nor `when`, nothing else has to be found by the user. Layers
    smaller than the budget grow, and so do bonds that need all of their ranks, but no layer beyond
    the size of a dense one. The cut comes as soon as the batches of training agree about the ranks
    to keep, at the latest after 25 % of the epochs; for `LossIncrease`, after half of them and
    again after three quarters.

    A run that is resumed, by `BackupAndRestore` or by loading weights, takes over the ranks of the
    file; layers whose ranks are final are left alone. With `when="converged"` or `LossIncrease`,
    keep `get_state()` beside the weights and give it to `set_state` when training resumes, or
    earlier epochs are forgotten. Layers that are frozen when a cut is due are left alone, too.

    The logs get `<layer>_rank_<bond>` for every bond and `parameters`, of the model that the epoch
    trained; `rank_penalty`, what regularizers and gates have added to the loss on average; and the
    losses without it, `data_loss` and `val_data_loss`. Put the callback before those that read
    logs.

    What looks wrong is a warning, once in a training: a cut that removes nothing, leaves rank 1 or
    ruins the loss, a loss above its limit, no training after the cut, and the like.

    Args:
        selection: Which ranks to keep: a budget of `dart_keras.budgets`, or a
            `dart_keras.selection`: `Threshold`, `GumbelSoftmax`, a `SelectionMap` of selections and
            budgets, or your own.
        epoch: After how many epochs to cut; a sequence to cut in several steps.
        when: `"converged"` to cut when the effective ranks have stopped moving and the selection
            would cut at least one; with `epoch` as well, whichever comes first.
        patience: For `when="converged"`, for how many epochs in a row the effective ranks must not
            move.
        tolerance: For `when="converged"`, the largest relative change of an effective rank from
            epoch to epoch that counts as none.
        calibration_data: For budgets, batches as pairs of inputs and targets, some dozens of them,
            in a list, a `tf.data.Dataset` or anything else that can be gone through again and
            again. Ranks then go where the model's loss needs them (Molchanov et al. 2019,
            "Importance Estimation for Neural Network Pruning"), and without data where they hold
            most of each layer's squared norm. With neither `epoch` nor `when`, batches of `fit`
            are taken by default. `FlashBytes` and `ArenaBytes` take inputs alone, too.
        restarts: Callbacks of the same `fit` that keep the best epoch so far: `EarlyStopping`,
            `ModelCheckpoint`, `ReduceLROnPlateau`, or your own with an attribute `best`. They start
            over when ranks change, since the best epoch of other ranks says nothing about these:
            `best` becomes their `baseline`, `None` where they have none, and their `on_train_begin`
            is called. Keras does not tell a callback of the others, so name them here.
        include_frozen: Whether layers with `trainable=False` are truncated, too.
        steering: With `Parameters` or `MultiplyAdds`, what regularizes the ranks towards the budget
            of layers without a rank regularizer: `dart_keras.steering.SteeredStrength`, `RankPrior`
            or your own. Its state is part of `get_state`.

    Attributes:
        cuts: One dictionary a cut: `epoch`, `ranks` before and after by layer name, `error` (the
            relative Frobenius error) by layer name, `parameters` of the model before and after.

    Raises:
        ValueError: If an argument is not valid; in training, if the model has no TT layers, if a
            callback of `restarts` is not one of `fit`, if the budget is out of reach, with the
            smallest that can be reached, if validation data or epochs are missing, if weights are
            not finite or if a cut would leave no rank. The model is then as it was.

    Example:
        >>> import numpy as np, dart_keras as dk
        >>> model = keras.Sequential([keras.Input((16,)), dk.layers.TTDense(16)])
        >>> model.compile("adam", "mse")
        >>> cut = dk.callbacks.RankDiscretization(dk.budgets.Parameters(100))
        >>> x = np.ones((8, 16), "float32")
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[cut])
        >>> model.layers[0].ranks
        (1, 3, 1)
    """

    def __init__(
        self,
        selection: Selection | Budget,
        epoch: int | Sequence[int] | None = None,
        when: str | None = None,
        patience: int = 2,
        tolerance: float = 0.01,
        calibration_data: Any = None,
        restarts: Sequence[keras.callbacks.Callback] = (),
        include_frozen: bool = False,
        steering: Steering | None = None,
    ) -> None:
        super().__init__()
        self.selection = selection_for(selection)
        self._automatic = (
            AutomaticRanks(self.selection)
            if epoch is None and when is None and isinstance(self.selection, BudgetSelection)
            else None
        )
        self._times = self._automatic or TruncationTimes(epoch, when, patience, tolerance)
        check_lasting(calibration_data)
        self.steering = check_steering(steering, self.selection)
        check_keep_best(restarts)
        self.calibration_data = calibration_data
        self.restarts, self.include_frozen = list(restarts), include_frozen
        self.epochs, self.when = self._times.epochs, when
        self.cuts: list[dict[str, Any]] = []
        self._epochs_done = 0
        self._penalty, self._loss = RankPenalty(), LossTarget(self.selection)

    def __repr__(self) -> str:
        return call_repr(self, selection=self.selection, epoch=self.epochs or None, when=self.when)

    def set_model(self, model: keras.Model) -> None:
        """Prepare the layers, before any callback can restore weights into them."""
        super().set_model(model)
        self._times.begin_training()
        self._epochs_done = 0
        self._penalty, self._loss = RankPenalty(), LossTarget(self.selection)
        self._layers = tt_layers_of(model, self)
        for layer in self._layers:
            add_owner(layer, model)
        self._warnings = TruncationWarnings(self.selection)
        self._were_open = bool(self._open_layers())
        self._begin_selection()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check the callbacks beside this one, the epochs of `fit`, and which layers are cut.

        Raises:
            ValueError: If one of them has not got the model that is trained.
        """
        check_same_model(self.restarts, self.model)
        if self._open_layers():
            self._loss.check()
        warn_of_readers_before(self, _LOGGED)
        if self.steering is not None:
            steps = (self.params or {}).get("steps")
            begin_steering(self.steering, self.model, self._open_layers(), self.selection, steps)
        closed = [layer for layer in self._layers if not (self.include_frozen or layer.trainable)]
        frozen = [layer.name for layer in closed if not layer.ranks_fixed]
        self._warnings.begin_training(frozen, self._were_open)
        planned = (self.params or {}).get("epochs")
        if self._automatic is not None and self._open_layers():
            self._automatic.plan(planned)
        elif self.when is None and planned is not None and self._open_layers():
            self._warnings.compare_epochs(self.epochs[-1], planned)

    @property
    def loss_limit(self) -> float | None:
        """The largest validation loss that the last cut allowed; `None` without a loss target."""
        return self._loss.limit

    def get_state(self) -> dict[str, Any]:
        """Return what later epochs depend on, as a JSON-serializable dict for `set_state`.

        To be taken at the end of an epoch, after this callback.
        """
        return {
            "cuts": self.cuts,
            "epochs_done": self._epochs_done,
            "least_loss": self._loss.least,
            **self._times.get_state(),
            "penalty": self._penalty.get_state(),
            "steering": self.steering and self.steering.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned.

        Args:
            state: The dictionary. To be set when training has begun, from another callback's
                `on_train_begin`.
        """
        self.cuts = cuts_from_json(state["cuts"])
        self._epochs_done = state["epochs_done"]
        self._loss.least = state["least_loss"]
        self._times.set_state(state)
        self._penalty.set_state(state["penalty"])
        if self.steering is not None and state.get("steering"):
            self.steering.set_state(state["steering"])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Cut, if it is time to."""
        layers = self._open_layers()
        self._warnings.begin_epoch(epoch, layers)
        if layers:
            if self._automatic is not None:
                self.epochs = self._automatic.schedule(epoch, is_new(self.model))
            if self._times.begins(epoch):
                self._grow(epoch, layers)
                if self._times.is_due(epoch):
                    self._cut(epoch, layers)
            self.selection.on_epoch(self._open_layers(), epoch)
            if self.steering is not None:
                self.steering.begin_epoch(epoch)
        self._penalty.begin_epoch(epoch)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure the rank penalty, before a few of the steps."""
        self._penalty.begin_step(self.model, self._layers)
        if not self._has_begun_built:
            # The first step has built the model: what is out of reach need not wait for the cut.
            self._begin_selection()
            if self._has_begun_built and self._automatic is not None and self.steering is None:
                self._automatic.fill(self.model, self._open_layers(), self._data(0))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the ranks, and look whether they have stopped moving."""
        self._epochs_done = epoch + 1
        if logs is not None:
            logs |= ranks_to_log(self.model, self._layers)
            logs["parameters"] = self.model.count_params()
            self._penalty.add_to(logs, self.model, self._layers)
            self._loss.note(logs)
            self._warnings.end_epoch(epoch, logs.get("data_loss"), logs["rank_penalty"])
            if self.steering is not None:
                self.steering.end_epoch(epoch, logs)
        if self.when == "converged" and (layers := self._open_layers()):
            self._loss.update(self.model, self._layers)
            self._times.update(self.model, layers, self.selection, self.calibration_data)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Cut if it has become time to with the last epoch; warn of what went wrong."""
        layers, beside = self._open_layers(), callbacks_beside(self)
        if layers and self._times.is_due(self._epochs_done):
            self._cut(self._epochs_done, layers)
            self._warnings.end_with_cut(self._epochs_done)
        elif layers:
            wanted = f"epoch={self.epochs or None}, when={self.when!r}"
            self._warnings.end_without_cut(self._epochs_done, wanted, beside)
        else:
            self._warnings.end_closed()
            self._warnings.compare_loss(self._loss.last, self.loss_limit, beside)

    def _begin_selection(self) -> None:
        self._has_begun_built = all(layer.built for layer in self._layers)
        self.selection.begin(self.model, self._open_layers(), self._data(0))

    def _open_layers(self) -> list[TTLayer]:
        may_change = [x for x in self._layers if self.include_frozen or x.trainable]
        return [layer for layer in may_change if not layer.ranks_fixed]

    def _data(self, epoch: int) -> Any:
        if self._automatic is None or self.calibration_data is not None:
            return self.calibration_data
        batches = batches_of_fit(epoch, (self.params or {}).get("steps"))
        if batches is None and isinstance(self.selection, LayerBudget | LossSelection):
            self._warnings.say_no_batches()
        return batches

    def _grow(self, epoch: int, layers: list[TTLayer]) -> None:
        # A steering has begun with the ranks that there are.
        growth = self._automatic if self.steering is None else None
        if growth is not None and all(layer.built for layer in layers):
            self._loss.update(self.model, self._layers)
            if growth.grow(epoch, self.model, layers, self._data(epoch)):
                restart(self.restarts, callbacks_beside(self))

    def _cut(self, epoch: int, layers: list[TTLayer]) -> None:
        is_last = self._times.is_last(epoch)
        self._warnings.before_cut(layers, self.cuts)
        self._loss.update(self.model, self._layers)
        data = self._data(epoch)
        cut = truncate_layers(self.model, layers, self.selection, data, is_last, self.steering)
        self._times.restart()
        restart(self.restarts, callbacks_beside(self))
        self.cuts.append({"epoch": epoch, **cut})
        self._warnings.after_cut(cut, is_last)
