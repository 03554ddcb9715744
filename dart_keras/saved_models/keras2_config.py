"""Configs of Keras 2 as Keras 3 reads them."""

from collections.abc import Callable
from typing import Any

from dart_keras.saved_models.keras2_operations import operation_arguments, operation_config

_TF_KERAS = "tf_keras"
# Marks what was a TensorFlow function until the model around it is read.
_FUNCTION = "tensorflow_function"

# Layers whose config has arguments that the same layers of Keras 3 do not take, with the values
# that change nothing.
_TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_OBSOLETE: list[tuple[tuple[str, ...], str, tuple[Any, ...]]] = [
    ((*_DEPTHWISE, *_TRANSPOSED), "groups", (1,)),
    (_RECURRENT, "time_major", (False,)),
    (("MultiHeadAttention",), "softmax_robust_masking", (False,)),
]
# What is known again when the layer is built, or has been taken over by other arguments.
_IGNORED = {
    "MultiHeadAttention": ("query_shape", "key_shape", "value_shape"),
    "SeparableConv1D": ("kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    "SeparableConv2D": ("kernel_initializer", "kernel_regularizer", "kernel_constraint"),
}


def keras3_config(config: Any, safe_mode: bool) -> Any:
    """Return what Keras 3 reads in place of a config of Keras 2.

    Args:
        config: A config as JSON has it, of a model or of what it holds.
        safe_mode: Whether to refuse `Lambda` layers.

    Raises:
        ValueError: If a layer does what none of Keras 3 does, with its name.
    """
    if isinstance(config, list):
        return [keras3_config(each, safe_mode) for each in config]
    if not isinstance(config, dict):
        return config
    read = {key: keras3_config(value, safe_mode) for key, value in config.items()}
    if not isinstance(read.get("class_name"), str) or not isinstance(read.get("config"), dict):
        return read
    kind, arguments = read["class_name"], read["config"]
    if kind == "Policy":
        # Of the dtypes; Keras 3 takes its name.
        return arguments["name"]
    for kinds, name, harmless in _OBSOLETE:
        if kind in kinds and name in arguments and arguments.pop(name) not in harmless:
            raise _no_layer(read, f"with {name}={config['config'][name]!r}")
    for name in _IGNORED.get(kind, ()):
        arguments.pop(name, None)
    if kind in _CHANGED:
        _CHANGED[kind](read, arguments, safe_mode)
    if kind == "Sequential":
        arguments["layers"] = [*_input_layer(config["config"]["layers"]), *arguments["layers"]]
    if kind != "InputLayer":
        arguments.pop("batch_input_shape", None)
    _rename(read)
    # Keras 2 knew the shape of one input; layers of several are built when they are called.
    if kind == "MultiHeadAttention":
        read.pop("build_config", None)
    read.pop("compile_config", None)
    return read


def _rename(read: dict[str, Any]) -> None:
    """Put the names of Keras 3 in the places of those of tf-keras."""
    module = read.get("module") or ""
    if read["class_name"] in ("Functional", "Model") and "module" in read:
        read |= {"module": "keras", "class_name": "Model", "registered_name": None}
    elif module.startswith(f"{_TF_KERAS}.src"):
        read |= {"module": "keras.layers", "registered_name": None}
    elif module.partition(".")[0] == _TF_KERAS:
        read |= {"module": f"keras{module.removeprefix(_TF_KERAS)}", "registered_name": None}


def _input_layer(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the input layer that a Sequential model needs, whose first layer had the shape."""
    first = layers[0]["config"] if layers and layers[0]["class_name"] != "InputLayer" else {}
    shape = first.get("batch_input_shape")
    if shape is None:
        return []
    arguments = {"batch_shape": shape, "name": f"{first['name']}_input"}
    return [{"class_name": "InputLayer", "config": arguments}]


def _functional(read: dict[str, Any], arguments: dict[str, Any], safe_mode: bool) -> None:
    layers = arguments.get("layers", ())
    # In Keras 2 the first call of a model is that when it was made, in Keras 3 there is none.
    called = {_name(layer) for layer in layers if _was_called(layer)}
    names = set(map(_name, layers))

    def shifted(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shifted(each) for key, each in value.items()}
        if not isinstance(value, list):
            return value
        if _is_tensor(value, called):
            return [value[0], value[1] - 1, *map(shifted, value[2:])]
        return [shifted(each) for each in value]

    for layer in layers:
        nodes = shifted(layer.get("inbound_nodes", []))
        if (function := layer.pop(_FUNCTION, None)) is not None:
            layer["inbound_nodes"] = [_operation_node(layer, function, n, names) for n in nodes]
        else:
            layer["inbound_nodes"] = [_node(node, names) for node in nodes]
    for name in ("input_layers", "output_layers"):
        if name in arguments:
            arguments[name] = shifted(arguments[name])


def _node(node: Any, names: set[str]) -> Any:
    """Return a call of a layer as Keras 3 writes it, if tensors are passed by name."""
    if not isinstance(node, list) or not all(_is_tensor(each, names) for each in node):
        return node
    named = {key: value for each in node for key, value in (each[3:] or [{}])[0].items()}
    if not any(_is_tensor(value, names) for value in named.values()):
        return node
    tensors = [_tensor(each) for each in node]
    return {
        "args": tensors if len(tensors) == 1 else [tensors],
        "kwargs": {
            key: _tensor(value) if _is_tensor(value, names) else value
            for key, value in named.items()
        },
    }


def _operation_node(layer: dict[str, Any], function: str, node: Any, names: set[str]) -> Any:
    given = operation_arguments(node)
    if given is None:
        raise _no_layer(layer, f"for {function} with more arguments than tensors")
    arguments = [_tensor(each) if _is_tensor(each, names) else each for each in given]
    return {"args": arguments, "kwargs": {}}


def _is_tensor(value: Any, names: set[str]) -> bool:
    """Return whether a value is a layer's output: its name, the call and the output's place."""
    if not isinstance(value, list) or len(value) not in (3, 4):
        return False
    return value[0] in names and all(isinstance(each, int) for each in value[1:3])


def _tensor(value: list[Any]) -> dict[str, Any]:
    # Keras takes the tensor itself from the layer, so that its shape and dtype do not matter.
    config = {"shape": [None], "dtype": "float32", "keras_history": value[:3]}
    return {"class_name": "__keras_tensor__", "config": config}


def _name(layer: dict[str, Any]) -> str:
    return layer.get("name") or layer["config"]["name"]


def _was_called(layer: dict[str, Any]) -> bool:
    if layer["class_name"] == "Sequential":
        inner = layer["config"]["layers"]
        return bool(inner) and inner[0]["class_name"] == "InputLayer"
    return layer["class_name"] in ("Functional", "Model")


def _normalization(read: dict[str, Any], arguments: dict[str, Any], safe_mode: bool) -> None:
    axis = arguments.get("axis")
    if isinstance(axis, list):
        if len(axis) != 1:
            raise _no_layer(read, f"with axis={axis!r}")
        arguments["axis"] = axis[0]


def _lambda(read: dict[str, Any], arguments: dict[str, Any], safe_mode: bool) -> None:
    if safe_mode:
        raise ValueError(
            f"Expected layers without Python code in the file. Received: the `Lambda` layer "
            f"{arguments.get('name')!r}. If you trust the file, load it with safe_mode=False"
        )
    for name in ("function", "output_shape"):
        if arguments.pop(f"{name}_type", None) == "lambda":
            code, defaults, closure = arguments[name]
            parts = {"code": code, "defaults": defaults, "closure": closure}
            arguments[name] = {"class_name": "__lambda__", "config": parts}
    for name in ("module", "output_shape_module"):
        arguments.pop(name, None)


def _operation(read: dict[str, Any], arguments: dict[str, Any], safe_mode: bool) -> None:
    done = arguments.get("function") or arguments.get("symbol") or "a TensorFlow function"
    config = operation_config(done, arguments.get("name", done))
    if config is None:
        raise _no_layer(read, f"for {done}, which was called on the output of a layer")
    read |= {**config, _FUNCTION: done}
    read.pop("build_config", None)


_CHANGED: dict[str, Callable[[dict[str, Any], dict[str, Any], bool], None]] = {
    "Functional": _functional,
    "Model": _functional,
    "BatchNormalization": _normalization,
    "SyncBatchNormalization": _normalization,
    "Lambda": _lambda,
    "TFOpLambda": _operation,
    "SlicingOpLambda": _operation,
    "TensorFlowOpLayer": _operation,
    "ClassMethod": _operation,
    "InstanceProperty": _operation,
}


def _no_layer(read: dict[str, Any], what: str) -> ValueError:
    name = read["config"].get("name")
    return ValueError(
        "Expected layers that Keras 3 has, too: build the model anew in Keras 3, and give it the "
        f"weights of the old one. Received: the {read['class_name']} {name!r} {what}"
    )
