"""Functions that others than Keras have compiled from a layer, which keep the variables it had."""

import sys
import weakref
from typing import Any

import keras
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

# By the first part of a module's name: what traces functions, and who makes them again by itself.
_TRACERS = {"tensorflow", "jax"}
_MAKES_ITS_OWN_AGAIN = {"keras", "dart_keras"}


class _Function:
    """Stands for functions of JAX, of which nothing can be held."""


_JAX_FUNCTION = _Function()
_functions: "weakref.WeakKeyDictionary[keras.Layer, weakref.WeakSet[Any]]" = (
    weakref.WeakKeyDictionary()
)


def note_compiling_function(layer: keras.Layer, variable: keras.Variable) -> None:
    """Record that a user's function is being compiled; for use in a layer's `call`.

    Args:
        layer: The layer.
        variable: One of its variables.
    """
    function = _function_of(variable)
    if function is not None and _caller_of_tracer() not in _MAKES_ITS_OWN_AGAIN:
        _functions.setdefault(layer, weakref.WeakSet()).add(function)


def forget_compiled_functions(layer: keras.Layer) -> bool:
    """Return whether functions of the user hold the layer's variables, and forget them."""
    return len(_functions.pop(layer, ())) > 0


def _function_of(variable: keras.Variable) -> Any:
    if in_symbolic_scope():
        return None
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.inside_function():
            return None
        graph = tf.compat.v1.get_default_graph()
        while (
            getattr(graph, "outer_graph", None) is not None and graph.outer_graph.building_function
        ):
            graph = graph.outer_graph
        return graph
    if backend == "jax":
        import jax

        return _JAX_FUNCTION if isinstance(variable.value, jax.core.Tracer) else None
    return None  # PyTorch compiles again for parameters of other shapes.


def _caller_of_tracer() -> str | None:
    # Who calls the outermost function that is traced: Keras in `fit`, or a loop of the user's.
    caller, is_tracer = None, False
    frame: Any = sys._getframe()
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if is_tracer and package not in _TRACERS:
            caller = package
        is_tracer = package in _TRACERS
        frame = frame.f_back
    return caller
