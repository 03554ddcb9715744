import tempfile
import warnings
from typing import Any

import keras

from dart_keras.private_apis import flatten_layers, replace_sublayers, sublayers


def copy_model(model: keras.Model) -> tuple[keras.Model, dict[int, keras.Layer]]:
    """Return a copy of a built model that is not compiled and shares no variable with it.

    `keras.models.clone_model` copies neither weights nor what is inside subclassed models and
    composite layers, gives layers that are shared between nested models twice, and turns a
    functional model of a class of its own into a plain one.

    Args:
        model: A built model that its config rebuilds.

    Returns:
        The copy, and by the `id` of each layer of the model, at any depth, its copy. Layers that
        are shared are shared in the copy too.

    Raises:
        ValueError: If the config rebuilds something else than the model.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="logits")])
        >>> copy, copies = copy_model(model)
        >>> copies[id(model.layers[0])] is copy.layers[0]
        True
    """
    config = keras.saving.serialize_keras_object(model)
    config["compile_config"] = None
    kinds: list[Any] = [type(layer) for layer in (model, *flatten_layers(model))]
    # Classes with replaced sublayers are found by the name that they are registered with.
    classes = {kind.__name__: getattr(kind, "plain_class", kind) for kind in kinds}
    with warnings.catch_warnings():
        # Layers without a `build` build what they hold when they are called, here as everywhere.
        warnings.filterwarnings("ignore", ".*does not have a `build\\(\\)` method implemented")
        copy = keras.saving.deserialize_keras_object(config, classes, safe_mode=False)
    copies = {id(model): copy}
    pairs = [(model, copy)]
    _pair(model, copy, copies, pairs)
    for old, new in pairs:
        # Layers made by others, not from a config of their own, have got new automatic names.
        new.name = old.name
        if new.trainable != old.trainable:
            new.trainable = old.trainable
    if [v.shape for v in model.variables] != [v.shape for v in copy.variables]:
        raise _not_rebuilt(model)
    for before, after in zip(model.variables, copy.variables, strict=True):
        after.assign(_own(before))
    for old, new in pairs:
        _copy_other_state(old, new)
    return copy, copies


def _pair(
    model: keras.Layer,
    copy: keras.Layer,
    copies: dict[int, keras.Layer],
    pairs: list[tuple[keras.Layer, keras.Layer]],
) -> None:
    before, after = list(sublayers(model)), list(sublayers(copy))
    if [keys for keys, _ in before] != [keys for keys, _ in after]:
        if model.variables or copy.variables:
            raise _not_rebuilt(model)
        # A preprocessor of KerasHub makes some of its layers when it is first called.
        after_keys = {tuple(keys) for keys, _ in after}
        before = [each for each in before if tuple(each[0]) in after_keys]
        before_keys = {tuple(keys) for keys, _ in before}
        after = [each for each in after if tuple(each[0]) in before_keys]
    for (_, old), (_, new) in zip(before, after, strict=True):
        if id(old) not in copies:
            copies[id(old)] = new
            pairs.append((old, new))
            _pair(old, new, copies, pairs)
        elif copies[id(old)] is not new:
            replace_sublayers(copy, {id(new): copies[id(old)]})


def states_of(layer: keras.Layer) -> list[keras.Variable]:
    """Return the states of a stateful recurrent layer, which are not among its variables."""
    states = getattr(layer, "states", None) if getattr(layer, "stateful", False) else None
    return keras.tree.flatten(states or [])


def _copy_other_state(old: keras.Layer, new: keras.Layer) -> None:
    for before, after in zip(states_of(old), states_of(new), strict=True):
        after.assign(_own(before))
    # What is no variable: vocabularies, and what layers work out when their weights are loaded.
    store: dict = {}
    old.save_own_variables(store)
    if store:
        new.load_own_variables({name: _own(value) for name, value in store.items()})
    if hasattr(old, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)


def _own(value: Any) -> Any:
    # JAX shares an array that is assigned, and training ends the life of those that it was given.
    return keras.ops.copy(value) if isinstance(value, keras.Variable) else value


def _not_rebuilt(layer: keras.Layer) -> ValueError:
    return ValueError(
        "Expected a model that can be rebuilt from its config, as for saving it to a `.keras` "
        f"file. Received: {layer!r}, whose config makes other layers or weights"
    )
