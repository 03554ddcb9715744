from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np

from dart_keras.deployment.errors import ConversionError
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.activations import in_bounded_form
from dart_keras.deployment.tracing.contraction_plans import DevicePlans
from dart_keras.deployment.tracing.converting import Float32Policy, converting, other_function
from dart_keras.deployment.tracing.operations import operations_traced
from dart_keras.deployment.tracing.signature import ModelSignature
from dart_keras.deployment.tracing.written_state import check_stateless
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import add_functions, flatten_layers, freeze
from dart_keras.tensor_train.core_bases import balanced, rotated
from dart_keras.utils.backend_errors import reason_of
from dart_keras.utils.output_agreement import output_names
from dart_keras.utils.progress import progress
from dart_keras.utils.quiet import quiet

AS_TRAINED = "as trained"
CORE_BASES: dict[str, Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]] = {
    "balanced": balanced,
    "rotated": rotated,
}

# Variables, and what to put in their place.
Replaced = list[tuple[Any, np.ndarray]]


@dataclass(frozen=True)
class Exported:
    """A Keras model as one frozen TensorFlow function of batch size 1.

    Attributes:
        function: The concrete function. Its weights are constants, so that training the
            model further does not change it.
        signature: What it takes.
        output_names: What it gives, in its order.
        scopes: For each name scope of the graph, the path of the layer that opened it, or the name
            of the operation between layers.
    """

    function: Any
    signature: ModelSignature
    output_names: tuple[str, ...]
    scopes: dict[str, str] = field(repr=False)

    def __call__(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Run it row by row on arrays of shape (rows, ...), and stack the outputs."""
        import tensorflow as tf

        rows = progress(zip(*arrays, strict=True), "running the Keras model", len(arrays[0]))
        with errors_of_rows():
            outputs = [self.function(*(tf.constant(value[None]) for value in row)) for row in rows]
        return [np.concatenate([o.numpy() for o in parts]) for parts in zip(*outputs, strict=True)]

    def layer_of(self, name: str) -> str | None:
        """Return the path of the layer that made the operation or tensor called `name`."""
        return _layer_at(self.scopes, name)

    def layers_with(self, kinds: list[str]) -> list[str]:
        """Return the paths of the layers that made TensorFlow operations of these types."""
        names = [op.name for op in self.function.graph.get_operations() if op.type in kinds]
        return [path for path in map(self.layer_of, names) if path]

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to pickle and copy it, with neither the model nor TensorFlow's objects."""
        graph, structure = self.function.graph.as_graph_def(), self.signature.structure
        signature = {
            "inputs": self.signature.inputs,
            "id_bound": self.signature.id_bound,
            # Of a dict, all that its reader needs is the keys.
            "structure": dict.fromkeys(structure) if isinstance(structure, dict) else None,
        }
        names = [[t.name for t in each] for each in (self.function.inputs, self.function.outputs)]
        parts = (graph.SerializeToString(), *names, signature, self.output_names, self.scopes)
        return _restored, parts


def _restored(
    graph_bytes: bytes,
    inputs: list[str],
    outputs: list[str],
    signature: dict[str, Any],
    output_names: tuple[str, ...],
    scopes: dict[str, str],
) -> Exported:
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef.FromString(graph_bytes)
    add_functions(graph)

    def infer(*tensors: Any) -> list[Any]:
        given = dict(zip(inputs, tensors, strict=True))
        return tf.graph_util.import_graph_def(graph, given, outputs, name="")

    specs = [tf.TensorSpec((1, *s.shape), s.dtype, name=s.name) for s in signature["inputs"]]
    function = tf.function(infer, autograph=False).get_concrete_function(*specs)
    known = ModelSignature(call=lambda values: list(function(*values)), **signature)
    return Exported(function, known, output_names, scopes)


def export(
    model: keras.Model,
    signature: ModelSignature,
    plans: DevicePlans | None = None,
    replaced: Sequence[tuple[keras.Variable, np.ndarray]] = (),
) -> Exported:
    """Trace a model for inference with a batch size of 1 and freeze its variables.

    The model is the same afterwards as before, also if this fails.

    Args:
        model: The model.
        signature: How to call it.
        plans: The orders in which its TT matrices are multiplied on the device; None for the
            fastest on a Raspberry Pi.
        replaced: Variables that have other values in the function than in the model.

    Raises:
        ConversionError: If the model cannot be traced by TensorFlow, or writes variables.
    """
    import tensorflow as tf

    def infer(*tensors: Any) -> list[Any]:
        if not replaced:
            return signature.call(tensors)
        with keras.StatelessScope(state_mapping=list(replaced)):
            return signature.call(tensors)

    specs = [tf.TensorSpec((1, *s.shape), s.dtype, name=s.name) for s in signature.inputs]
    plans = plans or DevicePlans("raspberry-pi", SCHEMES["float32"])
    forms = in_bounded_form(model)
    with (
        plans.applied(),
        in_float32(model),
        forms,
        _scopes_recorded(model) as scopes,
        operations_traced(model, scopes),
    ):
        try:
            function = tf.function(infer, autograph=False).get_concrete_function(*specs)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise ConversionError(
                "Expected a model that runs with a batch size of 1 in a tf.function. Received: "
                f"{error}"
            ) from error
    check_stateless(function, partial(_layer_at, scopes))
    with quiet():
        frozen = freeze(function)
    return Exported(frozen, signature, output_names(model, len(frozen.outputs)), scopes)


@contextmanager
def errors_of_rows() -> Iterator[None]:
    """Tell in plain words of rows that a Keras model cannot take, such as ids beyond a table.

    Raises:
        ValueError: If it runs and fails in TensorFlow.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        raise ValueError(
            f"Expected rows that the model can take. Received: rows of which it says: "
            f"{reason_of(error)}. Leave them out, or correct them"
        ) from error


def _layer_at(scopes: dict[str, str], name: str) -> str | None:
    padded = f"/{name}/"
    inside = [scope for scope in scopes if f"/{scope}/" in padded]
    return scopes[max(inside, key=len)] if inside else None


def core_bases_of(model: keras.Model) -> dict[str, Replaced]:
    """Return the core bases that a model's TT layers can be exported in, with their new cores.

    Layers whose ranks are still chosen by gates, or are more than the neighbouring ranks allow,
    stay as they are.

    Returns:
        For each core basis the `replaced` of `export`; `AS_TRAINED` replaces nothing, and is there
        alone if the model has no bond.
    """
    layers = [layer for layer in flatten_layers(model) if isinstance(layer, TTLayer)]
    layers = [layer for layer in layers if layer.rank_gates is None and max(layer.ranks) > 1]
    # Infinite cores may do no harm to the outputs, but have no singular values.
    layers = [layer for layer in layers if layer.is_finite]
    found: dict[str, Replaced] = {AS_TRAINED: []}
    for name, rebased in CORE_BASES.items():
        replaced: Replaced = []
        for layer in layers:
            cores = rebased(layer.to_tt().cores)
            if [core.shape for core in cores] == [core.shape for core in layer.cores]:
                replaced += zip(layer.cores, cores, strict=True)
        if replaced:
            found[name] = replaced
    return found


@contextmanager
def in_float32(model: keras.Model) -> Iterator[None]:
    """Have a model of mixed precision compute in float32, the only float of the devices.

    Other threads call the model as ever meanwhile.
    """
    with converting():
        changed = [
            (layer, layer.dtype_policy)
            for layer in [model, *flatten_layers(model)]
            if layer.compute_dtype in ("float16", "bfloat16")
        ]
        try:
            for layer, policy in changed:
                layer.dtype_policy = Float32Policy(policy)
            yield
        finally:
            for layer, policy in changed:
                layer.dtype_policy = policy


@contextmanager
def _scopes_recorded(model: keras.Model) -> Iterator[dict[str, str]]:
    # A scope's name does not tell its layer: TensorFlow appends numbers to make names unique,
    # so that `dense_1` may be the layer `dense`. The layers themselves know while they run.
    import tensorflow as tf

    scopes: dict[str, str] = {}

    def recording(layer: keras.Layer) -> Callable[..., Any]:
        call = layer.call

        def recorded(*args: Any, **kwargs: Any) -> Any:
            scope = tf.get_current_name_scope()
            if scope:
                # Keras gives no path to a layer that builds nothing.
                scopes[scope] = layer.path or layer.name
            return call(*args, **kwargs)

        return other_function(call, recorded)

    layers = [model, *flatten_layers(model)]
    with converting():
        before = [layer.__dict__.get("call") for layer in layers]
        try:
            for layer in layers:
                # Past __setattr__, which would look for variables in it.
                layer.__dict__["call"] = recording(layer)
            yield scopes
        finally:
            for layer, call in zip(layers, before, strict=True):
                if call is None:
                    layer.__dict__.pop("call", None)
                else:
                    layer.__dict__["call"] = call
