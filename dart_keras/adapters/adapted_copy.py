"""Copies of models that share their weights and have adapters."""

from collections.abc import Mapping
from typing import Any

import keras

from dart_keras.adapters.adapted_layer import AdaptedLayer, adapted_layers_in, base_of
from dart_keras.adapters.adapter import Adapter
from dart_keras.adapters.kernels import kernel_or_none, plain_copy
from dart_keras.model_surgery.replace import copy_with_replacements, distinct_paths
from dart_keras.private_apis import flatten_layers, name_without_count, own_weights, share_variables


def adaptable_layers(model: keras.Model, for_file: bool = False) -> dict[str, keras.Layer]:
    """Return the layers of a model that adapters can be asked for, by path.

    Args:
        model: A built model. Of layers that are adapted already it has the `AdaptedLayer` alone.
        for_file: Whether paths are to be the same in the next process, in which Keras may count on
            otherwise in the names that it gives by itself.

    Raises:
        ValueError: If it is not a built model.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"Expected a built Keras model. Received: {model!r}")
    return dict(
        distinct_paths(
            model,
            lambda layer: not isinstance(layer, AdaptedLayer),
            lambda layer: isinstance(layer, AdaptedLayer) or own_weights(layer),
            _lasting_name if for_file else lambda layer: layer.name,
        )
    )


def _lasting_name(layer: Any) -> str:
    if isinstance(layer, AdaptedLayer) and layer.base.name == layer.name:
        return name_without_count(layer.base)
    return name_without_count(layer)


def with_adapters(
    model: keras.Model, adapters: Mapping[str, Adapter], name: str, keep: bool = True
) -> keras.Model:
    """Return a model that shares the weights of another one, and has adapters.

    Args:
        model: The model, which may have others already.
        adapters: By path of a layer its new adapter.
        name: Name of the adapters. They are in use if they are the only ones.
        keep: Whether to keep the other ones.
    """
    paths = {id(layer): path for path, layer in adaptable_layers(model).items()}
    is_first = not keep or not adapted_layers_in(model)

    def adapted(layer: Any) -> AdaptedLayer | None:
        adapter = adapters.get(paths.get(id(layer), ""))
        if adapter is None and not isinstance(layer, AdaptedLayer):
            return None
        new = _sharing_copy(layer, keep)
        if adapter is not None:
            if not adapter.built:
                adapter.build()
            adapter.attach(new.base)
            new.add_adapter(name, adapter)
            if is_first:
                new.weights_in_use = {name: 1.0}
        return new

    copy, layers = copy_with_replacements(model, adapted)
    for old in (model, *flatten_layers(model)):
        # What Keras holds for itself is not there, such as the graph in a Sequential model.
        new = layers.get(id(old))
        if new is not None and not isinstance(new, AdaptedLayer) and own_weights(old):
            _share(old, new)
    if not adapted_layers_in(model):
        # Keras's flags of its layers, too: without them it would not notice that it is to be
        # trained again, and batch normalizations would go on learning.
        model.trainable = False
    train_adapters(copy)
    return copy


def _sharing_copy(layer: Any, keep: bool) -> AdaptedLayer:
    """Return an adapted layer that shares the weights of a layer, and its adapters to keep."""
    is_adapted = isinstance(layer, AdaptedLayer)
    base = base_of(layer)
    kernel = kernel_or_none(base)
    shared = plain_copy(base, kernel)
    _share(base, shared)
    new = AdaptedLayer(
        shared,
        layer.adapters if is_adapted and keep else {},
        getattr(layer, "activation", None) if is_adapted or kernel is not None else None,
        layer.activity_regularizer,
        layer.weights_in_use if is_adapted and keep else {},
        name=layer.name,
    )
    new.build()
    return new


def _share(old: keras.Layer, new: keras.Layer) -> None:
    pairs = zip(own_weights(new), own_weights(old), strict=True)
    share_variables(new, {id(mine): theirs for mine, theirs in pairs})


def train_adapters(model: keras.Model) -> None:
    """Make the adapters of a model that are in use all that is trained of it.

    Args:
        model: A model with adapters.
    """
    make_trainable(model)
    adapters = [
        (adapter, name in layer.weights_in_use)
        for layer in adapted_layers_in(model)
        for name, adapter in layer.adapters.items()
    ]
    for adapter, is_in_use in adapters:
        adapter.trainable = is_in_use
    inside = {id(layer) for each, _ in adapters for layer in (each, *flatten_layers(each))}
    for layer in flatten_layers(model):
        if id(layer) in inside:
            continue
        if isinstance(layer, AdaptedLayer) or adapted_layers_in(layer):
            # Its flag would be that of the adapters in it as well.
            for weight in own_weights(layer):
                weight.trainable = False
        else:
            layer.trainable = False
    for weight in own_weights(model):
        weight.trainable = False


def make_trainable(model: keras.Model) -> None:
    """Make all of a model trainable.

    Args:
        model: The model.
    """
    for layer in (model, *flatten_layers(model)):
        # TensorFlow ignores a flag that is set to what it is, even if those inside are otherwise.
        layer.trainable = False
        layer.trainable = True
