"""Running functional models operation by operation, so that a run can be taken up again."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras.src import backend
from keras.src.models.functional import Functional

# The calls of nested models that a tensor is in, and the tensor's `id`.
_Key = tuple[tuple[int, ...], int]
_Store = dict[_Key, Any]


@dataclass(frozen=True)
class _Step:
    reads: tuple[_Key, ...]
    run: Callable[[_Store], None]


class GraphRun:
    """A run of a Sequential or functional model in inference, and what is still needed of it.

    Models nested in the model are gone through in the same way.

    Args:
        model: A built model for which `can_be_stepped` is true.
        batch: Inputs of it.

    Attributes:
        place: How many operations have been run.
        length: How many there are.
    """

    def __init__(self, model: keras.Model, batch: Any) -> None:
        graph: Any = _graph(model)
        self._steps = _steps(graph, ())
        self.length = len(self._steps)
        self._results = [((), id(x)) for x in graph.outputs]
        self._last: dict[_Key, int] = dict.fromkeys(self._results, self.length)
        for place, step in enumerate(self._steps):
            for key in step.reads:
                self._last[key] = max(self._last.get(key, 0), place)
        self._structure = graph._outputs_struct
        self._store: _Store = {}
        _bind(graph, (), batch, self._store)
        self.place = 0
        self._masks: list[tuple[Any, Any]] = []

    def copy(self) -> "GraphRun":
        """Return a run from here on, which leaves this one where it is."""
        other = object.__new__(GraphRun)
        other.__dict__.update(self.__dict__)
        other._store = dict(self._store)
        return other

    def forward(self, place: int) -> None:
        """Run the operations before a place, and forget what none after it reads."""
        # Attention layers take the masks off the tensors that they are given, here in another run.
        for tensor, mask in self._masks:
            backend.set_keras_mask(tensor, mask)
        while self.place < place:
            self._steps[self.place].run(self._store)
            # What nothing reads at all goes, too.
            gone = [k for k in self._store if self._last.get(k, -1) <= self.place]
            for key in gone:
                del self._store[key]
            self.place += 1
        self._masks = [(x, backend.get_keras_mask(x)) for x in self._store.values()]

    def outputs(self) -> Any:
        """Run to the end and return the model's outputs."""
        self.forward(self.length)
        found = [self._store[key] for key in self._results]
        return keras.tree.pack_sequence_as(self._structure, found)

    @property
    def size(self) -> int:
        """Bytes of the tensors that are still needed, in single precision."""
        tensors = {id(x): x for x in self._store.values()}.values()
        return sum(4 * math.prod(x.shape) for x in tensors)


def can_be_stepped(model: keras.Model) -> bool:
    """Return whether a model is a built Sequential or functional one with Keras's own `call`."""
    return _graph(model) is not None


def _graph(layer: Any) -> Any:
    cls: Any = type(layer)
    if isinstance(layer, keras.Sequential):
        return getattr(layer, "_functional", None) if cls.call is keras.Sequential.call else None
    return layer if isinstance(layer, Functional) and cls.call is Functional.call else None


def _steps(graph: Any, within: tuple[int, ...]) -> list[_Step]:
    steps: list[_Step] = []
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if not node.operation or node.is_input:
                continue
            inner = _graph(node.operation)
            if inner is not None and _has_inputs_alone(node):
                steps += _nested(node, inner, within)
            else:
                reads = tuple((within, id(x)) for x in node.input_tensors)
                steps.append(_Step(reads, _calling(node, within)))
    return steps


def _has_inputs_alone(node: Any) -> bool:
    # Keras adds the masks of the inputs, which are none where nothing masks them.
    named = keras.tree.flatten(node.arguments.kwargs)
    return len(node.arguments.args) == 1 and all(value is None for value in named)


def _calling(node: Any, within: tuple[int, ...]) -> Callable[[_Store], None]:
    def run(store: _Store) -> None:
        args, kwargs = _arguments(node, within, store)
        if "training" in getattr(node.operation, "_call_context_args", {}):
            kwargs["training"] = False
        outputs = node.operation(*args, **kwargs)
        for x, y in zip(node.outputs, keras.tree.flatten(outputs), strict=True):
            store[within, id(x)] = y

    return run


def _nested(node: Any, inner: Any, within: tuple[int, ...]) -> list[_Step]:
    inside = (*within, id(node))

    def enter(store: _Store) -> None:
        args, _ = _arguments(node, within, store)
        _bind(inner, inside, args[0], store)

    def leave(store: _Store) -> None:
        for x, y in zip(node.outputs, inner.outputs, strict=True):
            store[within, id(x)] = store[inside, id(y)]

    return [
        _Step(tuple((within, id(x)) for x in node.input_tensors), enter),
        *_steps(inner, inside),
        _Step(tuple((inside, id(y)) for y in inner.outputs), leave),
    ]


def _arguments(
    node: Any, within: tuple[int, ...], store: _Store
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    found = {id(x): store[within, id(x)] for x in node.input_tensors}
    args, kwargs = node.arguments.fill_in(found)
    return args, dict(kwargs)


def _bind(graph: Any, within: tuple[int, ...], inputs: Any, store: _Store) -> None:
    for x, y in zip(graph.inputs, graph._standardize_inputs(inputs), strict=True):
        store[within, id(x)] = y
