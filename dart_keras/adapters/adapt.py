"""Adapted copies of pretrained models."""

from collections.abc import Mapping
from typing import Any

import keras

from dart_keras.adapters.adapted_copy import adaptable_layers, with_adapters
from dart_keras.adapters.adapted_layer import base_of
from dart_keras.adapters.kernels import LayerKernel, float_copy, kernel_of, kernel_or_none
from dart_keras.adapters.layer_patterns import LayerPattern, matching_layers
from dart_keras.adapters.method import Method
from dart_keras.adapters.trained_copy import TrainedCopy
from dart_keras.model_surgery.links import shared_layers
from dart_keras.private_apis import sublayers

DEFAULT_NAME = "default"


def adapt(
    model: keras.Model,
    method: Method,
    layers: LayerPattern,
    train_also: LayerPattern = (),
    name: str = DEFAULT_NAME,
) -> keras.Model:
    """Return a model with adapters, which shares the weights of a pretrained one.

    The adapters change nothing until they are trained. They are all that is trained, with the
    layers of `train_also`. The other weights are those of the pretrained model itself, not copies:
    they are frozen, in the pretrained model as well. Set `trainable = True` there to train them
    again.

    Args:
        model: A built model that Keras can save: Sequential, functional or subclassed. Its outputs
            do not change. It may have adapters already, which the new model shares as well; then it
            gets others beside these, which are not in use until `active` says so.
        method: How to adapt, such as `TTLoRA()`.
        layers: Which layers get adapters: a regular expression that matches their whole paths, a
            list of ends of paths such as `["query", "value"]`, or a function of path and layer.
            Paths are those of `dart_keras.model_surgery.layers_with_paths`. A layer inside of a
            block that is used several times is adapted in all of its uses.
        train_also: Layers without adapters that are trained, in the same ways: usually a new head.
            They are copies, of the dtype of the layer.
        name: Name of the adapters, for `active` and `save`.

    Returns:
        The model, not compiled.

    Raises:
        TypeError: If `method` is no method.
        ValueError: If no layer matches, or one cannot be adapted: because it is of another kind, is
            shared by several parts of the model, is too small for the method, or has an adapter of
            that name. The model is then as it was.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> hidden = keras.layers.Dense(64, "relu", name="hidden")
        >>> logits = keras.layers.Dense(2, name="logits")
        >>> base = keras.Sequential([keras.Input((64,)), hidden, logits])
        >>> adapted = adapters.adapt(base, adapters.TTLoRA(rank=2), ["hidden"], ["logits"])
        >>> sum(weight.shape.num_elements() for weight in adapted.trainable_variables)
        226
    """
    if not isinstance(method, Method):
        raise TypeError(
            "Expected `method` to be a method of `dart_keras.adapters`, such as `TTLoRA()`. "
            f"Received: {method!r}"
        )
    known = adaptable_layers(model)
    chosen = matching_layers("layers", layers, known)
    # An empty list is the default.
    also = {} if train_also in ((), []) else matching_layers("train_also", train_also, known)
    if both := sorted(chosen.keys() & also.keys()):
        raise ValueError(
            "Expected `layers` and `train_also` to match different layers. Received: in both "
            f"{both}"
        )
    check_places(model, {**chosen, **also}, name)
    kernels = {path: _kernel(path, layer) for path, layer in chosen.items()}
    arguments = {path: arguments_for(layer, name) for path, layer in chosen.items()}
    adapters = method.adapters_for(kernels, arguments)
    copies = {path: trained_copy(layer, name) for path, layer in also.items()}
    return with_adapters(model, {**adapters, **copies}, name)


def check_places(model: keras.Model, layers: Mapping[str, Any], name: str) -> None:
    """Check that layers can get adapters of a name.

    Args:
        model: The model.
        layers: Layers of it, by path.
        name: The name.

    Raises:
        ValueError: If one has an adapter of that name, or several places in the model, or the name
            is not valid.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(
            "Expected `name` to be such as that of a variable: letters, digits, underscores. "
            f"Received: name={name!r}"
        )
    for path, layer in layers.items():
        if name in getattr(layer, "adapters", {}):
            raise ValueError(
                f"Expected a model without adapters named {name!r}, or another name. Received: one "
                f"whose layer {path!r} has such an adapter"
            )
    shared = shared_layers(model)
    if several := [path for path, layer in layers.items() if id(layer) in shared]:
        raise ValueError(
            "Expected layers that have one place in the model. Received: layers that are shared: "
            f"{several}. What an adapter learns in one place would change the others"
        )


def trained_copy(layer: Any, name: str) -> TrainedCopy:
    """Return an adapter that is a copy of a layer.

    Args:
        layer: A built layer of float weights, or an `AdaptedLayer` of one.
        name: Name of the adapters.

    Raises:
        ValueError: If the layer is quantized, holds others, or is a cell.
    """
    base = base_of(layer)
    if any(each.weights for _, each in sublayers(base)) or hasattr(base, "state_size"):
        raise ValueError(
            "Expected layers of `train_also` that hold no other layers and are no cells of "
            f"recurrent ones. Received: {base!r}"
        )
    if getattr(base, "quantization_mode", None) is not None:
        raise ValueError(
            f"Expected layers of `train_also` with float weights. Received: {base!r}, quantized to "
            f"{base.quantization_mode!r}"
        )
    return TrainedCopy(float_copy(base, kernel_or_none(base)), name=f"{layer.name}_{name}")


def _kernel(path: str, layer: Any) -> LayerKernel:
    try:
        return kernel_of(base_of(layer))
    except ValueError as error:
        raise ValueError(f"Layer {path!r} cannot be adapted. {error}") from error


def arguments_for(layer: Any, name: str) -> dict[str, Any]:
    """Return `name` and `dtype` of the adapter of a layer.

    Args:
        layer: The layer.
        name: Name of the adapters.
    """
    compute = base_of(layer).compute_dtype
    # Weights of low precision do not learn from small gradients.
    is_low = compute in ("float16", "bfloat16")
    return {"name": f"{layer.name}_{name}", "dtype": f"mixed_{compute}" if is_low else compute}
