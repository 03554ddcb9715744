from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from dart_keras.callbacks.callback_order import warn_of_readers_before
from dart_keras.callbacks.singular_value_plot import draw_singular_values
from dart_keras.callbacks.tt_layers import tt_layers_of
from dart_keras.model_surgery.layer_names import distinct_names
from dart_keras.selection.selection import effective_rank

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RankMonitor(keras.callbacks.Callback):
    """Records the singular values of every bond at the end of every epoch.

    The logs get `<layer>_effective_rank_<bond>` for every bond, with the names that lead to a layer
    where layers of nested models have the same name. Put the callback before those that
    write logs.

    Attributes:
        epochs: The epochs recorded.
        singular_values: By `<layer>/<bond>`, a list with one descending array an epoch.

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
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[int] = []
        self.singular_values: dict[str, list[np.ndarray]] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Warn of callbacks that read logs before the ranks are there."""
        warn_of_readers_before(self, r".*_effective_rank_\d+")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the singular values."""
        self.epochs.append(epoch)
        layers = tt_layers_of(self.model, self)
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
        if not self.epochs:
            raise ValueError(
                "RankMonitor has no data to plot: call `fit` for at least one epoch first"
            )
        return draw_singular_values(self.epochs, self.singular_values, threshold, path)

    def __repr__(self) -> str:
        return f"RankMonitor({len(self.singular_values)} bonds, {len(self.epochs)} epochs)"
