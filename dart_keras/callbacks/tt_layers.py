import keras

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.model_surgery.layer_names import distinct_names
from dart_keras.private_apis import flatten_layers


def tt_layers_in(model: keras.Model) -> list[TTLayer]:
    """Return the TT layers of a model, at any depth; there may be none."""
    return [layer for layer in flatten_layers(model) if isinstance(layer, TTLayer)]


def tt_layers_of(model: keras.Model, callback: keras.callbacks.Callback) -> list[TTLayer]:
    """Return the TT layers of a model, at any depth.

    Raises:
        ValueError: If there are none.
    """
    layers = tt_layers_in(model)
    if not layers:
        names = [layer.name for layer in flatten_layers(model)]
        raise ValueError(
            f"{type(callback).__name__} expected a model with TT layers, such as `TTDense`. "
            f"Received: model {model.name!r} with the layers {names}"
        )
    return layers


def ranks_to_log(model: keras.Model, layers: list[TTLayer]) -> dict[str, int]:
    """Return the rank of every bond, by the names that the logs give them.

    Args:
        model: The model in training.
        layers: Its TT layers.
    """
    return {
        f"{name}_rank_{bond}": rank
        for name, layer in zip(distinct_names(model, layers), layers, strict=True)
        for bond, rank in enumerate(layer.ranks[1:-1], start=1)
    }
