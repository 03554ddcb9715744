"""Counting the multiply-adds of what goes through Keras's operations.

All layers and `keras.ops` end in the same functions of Keras's backend, on TensorFlow, JAX and
PyTorch alike, so that one table of these is enough for every layer that is written with them.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import keras
from keras.src import backend

# Takes what a product costs, infinity where that cannot be known.
Tell = Callable[[float], None]

_telling: ContextVar[Tell | None] = ContextVar("telling", default=None)
# There is one backend for all threads; in those that tell nothing its functions do what they did.
_lock = threading.RLock()


@contextmanager
def telling_products(tell: Tell) -> Iterator[None]:
    """Tell the multiply-adds of each product of arrays that this thread makes with Keras.

    Products of matrices, contractions and convolutions count, of weights and of activations.
    Multiplications element by element do not. What a loop repeats counts as often as it is
    repeated, also where the backend compiles the loop; infinitely often in a `while_loop`.

    Args:
        tell: Called after each product.
    """
    with _lock:
        changed = [(*place, getattr(*place)) for place in _PLACES if hasattr(*place)]
        for module, name, function in changed:
            setattr(module, name, _PLACES[module, name](function))
        try:
            with _telling_to(tell):
                yield
        finally:
            for module, name, function in changed:
                setattr(module, name, function)


def tell_product(count: float) -> None:
    """Tell of multiply-adds that Keras's operations do not show, as often as a loop repeats them.

    Args:
        count: How many; infinity where that cannot be known.
    """
    tell = _telling.get()
    if tell is not None:
        tell(count)


@contextmanager
def _telling_to(tell: Tell | None) -> Iterator[None]:
    token = _telling.set(tell)
    try:
        yield
    finally:
        _telling.reset(token)


def _counted(count: Callable[..., int]) -> Callable[[Any], Any]:
    def wrap(function: Any) -> Any:
        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            tell = _telling.get()
            # One function of a backend may call another.
            with _telling_to(None):
                outputs = function(*args, **kwargs)
            if tell is not None:
                arrays = keras.tree.flatten([outputs, args])
                known = all(None not in getattr(array, "shape", ()) for array in arrays)
                tell(count(outputs, *args, **kwargs) if known else math.inf)
            return outputs

        return counted

    return wrap


def _loop(place: int, repeats: Callable[..., float]) -> Callable[[Any], Any]:
    """Count the first turn of a loop for all: a backend may trace it once, or run every one.

    Args:
        place: Which argument is the turn.
        repeats: From the arguments to how often it is repeated.
    """

    def wrap(function: Any) -> Any:
        @wraps(function)
        def looped(*args: Any, **kwargs: Any) -> Any:
            tell = _telling.get()
            if tell is None:
                return function(*args, **kwargs)
            times = repeats(*args, **kwargs)
            tells = iter([lambda n: tell(n * times if n else 0)])

            def turn(*turn_args: Any, **turn_kwargs: Any) -> Any:
                with _telling_to(next(tells, None)):
                    return args[place](*turn_args, **turn_kwargs)

            with _telling_to(None):
                return function(*args[:place], turn, *args[place + 1 :], **kwargs)

        return looped

    return wrap


def _untold(function: Any) -> Any:
    """Leave out what compiled models do not do: its outputs are not used."""

    @wraps(function)
    def untold(*args: Any, **kwargs: Any) -> Any:
        with _telling_to(None):
            return function(*args, **kwargs)

    return untold


def _fused(function: Any) -> Any:
    """Have a recurrent layer go step by step, as it does where there is no such function."""

    @wraps(function)
    def fused(*args: Any, **kwargs: Any) -> Any:
        if _telling.get() is not None:
            raise NotImplementedError
        return function(*args, **kwargs)

    return fused


def _size(array: Any) -> int:
    return math.prod(backend.standardize_shape(array.shape))


def _matmul(outputs: Any, x1: Any, x2: Any) -> int:
    return _size(outputs) * x1.shape[-1]


def _contraction(outputs: Any, x1: Any, x2: Any, *_: Any, **__: Any) -> int:
    # Each axis is one of two of the three arrays.
    return math.isqrt(_size(outputs) * _size(x1) * _size(x2))


def _einsum(outputs: Any, subscripts: str, *operands: Any, **_: Any) -> int:
    given, arrow, wanted = subscripts.replace(" ", "").partition("->")
    terms = given.split(",")
    if not arrow:
        wanted = "".join(label for label in given if given.count(label) == 1)
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        for label, size in zip(_labels(term, len(operand.shape)), operand.shape, strict=True):
            # An axis of size 1 may be broadcast.
            sizes[label] = max(size, sizes.get(label, 1))
    left, *others = [set(_labels(t, len(x.shape))) for t, x in zip(terms, operands, strict=True)]
    kept = set(_labels(wanted, len(outputs.shape)))
    total = 0
    for place, labels in enumerate(others, start=1):
        total += math.prod(sizes[label] for label in left | labels)
        left = (left | labels) & kept.union(*others[place:])
    return total


def _labels(term: str, rank: int) -> list[str]:
    """Return a label for each axis: those of an ellipsis are counted from its end."""
    before, dots, after = term.partition("...")
    hidden = range(rank - len(before) - len(after) if dots else 0, 0, -1)
    return [*before, *(f"...{axis}" for axis in hidden), *after]


def _conv(outputs: Any, inputs: Any, kernel: Any, *_: Any, **__: Any) -> int:
    return _size(outputs) // kernel.shape[-1] * _size(kernel)


def _depthwise_conv(outputs: Any, inputs: Any, kernel: Any, *_: Any, **__: Any) -> int:
    return _size(outputs) * math.prod(kernel.shape[:-2])


def _separable_conv(
    outputs: Any, inputs: Any, depthwise: Any, pointwise: Any, *_: Any, **__: Any
) -> int:
    places = _size(outputs) // pointwise.shape[-1]
    return places * (_size(depthwise) + _size(pointwise))


def _conv_transpose(outputs: Any, inputs: Any, kernel: Any, *_: Any, **__: Any) -> int:
    return _size(inputs) // kernel.shape[-1] * _size(kernel)


def _attention(outputs: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return _size(query) * key.shape[1] + _size(outputs) * key.shape[1]


def _steps(step: Any, inputs: Any, *_: Any, time_major: bool = False, **__: Any) -> int:
    return keras.tree.flatten(inputs)[0].shape[0 if time_major else 1]


def _elements(function: Any, elements: Any) -> int:
    return keras.tree.flatten(elements)[0].shape[0]


def _scanned(function: Any, init: Any, xs: Any = None, length: int | None = None, **_: Any) -> int:
    return keras.tree.flatten(xs)[0].shape[0] if length is None else length


def _turns(lower: Any, upper: Any, body: Any, init: Any) -> int:
    return int(upper) - int(lower)


def _unknown(condition: Any, body: Any, *_: Any, **__: Any) -> float:
    return math.inf


_PLACES: dict[tuple[Any, str], Callable[[Any], Any]] = {
    (backend.numpy, "matmul"): _counted(_matmul),
    (backend.numpy, "einsum"): _counted(_einsum),
    (backend.numpy, "dot"): _counted(_contraction),
    (backend.numpy, "inner"): _counted(_contraction),
    (backend.numpy, "tensordot"): _counted(_contraction),
    (backend.numpy, "vdot"): _counted(_contraction),
    (backend.nn, "conv"): _counted(_conv),
    (backend.nn, "depthwise_conv"): _counted(_depthwise_conv),
    (backend.nn, "separable_conv"): _counted(_separable_conv),
    (backend.nn, "conv_transpose"): _counted(_conv_transpose),
    (backend.nn, "dot_product_attention"): _counted(_attention),
    (backend, "rnn"): _loop(0, _steps),
    (backend, "vectorized_map"): _loop(0, _elements),
    (backend.core, "vectorized_map"): _loop(0, _elements),
    (backend.core, "map"): _loop(0, _elements),
    (backend.core, "scan"): _loop(0, _scanned),
    (backend.core, "fori_loop"): _loop(2, _turns),
    (backend.core, "while_loop"): _loop(1, _unknown),
    # Calls all cells of a stack but to know the shapes of their inputs.
    (keras.layers.RNN, "_maybe_config_dropout_masks"): _untold,
    (backend, "lstm"): _fused,
    (backend, "gru"): _fused,
    (backend, "bidirectional_lstm"): _fused,
    (backend, "bidirectional_gru"): _fused,
}
