import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras

from dart_keras.model_surgery.clone import copy_model
from dart_keras.model_surgery.replaced_sublayers import remember_replaced
from dart_keras.private_apis import own_weights, replace_sublayers, sublayers
from dart_keras.utils.random_state import keeping_random_state

LayerReplacement = Callable[[keras.Layer], keras.Layer | None]


def layers_with_paths(model: keras.Model) -> Iterator[tuple[str, keras.Layer]]:
    """Yield the layers of a model that have weights of their own, at any depth and each once.

    Args:
        model: A built model.

    Yields:
        The names that lead to the layer, such as "encoder/attention/query", no two the same, and
        the layer, in the order in which the model holds them.

    Example:
        >>> attention = keras.layers.MultiHeadAttention(2, 4, name="attention")
        >>> x = keras.Input((3, 8))
        >>> [path for path, _ in layers_with_paths(keras.Model(x, attention(x, x)))]
        ['attention/query', 'attention/key', 'attention/value', 'attention/attention_output']
    """
    yield from distinct_paths(model, lambda layer: True, own_weights)


def distinct_paths(
    model: keras.Model,
    descend: Callable[[keras.Layer], Any],
    is_wanted: Callable[[keras.Layer], Any],
    name_of: Callable[[keras.Layer], str] = lambda layer: layer.name,
) -> Iterator[tuple[str, keras.Layer]]:
    """Yield layers at any depth with their paths, no two the same, as `layers_with_paths` does.

    Args:
        model: A built model.
        descend: Whether to look for layers inside of a layer, too.
        is_wanted: Whether to yield a layer.
        name_of: The part of a path that stands for a layer.
    """
    taken: set[str] = set()
    for path, layer in _walk(model, "", {id(model)}, descend, name_of):
        if not is_wanted(layer):
            continue
        numbered = (f"{path}_{n}" for n in itertools.count(2))
        unique = next(each for each in itertools.chain([path], numbered) if each not in taken)
        taken.add(unique)
        yield unique, layer


def replace_layers(model: keras.Model, replacement: LayerReplacement) -> keras.Model:
    """Return a copy of a model in which some layers are replaced by others.

    Works in Sequential, functional, nested and subclassed models, and in layers that hold layers,
    such as `MultiHeadAttention` and wrappers. Layers that are shared, or called several times, stay
    so. The copy can be saved to a `.keras` file and loaded with `dart_keras.load_model`.

    Args:
        model: A built model that Keras can save. It is left as it is.
        replacement: Called once with every layer of the model that has weights of its own. Returns
            a new, built layer that takes the same inputs and gives outputs of the same shape, and
            gets the old one's name, or `None` for a copy of the old one. What is inside a layer
            that is replaced is replaced with it.

    Returns:
        The copy, built and not compiled, with the names, policies, `trainable` flags, weights and
        other state of the model.

    Raises:
        ValueError: If the model is not a built one or cannot be rebuilt from its config, or if a
            replacement is not a new, built layer that fits.

    Example:
        >>> from dart_keras.layers import TTDense
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, name="hidden")])
        >>> small = replace_layers(model, lambda layer: TTDense.from_dense(layer, ranks=4))
        >>> small.get_layer("hidden").ranks
        (1, 4, 1)
    """
    return copy_with_replacements(
        model, lambda layer: replacement(layer) if own_weights(layer) else None
    )[0]


@keeping_random_state()
def copy_with_replacements(
    model: keras.Model, replacement: LayerReplacement
) -> tuple[keras.Model, dict[int, keras.Layer]]:
    """Return what `replace_layers` returns, and by the `id` of each layer its copy or replacement.

    Args:
        model: A built model that Keras can save. It is left as it is.
        replacement: As for `replace_layers`, but called with every layer.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"Expected a built Keras model. Received: {model!r}")
    chosen: list[tuple[keras.Layer, keras.Layer]] = []
    present = {id(model)}

    def keep(layer: keras.Layer) -> bool:
        new = replacement(layer)
        if new is None:
            return True
        chosen.append((layer, new))
        return False

    for _ in _walk(model, "", present, keep, lambda layer: layer.name):
        pass
    for old, new in chosen:
        _check_new(old, new, present)
        present.add(id(new))
    copy, copies = copy_model(model)
    for old, new in chosen:
        _check_fit(copies[id(old)], new)
    replacements = {id(copies[id(old)]): new for old, new in chosen}
    for old, new in chosen:
        new.name = old.name
    for holder in {id(layer): layer for layer in copies.values()}.values():
        replace_sublayers(holder, replacements)
    remember_replaced(copy, [id(new) for _, new in chosen])
    return copy, copies | {id(old): new for old, new in chosen}


def _walk(
    layer: keras.Layer,
    prefix: str,
    seen: set[int],
    descend: Callable[[keras.Layer], bool],
    name_of: Callable[[keras.Layer], str],
) -> Iterator[tuple[str, keras.Layer]]:
    for _, each in sublayers(layer):
        if id(each) in seen:
            continue
        seen.add(id(each))
        path = f"{prefix}{name_of(each)}"
        yield path, each
        if not descend(each):
            continue
        yield from _walk(each, f"{path}/", seen, descend, name_of)


def _check_new(old: keras.Layer, new: keras.Layer, present: set[int]) -> None:
    if not isinstance(new, keras.Layer) or not new.built or id(new) in present:
        raise ValueError(
            f"Expected a new, built layer in the place of {old.name!r}, or `None`. Received: "
            f"{new!r}"
        )


def _check_fit(old: keras.Layer, new: keras.Layer) -> None:
    """Raise a ValueError if the new layer does not do with a batch what the old one does."""
    shape = (old.get_build_config() or {}).get("input_shape")
    if not shape or not all(dim is None or isinstance(dim, int) for dim in shape):
        return  # nothing is known of the inputs, or there are several
    # Enough for most kernels and strides where a size is not known.
    batch = keras.ops.zeros([1, *(32 if dim is None else dim for dim in shape[1:])])
    try:
        expected = old(batch)
    except Exception:
        return  # it is called in another way, as a cell of an RNN is
    try:
        received = _shapes(new(batch))
    except Exception as error:
        raise ValueError(
            f"Expected a layer for inputs of shape {tuple(shape)} in the place of {old.name!r}. "
            f"Received: {new!r}, which says: {error}"
        ) from error
    if received != _shapes(expected):
        raise ValueError(
            f"Expected a layer with outputs of shape {_shapes(expected)} for a batch of one in the "
            f"place of {old.name!r}. Received: {new!r} with {received}"
        )


def _shapes(outputs: Any) -> Any:
    return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), outputs)
