from collections.abc import Sequence

import numpy as np

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.selection import Selection
from dart_keras.tensor_train.modes import is_integer
from dart_keras.tensor_train.ranks import complete_ranks, count_parameters


class Budget(Selection):
    """Fits all layers into a number of parameters, where that loses least.

    Starting from rank 1 everywhere, it gives one more rank, again and again, to the bond where
    a parameter buys back most of the layer's relative squared error, until nothing more fits.

    Args:
        parameters: How many numbers the cores of all layers may hold together.

    Raises:
        ValueError: If `parameters` is not a positive integer.
    """

    def __init__(self, parameters: int) -> None:
        if not is_integer(parameters) or parameters < 1:
            raise ValueError(
                "Expected `parameters` to be a positive integer. "
                f"Received: parameters={parameters!r}"
            )
        self.parameters = parameters

    def select(self, layers: Sequence[TTLayer]) -> list[tuple[int, ...]]:
        """All d + 1 ranks of each layer.

        Raises:
            ValueError: If rank 1 everywhere is too much already.
        """
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

        left = self.parameters - sum(cost(i, ranks[i]) for i in range(len(trains)))
        if left < 0:
            raise ValueError(
                f"Expected a budget of at least {self.parameters - left} parameters, which rank 1 "
                f"takes at every bond. Received: parameters={self.parameters}"
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
