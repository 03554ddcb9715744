import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dart_keras.callbacks.tt_layers import tt_layers_of
from dart_keras.selection.selection import effective_rank

# Of the picture: a model of a few bonds has them below each other.
_ROWS_OF_ONE_COLUMN = 4
_MOST_COLUMNS = 4


class RankMonitor(keras.callbacks.Callback):
    """Records the singular values of every bond at the end of every epoch.

    The logs get `<layer>_effective_rank_<bond>` for every bond. Put the callback before those that
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

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the singular values."""
        self.epochs.append(epoch)
        for layer in tt_layers_of(self.model, self):
            finite = layer.is_finite
            for bond in range(1, len(layer.cores)):
                rank = layer.ranks[bond]
                values = layer.bond_singular_values()[bond - 1] if finite else np.full(rank, np.nan)
                self.singular_values.setdefault(f"{layer.name}/{bond}", []).append(values)
                if logs is not None:
                    logs[f"{layer.name}_effective_rank_{bond}"] = (
                        effective_rank(values) if finite else np.nan
                    )

    def plot(self, path: str | Path) -> None:
        """Draw each bond's singular values, relative to the largest one, over the epochs.

        Args:
            path: Where to write the picture; the ending says in which format.

        Raises:
            ImportError: If matplotlib is missing.
            ValueError: If no epoch was recorded.
        """
        if not self.epochs:
            raise ValueError("RankMonitor expected to have seen an epoch. Received: none yet")
        from matplotlib.figure import Figure

        columns = min(_MOST_COLUMNS, math.ceil(len(self.singular_values) / _ROWS_OF_ONE_COLUMN))
        rows = math.ceil(len(self.singular_values) / columns)
        figure = Figure(figsize=(6 * columns, 3 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, squeeze=False).flat
        for axis, (bond, history) in zip(axes, self.singular_values.items(), strict=False):
            for i in range(max(len(values) for values in history)):
                seen = [
                    (e, v[i] / v[0])
                    for e, v in zip(self.epochs, history, strict=True)
                    if i < len(v)
                ]
                epochs, relative = zip(*seen, strict=True)
                axis.plot(np.array(epochs) + 1, np.maximum(relative, 1e-8), marker=".", linewidth=1)
            axis.set_yscale("log")
            axis.set_ylim(1e-4, 2)
            axis.set_title(f"{bond}: {len(history[0])} to {len(history[-1])} singular values")
            axis.set_ylabel("relative to the largest")
            axis.set_xlabel("epoch")
        for axis in list(axes)[len(self.singular_values) :]:
            axis.remove()
        figure.savefig(path, dpi=120)
