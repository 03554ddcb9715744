"""Saving layers whose sublayers were replaced: their own config knows nothing of it."""

import functools
from collections.abc import Collection, Iterator
from typing import Any

import keras

from dart_keras.private_apis import (
    describes_its_layers,
    flatten_layers,
    own_weights,
    replace_sublayers,
    sublayer_at,
    sublayers,
)

_NAME = "WithReplacedSublayers"
KeyPath = list[
    list[Any]
]  # from a layer to one in it, step by step, the keys that `sublayers` gives


@keras.saving.register_keras_serializable("dart_keras", _NAME)
class WithReplacedSublayers:
    """What the class of a layer gets as its first base when layers in it were replaced.

    The layer is saved as what it would be without, and the layers that are others beside it. On
    loading it is rebuilt, the others are put in, and then Keras loads the weights.
    """

    plain_class: type

    def get_config(self) -> dict[str, Any]:
        """Return the config of the plain layer, and what is to be changed once it is rebuilt."""
        layer: Any = self
        cls = type(layer)
        # Keras makes configs from the class's constructor, which must be the original one.
        object.__setattr__(layer, "__class__", cls.plain_class)
        try:
            plain = keras.saving.serialize_keras_object(layer)
            shared = _shared_paths(layer)
        finally:
            object.__setattr__(layer, "__class__", cls)
        replaced = layer.replaced_paths
        holders: list[KeyPath] = []
        for path in replaced:
            holders += [path[:end] for end in range(1, len(path)) if path[:end] not in holders]
        return {
            "layer": {**plain, "compile_config": None},
            "holders": [[path, _follow(layer, path).get_build_config()] for path in holders],
            "replaced": [
                [path, keras.saving.serialize_keras_object(_follow(layer, path))]
                for path in replaced
            ],
            "shared": shared,
            # Configs of layers that make their layers themselves do not tell.
            "frozen": [path for path, each in _paths(layer) if not each.trainable],
            # Nor do they tell of weights beside layers that are trained.
            "frozen_weights": [
                [path, flags]
                for path, flags in (
                    (path, [weight.trainable for weight in own_weights(each)])
                    for path, each in [([], layer), *_paths(layer)]
                    if each.trainable
                )
                if not all(flags)
            ],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> keras.Layer:
        """Return the layer with the others put in."""
        layer = keras.saving.deserialize_keras_object(config["layer"])
        for path, build_config in config["holders"]:
            # One without a `build` of its own has not built what it holds.
            holder = _follow(layer, path)
            if not holder.built:
                holder.build_from_config(build_config)
        for path, new in config["replaced"]:
            _put(layer, path, keras.saving.deserialize_keras_object(new))
        for first, *others in config["shared"]:
            for path in others:
                _put(layer, path, _follow(layer, first))
        # Files of earlier versions do not have it.
        for path in config.get("frozen", []):
            _follow(layer, path).trainable = False
        _remember(layer, [path for path, _ in config["replaced"]])
        frozen = config.get("frozen_weights", [])
        object.__setattr__(layer, "flags_of_weights", frozen)
        _freeze_weights(layer, frozen)
        return layer

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer, and freeze the weights of its own that were frozen."""
        super().build_from_config(config)  # type: ignore[misc]
        _freeze_weights(self, getattr(self, "flags_of_weights", []))


def _freeze_weights(layer: Any, frozen: list[tuple[KeyPath, list[bool]]]) -> None:
    for path, flags in frozen:
        own = own_weights(_follow(layer, path))
        # A layer that is not built yet has none.
        if len(own) == len(flags):
            for weight, flag in zip(own, flags, strict=True):
                weight.trainable = flag


def remember_replaced(model: keras.Model, replaced: Collection[int]) -> None:
    """Have a model saved with its replaced layers, whose `id`s are given, at any depth."""
    for layer in _layers_with_configs(model):
        if not describes_its_layers(layer):
            paths = [path for path, each in _paths(layer) if id(each) in replaced]
            if paths:
                _remember(layer, paths)
    # Keras does not find layers again that models share with what is inside models.
    if replaced and describes_its_layers(model) and _shared_paths(model):
        _remember(model, [])


def forget_replaced(model: keras.Model, restored: Collection[int]) -> None:
    """Have a model saved as usual where plain layers, whose `id`s are given, are back in place."""
    for layer in (model, *flatten_layers(model)):
        known = getattr(layer, "replaced_paths", [])
        left = [path for path in known if id(_follow(layer, path)) not in restored]
        if len(left) < len(known):
            object.__setattr__(layer, "replaced_paths", left)
        if left or not isinstance(layer, WithReplacedSublayers):
            continue
        # A model may have none of its own, and be saved in this way for what layers in it share.
        if known or not _shared_paths(layer):
            object.__setattr__(layer, "__class__", layer.plain_class)


def _layers_with_configs(layer: keras.Layer) -> Iterator[keras.Layer]:
    """Yield the layers, the given one included, whose configs the given one's config holds."""
    yield layer
    if describes_its_layers(layer):
        for _, each in sublayers(layer):
            yield from _layers_with_configs(each)


def _remember(layer: keras.Layer, paths: list[KeyPath]) -> None:
    known = getattr(layer, "replaced_paths", [])
    object.__setattr__(layer, "replaced_paths", known + [p for p in paths if p not in known])
    if not isinstance(layer, WithReplacedSublayers):
        cls: Any = type(layer)
        object.__setattr__(layer, "__class__", _with_replaced_sublayers(cls))


@functools.cache
def _with_replaced_sublayers(cls: Any) -> type:
    members = {"plain_class": cls, "__module__": cls.__module__, "__doc__": cls.__doc__}
    # The name is that of the original, because it is part of the names of weights in files.
    made = type(cls.__name__, (WithReplacedSublayers, cls), members)
    return keras.saving.register_keras_serializable("dart_keras", _NAME)(made)


def _paths(layer: keras.Layer) -> Iterator[tuple[KeyPath, keras.Layer]]:
    """Yield every layer at any depth with its path; a shared layer with each of its paths."""
    seen: set[int] = set()

    def below(holder: keras.Layer, path: KeyPath) -> Iterator[tuple[KeyPath, keras.Layer]]:
        for keys, each in sublayers(holder):
            to_each = [*path, list(keys)]
            yield to_each, each
            if id(each) not in seen:
                seen.add(id(each))
                yield from below(each, to_each)

    return below(layer, [])


def _shared_paths(layer: keras.Layer) -> list[list[KeyPath]]:
    """Return the paths of each layer with weights that has several."""
    found: dict[int, list[KeyPath]] = {}
    for path, each in _paths(layer):
        if each.weights:
            found.setdefault(id(each), []).append(path)
    return [paths for paths in found.values() if len(paths) > 1]


def _follow(layer: keras.Layer, path: KeyPath) -> keras.Layer:
    for keys in path:
        layer = sublayer_at(layer, keys)
    return layer


def _put(layer: keras.Layer, path: KeyPath, new: keras.Layer) -> None:
    old = _follow(layer, path)
    if old is not new:
        replace_sublayers(_follow(layer, path[:-1]), {id(old): new})
