"""Layers and operations that quantization-aware training supports."""

from typing import Any

import keras

from dart_keras.layers.channel_scaling import ChannelScaling
from dart_keras.layers.folded_batch_norm import FoldedBatchNormalization
from dart_keras.layers.replacement import looks_up_rows

# Layers of Keras with weights; a TT layer says for itself whether it is covered.
_KERNELS = (
    ChannelScaling,
    keras.layers.Conv2D,
    keras.layers.Dense,
    keras.layers.DepthwiseConv2D,
)
_TABLES = (keras.layers.Embedding,)
# Others are put in the place of these.
REWRITTEN = (keras.layers.BatchNormalization, keras.layers.SeparableConv2D)
# Their outputs have the numbers of their inputs, or means of them in the same range.
MOVING = (
    keras.layers.AveragePooling2D,
    FoldedBatchNormalization,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Identity,
    keras.layers.MaxPooling2D,
    keras.layers.Permute,
    keras.layers.Reshape,
    keras.layers.SpatialDropout2D,
    keras.layers.ZeroPadding2D,
)
# The same for Keras's operations for `x[...]` and `keras.ops`.
MOVING_OPERATIONS = ("ExpandDims", "GetItem", "Reshape", "Squeeze", "Transpose")
# The converter assigns their one range to their inputs, which are trained with another.
_SHARING_OPERATIONS = ("Concatenate", "Maximum", "Minimum", "Stack")
# Their outputs have their own ranges.
COMPUTING = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.LeakyReLU,
    keras.layers.Multiply,
    keras.layers.ReLU,
    keras.layers.Softmax,
    keras.layers.Subtract,
)


def has_kernel(layer: Any) -> bool:
    """Return whether a covered layer multiplies by weights of its own."""
    return not looks_up_rows(layer) and (_is_quantizable(layer) or isinstance(layer, _KERNELS))


def _is_quantizable(layer: Any) -> bool:
    return getattr(layer, "quantizable", False)


def check_layers(model: Any) -> None:
    """Raise a ValueError if a layer is unsupported or its ranks are not final."""
    layers = _layers(model)
    kinds = (*_KERNELS, *_TABLES, *REWRITTEN, *MOVING, *COMPUTING)
    others = [
        f"{x.name} ({type(x).__name__})"
        for x in layers
        if type(x) not in (*kinds, keras.layers.InputLayer) and not _is_quantizable(x)
    ]
    if others:
        names = sorted(kind.__name__ for kind in kinds)
        raise ValueError(
            "Expected TT layers that are `quantizable`, or layers of the kinds "
            f"{', '.join(names)}. Received: {', '.join(others)}. Build the model with those, or "
            "convert the model itself with `dart_keras.deployment.convert` and calibration data"
        )
    halves = [x.name for x in layers if x.compute_dtype != "float32"]
    if halves:
        raise ValueError(
            f"Expected layers that compute in float32. Received: others in {', '.join(halves)}. "
            "Build the model with dtype='float32' and copy the weights with `set_weights`"
        )
    gated = [x.name for x in layers if getattr(x, "rank_gates", None) is not None]
    if gated:
        raise ValueError(
            "Expected layers with final ranks. Received: rank gates, before their truncation, in "
            f"{', '.join(gated)}. Train with `RankDiscretization` until it has truncated them"
        )


def _layers(model: Any) -> list[Any]:
    """Return the layers of a model and of its nested graphs."""
    found: list[Any] = []
    for layer in model.layers:
        is_graph = isinstance(layer, keras.Model) and getattr(layer, "inputs", None)
        found += _layers(layer) if is_graph else [layer]
    return found


def check_operation(operation: Any, given: Any) -> None:
    """Raise a ValueError if an operation's ranges in a file would differ from those of training."""
    if type(operation).__name__ in _SHARING_OPERATIONS:
        raise ValueError(
            f"Expected operations other than {', '.join(_SHARING_OPERATIONS)}. Received: "
            f"{operation.name}. Add or multiply in its place, or convert the model itself with "
            "calibration data"
        )
    # The intermediate results of more than two tensors would have no range.
    if isinstance(operation, COMPUTING) and isinstance(given, list | tuple) and len(given) > 2:
        raise ValueError(
            f"Expected {type(operation).__name__} of two tensors. Received: {operation.name} of "
            f"{len(given)}. Use several layers for more tensors"
        )
