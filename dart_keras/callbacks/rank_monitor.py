from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from dart_keras.budgets import MultiplyAdds, Parameters
from dart_keras.callbacks.callback_order import warn_of_readers_before
from dart_keras.callbacks.rank_discretization import RankDiscretization
from dart_keras.callbacks.singular_value_plot import draw_singular_values
from dart_keras.callbacks.target_plot import draw_targets
from dart_keras.callbacks.tt_layers import tt_layers_of
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.model_surgery.layer_names import distinct_names
from dart_keras.private_apis import callbacks_beside
from dart_keras.selection.layer_budget import multiply_adds_of, parameters_of
from dart_keras.selection.selection import effective_rank

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RankMonitor(keras.callbacks.Callback):
    """Records singular values, size and loss after every epoch, and draws them.

    The logs get `<layer>_effective_rank_<bond>` for every bond, with the names that lead to a layer
    where layers of nested models have the same name. Put the callback before those that
    write logs.

    Attributes:
        epochs: The epochs recorded.
        singular_values: By `<layer>/<bond>`, a list with one descending array an epoch.
        history: By name, a list with one number an epoch: `parameters` of the TT layers' cores, of
            those that a `RankDiscretization` of the same `fit` may truncate if there is one;
            `model_parameters`; `multiply_adds` of these TT layers for one row of inputs; `loss` and
            `val_loss`, NaN where the logs have none. The losses are without the rank penalty where
            a `RankDiscretization` measures it.

    Raises:
        ValueError: In training, if the model has no TT layers.

    Example:
        >>> import dart_keras as dk
        >>> model = keras.Sequential([dk.layers.TTDense(16, ranks=4, name="tt")])
        >>> model.compile("adam", "mse")
        >>> monitor = RankMonitor()
        >>> x = np.ones((8, 16), "float32")
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[monitor])
        >>> [len(values) for values in monitor.singular_values["tt/1"]]
        [4, 4]
        >>> monitor.history["parameters"]
        [128, 128]
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[int] = []
        self.singular_values: dict[str, list[np.ndarray]] = {}
        self._sizes: dict[str, list[float]] = {}
        self._logs: list[dict[str, Any]] = []
        self._truncation: RankDiscretization | None = None

    @property
    def history(self) -> dict[str, list[float]]:
        """Sizes and losses, by name with one number an epoch."""
        losses: dict[str, list[float]] = {
            name: [
                float(logs.get(f"{name[:-4]}data_loss", logs.get(name, np.nan)))
                for logs in self._logs
            ]
            for name in ("loss", "val_loss")
        }
        return self._sizes | losses

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Find the target, and warn of callbacks that read logs before the ranks are there."""
        for other in callbacks_beside(self):
            if isinstance(other, RankDiscretization):
                self._truncation = other
        warn_of_readers_before(self, r".*_effective_rank_\d+")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record singular values, size and loss."""
        layers = tt_layers_of(self.model, self)
        self.epochs.append(epoch)
        self._record_sizes(layers)
        # Not a copy: callbacks after this one add to it, such as the loss without rank penalty.
        self._logs.append({} if logs is None else logs)
        for name, layer in zip(distinct_names(self.model, layers), layers, strict=True):
            finite = layer.is_finite
            for bond in range(1, len(layer.cores)):
                rank = layer.ranks[bond]
                values = layer.bond_singular_values()[bond - 1] if finite else np.full(rank, np.nan)
                self.singular_values.setdefault(f"{name}/{bond}", []).append(values)
                if logs is not None:
                    logs[f"{name}_effective_rank_{bond}"] = (
                        effective_rank(values) if finite else np.nan
                    )

    def _record_sizes(self, layers: list[TTLayer]) -> None:
        cut = self._truncation
        if cut is not None:
            layers = [layer for layer in layers if cut.include_frozen or layer.trainable]
        sizes = {
            "parameters": sum(parameters_of(layer, layer.ranks) for layer in layers),
            "model_parameters": self.model.count_params(),
            "multiply_adds": sum(multiply_adds_of(layer, layer.ranks) for layer in layers),
        }
        for name, size in sizes.items():
            self._sizes.setdefault(name, []).append(size)

    def plot(self, path: str | Path | None = None, threshold: float | None = None) -> "Figure":
        """Draw each bond's singular values, relative to the largest one, over the epochs.

        A dotted line is drawn where ranks were truncated.

        Args:
            path: Where to write the picture; its suffix says in which format. `None` not to.
            threshold: Where to draw a line, as `delta` of the `Threshold` that truncates; `None`
                for no line.

        Returns:
            The figure.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If no epoch was recorded.
        """
        self._check_recorded()
        return draw_singular_values(self.epochs, self.singular_values, threshold, path)

    def plot_targets(self, path: str | Path | None = None) -> "Figure":
        """Draw size and loss over the epochs, with the target of the training as a line.

        The target is that of a `RankDiscretization` of the same `fit`: a size for `Parameters` and
        `MultiplyAdds`, a loss for a budget of loss. Bytes of a file take a conversion to measure;
        for these, parameters are drawn without a line. A dotted line is drawn where ranks were
        truncated.

        Args:
            path: Where to write the picture; its suffix says in which format. `None` not to.

        Returns:
            The figure.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If no epoch was recorded.
        """
        self._check_recorded()
        history, selection = self.history, getattr(self._truncation, "selection", None)
        budget = getattr(selection, "budget", None)
        if isinstance(budget, MultiplyAdds):
            sizes = {"TT layers": history["multiply_adds"]}
            unit = "multiply-adds for one row"
        else:
            sizes = {"TT cores": history["parameters"], "model": history["model_parameters"]}
            unit = "parameters"
        return draw_targets(
            self.epochs,
            sizes,
            unit,
            {"validation": history["val_loss"], "training": history["loss"]},
            "loss without rank penalty" if "data_loss" in self._logs[-1] else "loss",
            budget.n if isinstance(budget, Parameters | MultiplyAdds) else None,
            getattr(self._truncation, "loss_limit", None),
            [cut["epoch"] for cut in getattr(self._truncation, "cuts", ())],
            path,
        )

    def _check_recorded(self) -> None:
        if not self.epochs:
            raise ValueError(
                "RankMonitor has no data to plot: call `fit` for at least one epoch first"
            )

    def __repr__(self) -> str:
        return f"RankMonitor({len(self.singular_values)} bonds, {len(self.epochs)} epochs)"
