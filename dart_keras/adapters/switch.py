"""Which of a model's adapters are in use."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType

import keras

from dart_keras.adapters.adapted_copy import train_adapters
from dart_keras.adapters.adapted_layer import adapted_layers_in
from dart_keras.adapters.trained_copy import TrainedCopy
from dart_keras.private_apis import flatten_layers, owners_of, retrace
from dart_keras.utils.argument_checks import is_number


def active(
    model: keras.Model, names: str | Iterable[str] | Mapping[str, float]
) -> AbstractContextManager[None]:
    """Use some of a model's adapters and no others, at once; in a `with`, only inside of it.

    The model need not be compiled again, unless other adapters are to be trained now.

    Args:
        model: A model of `adapt`.
        names: The name of the adapters, several names, or weights by name: the weighted sum of what
            they change. Those that do not add to a kernel, `DoRA` and `LoRETTAAdp`, act one after
            the other, in this order.

    Returns:
        What undoes it when a `with` ends.

    Raises:
        TypeError: If `names` is none of these.
        ValueError: If the model has no adapters of a name, a weight is no number, or several
            adapters have a trained copy of a layer. The model is then as it was.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, name="hidden")])
        >>> model = adapters.adapt(base, adapters.LoRA(rank=2), ["hidden"], name="red")
        >>> model = adapters.adapt(model, adapters.LoRA(rank=2), ["hidden"], name="blue")
        >>> with adapters.active(model, {"red": 0.5, "blue": 0.5}):
        ...     both = model(keras.ops.ones((1, 8)))
        >>> blue = adapters.active(model, "blue")
    """
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, Iterable):
        raise TypeError(f"Expected `names` to be a name, names or weights. Received: {names!r}")
    weights = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, 1.0)
    known = adapter_names(model)
    if unknown := [name for name in weights if name not in known]:
        raise ValueError(f"Expected names of the model's adapters, {known}. Received: {unknown}")
    for name, weight in weights.items():
        if not is_number(weight) or not abs(weight) < float("inf"):
            raise ValueError(
                f"Expected finite numbers as weights. Received: {weight!r} for {name!r}"
            )
    for layer in adapted_layers_in(model):
        used = [name for name in weights if name in layer.adapters]
        copies = [name for name in used if isinstance(layer.adapters[name], TrainedCopy)]
        if copies and (len(used) > 1 or weights[copies[0]] != 1):
            raise ValueError(
                f"Expected one of {used} alone, with the weight 1: layer {layer.name!r} has a copy "
                f"that was trained in full, of which there is no weighted sum. Received: {weights}"
            )
    return _Switch(model, weights)


def disabled(model: keras.Model) -> AbstractContextManager[None]:
    """Use none of a model's adapters; in a `with`, only inside of it.

    The outputs are then those of the pretrained model, to the bit.

    Args:
        model: A model of `adapt`.

    Returns:
        What undoes it when a `with` ends.

    Raises:
        ValueError: If the model has no adapters.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.LoRA(rank=2), ["hidden"])
        >>> with adapters.disabled(adapted):
        ...     outputs = adapted(keras.ops.ones((1, 8)))
    """
    return active(model, [])


def adapter_names(model: keras.Model) -> list[str]:
    """Return the names of a model's adapters.

    Args:
        model: A model of `adapt`.

    Raises:
        ValueError: If it has none.
    """
    names = [name for layer in adapted_layers_in(model) for name in layer.adapters]
    if not names:
        raise ValueError(
            f"Expected a model with adapters, from `adapt`. Received: model {model.name!r} without"
        )
    return list(dict.fromkeys(names))


def chosen_name(model: keras.Model, name: str | None) -> str:
    """Return the name of the adapters that are meant.

    Args:
        model: A model of `adapt`.
        name: The name; it need not be given if there are no others.

    Raises:
        ValueError: If there are no adapters of that name, or several and none was named.
    """
    names = adapter_names(model)
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        raise ValueError(f"Expected `name` to be one of {names}. Received: name={name!r}")
    return name


class _Switch(AbstractContextManager[None]):
    def __init__(self, model: keras.Model, weights: Mapping[str, float]) -> None:
        self._model = model
        self._before = [(x, x.weights_in_use) for x in adapted_layers_in(model)]
        self._flags = [(x, x.trainable) for x in (model, *flatten_layers(model))]
        self._frozen = [(v, v.trainable) for v in model.weights]
        for layer, _ in self._before:
            layer.weights_in_use = {
                name: float(weight) for name, weight in weights.items() if name in layer.adapters
            }
        train_adapters(model)
        self._retrace()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for layer, weights in self._before:
            layer.weights_in_use = weights
        # From the outside in, because each flag is also one of all inside.
        for each, flag in (*self._flags, *self._frozen):
            each.trainable = flag
        self._retrace()

    def _retrace(self) -> None:
        owners = (owner for layer, _ in self._before for owner in owners_of(layer))
        for model in {id(each): each for each in (self._model, *owners)}.values():
            retrace(model)
