from typing import Any

import keras

from dart_keras.layers.folded_batch_norm import FoldedBatchNormalization
from dart_keras.model_surgery.links import links
from dart_keras.quantization.coverage import has_kernel

_FUSED = (keras.activations.relu, keras.activations.relu6)


def fused_activations(model: keras.Model) -> tuple[dict[int, Any], set[int]]:
    """Return the activation layers that a file fuses with the product before them.

    Between the two there may be a normalization that was folded.

    Args:
        model: A built Sequential or functional model.

    Returns:
        By the `id` of each layer whose weights are multiplied by, the activation after it, and the
        `id`s of the layers that hold these activations.

    Example:
        >>> stack = [keras.layers.Dense(3), keras.layers.ReLU(6.0)]
        >>> model = keras.Sequential([keras.Input((4,)), *stack])
        >>> activations, layers = fused_activations(model)
        >>> activations[id(model.layers[0])].__name__, layers == {id(model.layers[1])}
        ('relu6', True)
    """
    after = {id(link.layer): link for link in links(model)}
    found: dict[int, Any] = {}
    holders: set[int] = set()
    for link in after.values():
        layer: Any = link.layer
        is_product = has_kernel(layer) or isinstance(layer, keras.layers.SeparableConv2D)
        if not is_product or layer.activation is not keras.activations.linear:
            continue
        reader = link.reader
        while isinstance(reader, FoldedBatchNormalization) and id(reader) in after:
            reader = after[id(reader)].reader
        if (activation := _activation_of(reader)) in _FUSED:
            found[id(layer)] = activation
            holders.add(id(reader))
    return found, holders


def _activation_of(layer: Any) -> Any:
    if type(layer) is keras.layers.Activation:
        return layer.activation
    if type(layer) is keras.layers.ReLU and not (layer.negative_slope or layer.threshold):
        limits = {None: keras.activations.relu, 6.0: keras.activations.relu6}
        return limits.get(layer.max_value)
    return None
