from collections.abc import Sequence

import numpy as np

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.selection import Selection
from dart_keras.tensor_train.modes import is_integer
from dart_keras.tensor_train.ranks import complete_ranks, count_parameters


class Budget(Selection):
    """Fits layers or a whole model into what a device has, where that loses least.

    In `RankDiscretization`: starting from rank 1 everywhere, it gives one more rank, again and
    again, to the bond where a parameter buys back most of the layer's relative squared error, until
    nothing more fits. In `dart_keras.compression.compress` the budget is one for the whole model.

    Args:
        parameters: How many numbers all layers' cores may hold together; in `compress`, the model.
        multiply_adds: In `compress`, how many products by weights the model may need for one row
            of its inputs.
        flash_bytes: In `compress`, how many bytes the file that `dart_keras.deployment.convert`
            makes may take.
        arena_bytes: In `compress`, how many bytes of working memory that file may take on
            TensorFlow Lite Micro.
        quantization: How the file is to be quantized, as for `convert`.
        target: Which device it is for, as for `convert`. An arena needs `"microcontroller"`.

    Raises:
        ValueError: If not just one of the four is given, or it is not a positive integer.

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
        if self.kind == "arena_bytes" and target != "microcontroller":
            raise ValueError(
                "Expected target='microcontroller' for a budget of arena. "
                f"Received: target={target!r}"
            )
        self.limit = int(limit)
        self.quantization = quantization
        self.target = target

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
        values = [tt.bond_singular_values() for tt in trains]
        # What each further rank of each bond takes off the layer's relative squared error.
        gains = [
            [np.square(bond) / max(np.sum(np.square(bond)), 1e-300) for bond in layer_values]
            for layer_values in values
        ]
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
