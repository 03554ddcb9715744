import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from dart_keras.budgets import Budget
from dart_keras.callbacks.convergence import Convergence
from dart_keras.callbacks.tt_layers import tt_layers_of
from dart_keras.distribution.replicas import as_on_chief
from dart_keras.layers.resizing import resize
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import add_owner
from dart_keras.selection.budget_selection import selection_for
from dart_keras.selection.selection import Selection
from dart_keras.utils.argument_checks import is_integer
from dart_keras.utils.representation import call_repr


class RankDiscretization(keras.callbacks.Callback):
    """A callback that truncates a model's TT layers to the ranks that a selection keeps.

    At the beginning of an epoch of `fit` the layers' cores are replaced by smaller ones of static
    shape, by TT-rounding, and training goes on with them. The optimizer keeps its iterations, its
    learning rate or schedule and the state of every variable that stays; the state of the cores
    goes through the same linear maps as the cores. With the last cut the ranks are final: rank
    regularizers and rank gates are dropped and `layer.ranks_fixed` is set, which goes into saved
    files.

    A run that is resumed, by `BackupAndRestore` or by loading weights, takes over the ranks of the
    file; layers whose ranks are final are left alone. With `when="converged"`, keep `get_state()`
    beside the weights and give it to `set_state` when training resumes; otherwise the epochs with
    stable ranks are counted anew.

    The logs get `<layer>_rank_<bond>` for every bond and `parameters`, of the model that the epoch
    trained. Put the callback before those that write logs.

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
        calibration_data: For `Parameters` and `MultiplyAdds`, batches as pairs of inputs and
            targets, some dozens of them, in a list, a `tf.data.Dataset` or anything else that can
            be gone through again and again. Ranks then go where the model's loss needs them
            (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning"), and without
            data where they hold most of each layer's squared norm. For `FlashBytes` and
            `ArenaBytes`, such batches, or inputs alone as for `dart_keras.deployment.convert`,
            which needs them for int8 and int16x8. `RelativeError`, `Threshold` and `GumbelSoftmax`
            do not use them.
        restarts: Callbacks of the same `fit` that keep the best epoch so far: `EarlyStopping`,
            `ModelCheckpoint`, `ReduceLROnPlateau`, or your own with an attribute `best`. They start
            over after each truncation, since the best epoch of the larger model says nothing about
            the smaller one. Keras does not tell a callback of the others, so name them here. One
            that is not named goes on comparing with the larger model: the smaller one may be
            stopped too early or never be saved. `best` becomes their `baseline`, `None` where they
            have none, and their `on_train_begin` is called.

    Attributes:
        cuts: One dictionary a cut: `epoch`, `ranks` before and after by layer name, `error` (the
            relative Frobenius error) by layer name, `parameters` of the model before and after.

    Raises:
        ValueError: If an argument is not valid; in training, if the model has no TT layers, if a
            callback of `restarts` is not one of `fit`, if the budget is out of reach, with the
            smallest that can be reached, if weights are not finite or if a cut would leave no rank.
            The model is then as it was.

    Example:
        >>> import numpy as np, dart_keras as dk
        >>> model = keras.Sequential([
        ...     keras.Input((16,)),
        ...     dk.layers.TTDense(16, ranks=4, rank_regularizer=dk.regularizers.NuclearNorm(0.1)),
        ... ])
        >>> model.compile("adam", "mse")
        >>> cut = dk.callbacks.RankDiscretization(dk.selection.Threshold(0.5), epoch=1)
        >>> x = np.ones((8, 16), "float32")
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[cut])
        >>> model.layers[0].ranks_fixed, len(cut.cuts)
        (True, 1)
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
    ) -> None:
        super().__init__()
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
                "Expected `epoch`, `when='converged'` or both. Received: epoch=None, when=None"
            )
        if not is_integer(patience) or patience < 1 or not tolerance >= 0:
            raise ValueError(
                "Expected `patience` to be a positive integer and `tolerance` at least 0. "
                f"Received: patience={patience!r}, tolerance={tolerance!r}"
            )
        if isinstance(calibration_data, Iterator):
            raise ValueError(
                "Expected `calibration_data` that can be gone through again and again, such as a "
                f"list of batches. Received: calibration_data={calibration_data!r}"
            )
        for other in restarts:
            if not isinstance(other, keras.callbacks.Callback) or not hasattr(other, "best"):
                raise ValueError(
                    "Expected `restarts` to hold callbacks that keep a best value, such as "
                    f"`EarlyStopping`. Received: {other!r}"
                )
        self.selection = selection_for(selection)
        self.calibration_data = calibration_data
        self.restarts = list(restarts)
        self.epochs: list[int] = sorted(e for e in epochs if e is not None)
        self.when = when
        self.cuts: list[dict[str, Any]] = []
        self._convergence = Convergence(patience, tolerance)
        self._converged = False
        self._epochs_done = 0

    def __repr__(self) -> str:
        return call_repr(self, selection=self.selection, epoch=self.epochs or None, when=self.when)

    def set_model(self, model: keras.Model) -> None:
        """Prepare the layers, before any callback can restore weights into them."""
        super().set_model(model)
        self._convergence.restart()
        self._converged = False
        self._epochs_done = 0
        self._layers = tt_layers_of(model, self)
        for layer in self._layers:
            add_owner(layer, model)
        self.selection.begin(model, self._open_layers(), self.calibration_data)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check that the callbacks that restart take part in the training.

        Raises:
            ValueError: If one of them has not got the model that is trained.
        """
        for other in self.restarts:
            if other.model is not self.model:
                raise ValueError(
                    "Expected `restarts` to hold callbacks of the same `fit`: give it to the "
                    f"`callbacks` of `fit`, too. Received: {other!r}, which has not got the model"
                )

    def get_state(self) -> dict[str, Any]:
        """Return the cuts made and how long ranks have been stable, as a JSON-serializable dict.

        Returns:
            A dictionary for `set_state`, to be taken at the end of an epoch, after this callback.
        """
        return {
            "cuts": self.cuts,
            "epochs_done": self._epochs_done,
            "converged": self._converged,
            "convergence": self._convergence.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned.

        Args:
            state: The dictionary. To be set when training has begun, from another callback's
                `on_train_begin`.
        """
        # JSON has no tuples.
        self.cuts = [
            {
                name: {layer: tuple(ranks) for layer, ranks in value.items()}
                if name.startswith("ranks")
                else value
                for name, value in cut.items()
            }
            for cut in state["cuts"]
        ]
        self._epochs_done = state["epochs_done"]
        self._converged = state["converged"]
        self._convergence.set_state(state["convergence"])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Cut, if it is time to."""
        if layers := self._open_layers():
            if self._is_due(epoch):
                self._cut(epoch, layers)
            self.selection.on_epoch(self._open_layers(), epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the ranks, and look whether they have stopped moving."""
        self._epochs_done = epoch + 1
        if logs is not None:
            for layer in self._layers:
                for bond, rank in enumerate(layer.ranks[1:-1], start=1):
                    logs[f"{layer.name}_rank_{bond}"] = rank
            logs["parameters"] = self.model.count_params()
        layers = self._open_layers()
        if self.when == "converged" and layers:
            self._converged = bool(as_on_chief([self.model], self._has_converged(layers)))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Cut, if it has become time to with the last epoch; warn if no cut was due."""
        layers = self._open_layers()
        if not layers:
            return
        # Not the number asked for: another callback may have stopped the training.
        if self._is_due(self._epochs_done):
            self._cut(self._epochs_done, layers)
        else:
            warnings.warn(
                "RankDiscretization has made no final cut: training ended before "
                f"epoch={self.epochs or None}, when={self.when!r} came true. Train for more "
                "epochs, give a smaller `epoch`, or increase the regularization strength.",
                stacklevel=2,
            )

    def _open_layers(self) -> list[TTLayer]:
        return [layer for layer in self._layers if not layer.ranks_fixed]

    def _has_converged(self, layers: list[TTLayer]) -> bool:
        if not all(layer.is_finite for layer in layers):
            return False
        effective = self.selection.effective_ranks(layers)
        selected = self.selection.select(self.model, layers, self.calibration_data)
        # Ranks also rest before a weak regularizer has done anything; that is no reason to cut.
        cuts_some = any(ranks != layer.ranks for ranks, layer in zip(selected, layers, strict=True))
        at_rest = self._convergence.update(effective, selected)
        return at_rest and cuts_some and self.selection.is_settled(layers)

    def _is_due(self, epoch: int) -> bool:
        return self._converged or self._is_last(epoch) or epoch in self.epochs

    def _is_last(self, epoch: int) -> bool:
        # Also where training was resumed beyond the epoch, from weights saved before it.
        return self._converged or (bool(self.epochs) and epoch >= self.epochs[-1])

    def _cut(self, epoch: int, layers: list[TTLayer]) -> None:
        if names := [layer.name for layer in layers if not layer.is_finite]:
            raise ValueError(
                "RankDiscretization expected finite weights to cut. Received: NaN or infinite "
                f"values in the layers {names}; the model is left as it was"
            )
        selected = [
            tuple(int(rank) for rank in as_on_chief([self.model], ranks))
            for ranks in self.selection.select(self.model, layers, self.calibration_data)
        ]
        for layer, ranks in zip(layers, selected, strict=True):
            if min(ranks) < 1:
                raise ValueError(
                    "RankDiscretization expected to keep a rank of at least 1 at every bond. "
                    f"Received: ranks={ranks} for layer {layer.name!r}, whose matrix may have "
                    "become zero under a regularizer that is too strong; the model is left as it "
                    "was"
                )
        plans = [
            layer.plan_truncation(ranks, fix_ranks=self._is_last(epoch))
            for layer, ranks in zip(layers, selected, strict=True)
        ]
        before = {layer.name: layer.ranks for layer in layers}
        parameters = self.model.count_params()
        resize([resizing for resizing, _ in plans])
        self._convergence.restart()
        self._converged = False
        for other in self.restarts:
            _restart(other)
        self.cuts.append(
            {
                "epoch": epoch,
                "ranks_before": before,
                "ranks_after": {layer.name: layer.ranks for layer in layers},
                "error": {
                    layer.name: error for layer, (_, error) in zip(layers, plans, strict=True)
                },
                "parameters_before": parameters,
                "parameters_after": self.model.count_params(),
            }
        )


def _restart(monitor: Any) -> None:
    monitor.best = getattr(monitor, "baseline", None)
    # Where these callbacks reset the weights and the patience that go with the best value.
    monitor.on_train_begin()
