from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.devices import DEVICES, find_device
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.importance import importances, non_increasing
from dart_keras.selection.selection import Selection
from dart_keras.tensor_train.ranks import complete_ranks, count_parameters
from dart_keras.utils.argument_checks import is_integer


class Budget(Selection):
    """Fits layers or a whole model into what a device has, where that loses least.

    In `RankDiscretization`: starting from rank 1 everywhere, it gives one more rank, again and
    again, to the bond where a parameter buys back most of the layer's relative squared error, until
    nothing more fits. With `calibration_data` it is the loss that is bought back: a relative error
    of one layer can cost much more than that of another, and the noise that a layer began with
    counts for nothing. In `dart_keras.compression.compress` the budget is one for the whole model.

    Args:
        parameters: How many numbers all layers' cores may hold together; in `compress`, the model.
        multiply_adds: In `compress`, how many products by weights the model may need for one row
            of its inputs.
        flash_bytes: In `compress`, how many bytes the file that `dart_keras.deployment.convert`
            makes may take.
        arena_bytes: In `compress`, how many bytes of working memory that file may take on
            TensorFlow Lite Micro.
        quantization: How the file is to be quantized, as for `convert`.
        target: Which device it is for, as for `convert`; for `arena_bytes` one that has an arena.
        calibration_data: In `RankDiscretization`, batches as pairs of inputs and targets, some
            dozens of them: a list, a `tf.data.Dataset` or anything else that can be gone through
            again and again. Ranks then go where the model's loss needs them (Molchanov et al. 2019,
            "Importance Estimation for Neural Network Pruning"). `compress` has an argument of its
            own for it.

    Raises:
        ValueError: If not just one of the four is given, it is not a positive integer, or the data
            are an iterator; in training, if a batch is no pair.

    Example:
        >>> Budget(flash_bytes=50_000).kind
        'flash_bytes'
    """

    KINDS = ("parameters", "multiply_adds", "flash_bytes", "arena_bytes")

    def __init__(
        self,
        parameters: int | None = None,
        *,
        multiply_adds: int | None = None,
        flash_bytes: int | None = None,
        arena_bytes: int | None = None,
        quantization: str = "int8",
        target: str = "microcontroller",
        calibration_data: Iterable[tuple[Any, Any]] | None = None,
    ) -> None:
        limits = dict(
            zip(self.KINDS, (parameters, multiply_adds, flash_bytes, arena_bytes), strict=True)
        )
        given = {kind: limit for kind, limit in limits.items() if limit is not None}
        if len(given) != 1:
            raise ValueError(f"Expected one of {', '.join(self.KINDS)}. Received: {given or None}")
        [(self.kind, limit)] = given.items()
        if not is_integer(limit) or limit < 1:
            raise ValueError(
                f"Expected `{self.kind}` to be a positive integer. Received: {self.kind}={limit!r}"
            )
        if self.kind == "arena_bytes" and not find_device(target).has_arena:
            arenas = tuple(device.name for device in DEVICES.values() if device.has_arena)
            raise ValueError(
                f"Expected `target` to be one of {arenas} for a budget of arena. "
                f"Received: target={target!r}"
            )
        self.limit = int(limit)
        self.quantization = quantization
        self.target = target
        if isinstance(calibration_data, Iterator):
            raise ValueError(
                "Expected `calibration_data` that can be gone through again and again, such as a "
                f"list of batches. Received: {calibration_data!r}"
            )
        self.calibration_data = calibration_data
        self._model: keras.Model | None = None

    def begin(self, model: keras.Model, layers: Sequence[TTLayer]) -> None:
        """Take note of the model that the layers are of."""
        self._model = model

    def select(self, layers: Sequence[TTLayer]) -> list[tuple[int, ...]]:
        """All d + 1 ranks of each layer.

        Raises:
            ValueError: If rank 1 everywhere is too much already, or the budget is not one of
                parameters.
        """
        if self.kind != "parameters":
            raise ValueError(
                "Expected a budget of parameters outside of `dart_keras.compression.compress`. "
                f"Received: {self.kind}={self.limit}"
            )
        trains = [layer.to_tt() for layer in layers]
        gains = self._gains(layers)
        ranks = [[1] * (len(tt.cores) + 1) for tt in trains]

        def cost(i: int, trial: Sequence[int]) -> int:
            return count_parameters(trains[i].input_modes, trains[i].output_modes, trial)

        left = self.limit - sum(cost(i, ranks[i]) for i in range(len(trains)))
        if left < 0:
            raise ValueError(
                f"Expected a budget of at least {self.limit - left} parameters, which rank 1 "
                f"takes at every bond. Received: parameters={self.limit}"
            )
        while True:
            best: tuple[float, int, int, int] | None = None
            for i, layer_gains in enumerate(gains):
                for bond, gain in enumerate(layer_gains, start=1):
                    rank = ranks[i][bond]
                    if rank >= len(gain) or gain[rank] <= 0:
                        continue
                    trial = [*ranks[i][:bond], rank + 1, *ranks[i][bond + 1 :]]
                    price = cost(i, trial) - cost(i, ranks[i])
                    if price <= left and (best is None or gain[rank] / price > best[0]):
                        best = (gain[rank] / price, i, bond, price)
            if best is None:
                break
            _, i, bond, price = best
            ranks[i][bond] += 1
            left -= price
        return [
            complete_ranks(layer_ranks, tt.input_modes, tt.output_modes)
            for layer_ranks, tt in zip(ranks, trains, strict=True)
        ]

    def _gains(self, layers: Sequence[TTLayer]) -> list[list[np.ndarray]]:
        # What each further rank of each bond is worth.
        if self.calibration_data is None:
            return [
                [
                    np.square(values) / max(np.sum(np.square(values)), 1e-300)
                    for values in layer.bond_singular_values()
                ]
                for layer in layers
            ]
        if self._model is None:
            raise ValueError(
                "Expected a budget with calibration data in a `RankDiscretization`, which knows "
                "the model. Received: layers alone"
            )
        # Ranks are nested: one that is worth little is only kept for the sake of those behind it.
        return [
            [non_increasing(bond) for bond in layer_importances]
            for layer_importances in importances(self._model, layers, self.calibration_data)
        ]
