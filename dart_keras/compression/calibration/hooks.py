"""Watching what layers are given and what they make of it, while a model runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from dart_keras.compression.compressible.base import CompressibleLayer

# A compressible layer's place in the list, the inputs of a call and its outputs before the
# activation.
ForwardHook = Callable[[int, Any, Any], None]


@contextmanager
def forward_hooks(
    copies: dict[int, keras.Layer], compressibles: Sequence[CompressibleLayer], hook: ForwardHook
) -> Iterator[None]:
    """Call a hook after every call of compressible layers in a copy of their model.

    Args:
        copies: By the `id` of a layer of the model its copy, as `copy_model` gives them.
        compressibles: Compressible layers of the model.
        hook: Called after each call of a layer, and of the normalization after it. Calls inside
            loops that the backend compiles, whose values cannot be seen, are passed over, and
            reversed ones of embeddings.
    """
    changed: list[tuple[Any, str, Any]] = []

    def change(layer: Any, name: str, value: Any) -> None:
        changed.append((layer, name, vars(layer).get(name)))
        setattr(layer, name, value)

    try:
        for place, compressible in enumerate(compressibles):
            layer: Any = copies[id(compressible.layer)]
            watch = _Watch(compressible, place, hook)
            change(layer, "call", watch.noting_inputs(layer.call, compressible.norm is None))
            if compressible.norm is not None:
                norm: Any = copies[id(compressible.norm)]
                change(norm, "call", watch.noting_outputs(norm.call))
            elif getattr(layer, "activation", None) is not None:
                change(layer, "activation", watch.before(layer.activation))
        yield
    finally:
        # The last change first: several compressible layers may share a layer.
        for layer, name, before in reversed(changed):
            if before is None:
                delattr(layer, name)
            else:
                setattr(layer, name, before)


def redirect_call(layer: Any, replacement: keras.Layer | None) -> None:
    """Let another layer answer for one, or with `None` its inputs."""
    # A function, because Keras would track a layer as its own.
    layer.call = lambda inputs, **kwargs: (
        inputs if replacement is None else replacement(inputs, **kwargs)
    )


class _Watch:
    """Brings together what a layer is given and what it makes of it."""

    def __init__(self, compressible: CompressibleLayer, place: int, hook: ForwardHook) -> None:
        self._compressible = compressible
        self._place = place
        self._hook = hook
        self._inputs: Any = None
        self._outputs: Any = None

    def noting_inputs(self, call: Callable[..., Any], is_all: bool) -> Callable[..., Any]:
        def wrapped(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            self._inputs, self._outputs = inputs, None
            outputs = call(inputs, *args, **kwargs)
            if is_all and self._outputs is None:
                self._tell(outputs)
            return outputs

        return wrapped

    def noting_outputs(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = call(inputs, *args, **kwargs)
            self._tell(outputs)
            return outputs

        return wrapped

    def before(self, activation: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def wrapped(outputs: Any) -> Any:
            # Told before the activation, which a tape that watches the outputs has to see.
            self._outputs = outputs
            self._tell(outputs)
            return activation(outputs)

        return wrapped

    def _tell(self, outputs: Any) -> None:
        if self._compressible.is_forward(self._inputs, outputs) and not _is_symbolic(outputs):
            self._hook(self._place, self._inputs, outputs)


def _is_symbolic(tensor: Any) -> bool:
    try:
        ops.convert_to_numpy(tensor)
    except Exception:
        return True
    return False
