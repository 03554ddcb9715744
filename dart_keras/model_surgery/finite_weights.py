"""Weights that are no numbers, as training that diverged leaves them."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from dart_keras.model_surgery.replace import layers_with_paths
from dart_keras.private_apis import own_weights


@dataclass(frozen=True)
class BadWeight:
    """A weight with values that are not finite.

    Attributes:
        layer: The names that lead to its layer; the model's name if it is the model's own.
        name: The weight's name in the layer.
        nans: How many of its values are NaN.
        infinite: How many are infinite. Masks are added as such constants, so that these need not
            be wrong.
    """

    layer: str
    name: str
    nans: int
    infinite: int

    def __str__(self) -> str:
        kinds = [(self.nans, "NaN"), (self.infinite, "infinite")]
        found = " and ".join(f"{count} {kind}" for count, kind in kinds if count)
        return f"{found} in {self.name!r} of layer {self.layer!r}"


def bad_weights(model: keras.Model) -> list[BadWeight]:
    """Return the weights of a built model that hold NaN or infinite values, in its order.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="last")])
        >>> _ = model.layers[0].bias.assign([float("nan")])
        >>> print(*bad_weights(model))
        1 NaN in 'bias' of layer 'last'
    """
    found = []
    for path, layer in [(model.name, model), *layers_with_paths(model)]:
        for weight in own_weights(layer):
            if "float" not in keras.backend.standardize_dtype(weight.dtype):
                continue
            values = ops.convert_to_numpy(weight)
            if not np.all(np.isfinite(values)):
                nans = int(np.sum(np.isnan(values)))
                infinite = int(np.sum(np.isinf(values)))
                found.append(BadWeight(path, weight.name, nans, infinite))
    return found


def check_no_nans(model: keras.Model) -> None:
    """Check that no weight of a built model is NaN.

    Raises:
        ValueError: If one is, with the layers and weights.
    """
    if found := [each for each in bad_weights(model) if each.nans]:
        raise ValueError(
            f"Expected a model whose weights are numbers. Received: model {model.name!r} with "
            f"{'; '.join(map(str, found))}: its training has diverged, so load weights from before "
            "that, or train anew with a lower learning rate"
        )
