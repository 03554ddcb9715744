"""Names that tell layers of a model apart."""

from collections import Counter
from collections.abc import Sequence

import keras

from dart_keras.model_surgery.replace import layers_with_paths


def distinct_names(model: keras.Model, layers: Sequence[keras.Layer]) -> list[str]:
    """Return a name for each of some layers of a model, no two the same.

    That is the layer's own name, or, where another one of them has it too, the names that lead to
    the layer. Keras makes names distinct within a model, but not across nested ones.

    Args:
        model: The model.
        layers: Layers of it, at any depth.

    Example:
        >>> def inner(name):
        ...     stack = [keras.Input((4,)), keras.layers.Dense(4, name="dense")]
        ...     return keras.Sequential(stack, name=name)
        >>> model = keras.Sequential([inner("first"), inner("second")])
        >>> distinct_names(model, [each.layers[0] for each in model.layers])
        ['first/dense', 'second/dense']
    """
    counts = Counter(layer.name for layer in layers)
    if max(counts.values(), default=1) == 1:
        return [layer.name for layer in layers]
    paths = {id(layer): path for path, layer in layers_with_paths(model)}
    # A layer that is not built has no path yet.
    named = [
        layer.name if counts[layer.name] == 1 else paths.get(id(layer), layer.name)
        for layer in layers
    ]
    again = Counter(named)
    return [
        name if again[name] == 1 else f"{name}_{named[: place + 1].count(name)}"
        for place, name in enumerate(named)
    ]
