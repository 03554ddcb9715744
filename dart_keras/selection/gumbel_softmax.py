from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.distribution.replicas import scope_of
from dart_keras.layers.rank_gates import RankGates
from dart_keras.layers.resizing import update_owner
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.selection import Selection
from dart_keras.tensor_train.ranks import complete_ranks
from dart_keras.utils.argument_checks import check_share


class GumbelSoftmax(Selection):
    """Ranks that are learned along with the weights, by trainable logits over nested ranks.

    While the model trains, each bond draws its rank from its logits at every step, by the
    straight-through Gumbel-Softmax estimator with a temperature that falls from epoch to epoch
    (Jang, Gu and Poole 2017, section 2.2). The slices of the cores beyond the drawn rank are zero
    in that step, so that slices sort themselves by importance and the selected ranks are ranks
    that training used. A cost in the loss makes ranks expensive.

    Args:
        strength: The weight of the cost in the loss. With the default cost, a parameter's share
            of the layer's cores costs `strength` times that share in the loss.
        temperature: The temperature of the first epoch.
        final_temperature: The lowest temperature.
        decay: The factor from an epoch's temperature to the next one's, between 0 and 1.
        cost: `None` for the expected share of each layer's parameters that is kept, or a function
            of the list of a layer's d - 1 expected ranks (scalar tensors) that returns a scalar
            tensor. Register it as a Keras serializable to save models before the cut.
        seed: Seed of the draws, an integer or `None`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import numpy as np
        >>> from dart_keras.callbacks import RankDiscretization
        >>> from dart_keras.layers import TTDense
        >>> model = keras.Sequential([keras.Input((16,)), TTDense(16, ranks=4)])
        >>> model.compile("adam", "mse")
        >>> truncation = RankDiscretization(GumbelSoftmax(strength=0.1, seed=0), epoch=1)
        >>> x = np.ones((8, 16), "float32")
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[truncation])
        >>> model.layers[0].ranks_fixed
        True
    """

    def __init__(
        self,
        strength: float = 0.1,
        temperature: float = 2.0,
        final_temperature: float = 0.1,
        decay: float = 0.8,
        cost: Callable[[list[Any]], Any] | None = None,
        seed: int | None = None,
    ) -> None:
        if not strength >= 0:
            raise ValueError(f"Expected `strength` of at least 0. Received: strength={strength!r}")
        if not temperature >= final_temperature > 0:
            raise ValueError(
                "Expected `temperature` of at least `final_temperature`, and both above 0. "
                f"Received: temperature={temperature!r}, final_temperature={final_temperature!r}"
            )
        self.strength = strength
        self.temperature = temperature
        self.final_temperature = final_temperature
        self.decay = check_share("decay", decay)
        self.cost = cost
        self.seed = seed

    def begin(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> None:
        """Put trainable gates into the built layers that have none yet.

        Raises:
            ValueError: If a layer has gates of `NestedRanks`.
        """
        for layer in layers:
            if layer.rank_gates is not None:
                _gates(layer)
        added = False
        for i, layer in enumerate(layers):
            if layer.built and layer.rank_gates is None:
                with scope_of([model]):
                    gates = RankGates(
                        layer.ranks,
                        layer.input_modes,
                        layer.output_modes,
                        self.strength,
                        self.temperature,
                        self.cost,
                        None if self.seed is None else self.seed + i,
                        name="rank_gates",
                    )
                    layer.add_rank_gates(gates)
                added = True
        if added:
            update_owner(model, {})

    def on_epoch(self, layers: Sequence[TTLayer], epoch: int) -> None:
        """Set the temperature of the epoch."""
        temperature = max(self.final_temperature, self.temperature * self.decay**epoch)
        for layer in layers:
            if layer.rank_gates is not None:
                _gates(layer).temperature.assign(temperature)

    def effective_ranks(self, layers: Sequence[TTLayer]) -> np.ndarray:
        """Return the expected ranks of all bonds of all layers under their logits."""
        return np.array([rank for layer in layers for rank in _gates(layer).expected_ranks()])

    def is_settled(self, layers: Sequence[TTLayer]) -> bool:
        """Return whether every bond draws its likeliest rank nine times out of ten.

        While two ranks are still about as likely as each other, the expected rank can rest for some
        epochs and the choice yet change.
        """
        return all(min(_gates(layer).confidences(), default=1.0) >= 0.9 for layer in layers)

    def select(
        self, model: keras.Model, layers: Sequence[TTLayer], calibration_data: Any = None
    ) -> list[tuple[int, ...]]:
        """Return the likeliest ranks of each layer, all d + 1.

        Raises:
            ValueError: If a layer has no gates, because training has not begun with this selection.
        """
        return [
            complete_ranks(_gates(layer).selected_ranks(), layer.input_modes, layer.output_modes)
            for layer in layers
        ]


def _gates(layer: TTLayer) -> RankGates:
    gates = layer.rank_gates
    if not isinstance(gates, RankGates):
        has = "without rank gates" if gates is None else "with the gates of `NestedRanks`"
        raise ValueError(
            "Expected layers that were trained with this selection, in a `RankDiscretization`. "
            f"Received: layer {layer.name!r} {has}"
        )
    return gates
