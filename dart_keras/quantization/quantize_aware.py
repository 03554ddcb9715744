from typing import Any

import keras

from dart_keras.devices import find_file_device
from dart_keras.layers.folded_batch_norm import FoldedBatchNormalization
from dart_keras.layers.replacement import looks_up_rows
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.model_surgery.keras_quantization import check_not_quantized
from dart_keras.private_apis import flatten_layers, is_looked_up, is_reversed, nodes_of
from dart_keras.quantization.batch_norm_folding import with_norms_folded
from dart_keras.quantization.coverage import (
    COMPUTING,
    MOVING_OPERATIONS,
    check_layers,
    check_operation,
    has_kernel,
)
from dart_keras.quantization.fused_activations import fused_activations
from dart_keras.quantization.quantized_embedding import QuantizedEmbedding
from dart_keras.quantization.quantized_layer import (
    QuantizedLayer,
    QuantizedOutput,
    range_of_input,
)
from dart_keras.quantization.separable_convolutions import split_separable_convolution
from dart_keras.utils.keras_backend import require_tensorflow
from dart_keras.utils.random_state import keeping_random_state


@keeping_random_state()
def quantize_aware(
    model: keras.Model, quantization: str = "int8", target: str = "raspberry-pi"
) -> keras.Model:
    """Return a copy of a model that computes and trains with the integers of its int8 file.

    Weights are rounded to int8 with a scale for each channel. Tables have one scale, and so have
    matrices with few rows whose scales would make the file large. Every result that the file stores
    is rounded to int8, including those between the products of a TT matrix in the target's order.
    Gradients ignore the rounding (straight-through; Jacob et al. 2018, "Quantization and training
    of neural networks for efficient integer-arithmetic-only inference", section 3). `fit` learns
    the ranges of the results, so `dart_keras.deployment.convert` needs no calibration data. The
    quantizers are those of tensorflow-model-optimization.

    Batch normalizations are folded first, as by `fold_batch_norm`: there are none to train. A
    `SeparableConv2D` becomes its two convolutions. A `ReLU` after a layer with weights becomes a
    part of it, as in the file.

    Use this when the ranks are final, after `RankDiscretization` has truncated them.

    Args:
        model: A built Sequential or functional model in float32, nested or not. It is not changed.
        quantization: `"int8"`, the only scheme whose ranges the file can take from the model.
        target: Name of the device, as for `dart_keras.deployment.convert`.

    Returns:
        An uncompiled functional model with the same weights. A layer with weights is the `layer` of
        a wrapper of the same name; a `SeparableConv2D` is two of these.

    Raises:
        ValueError: If an argument is invalid, or layers are unsupported; the message names all of
            them.
        ImportError: If tensorflow-model-optimization is missing.

    Example:
        >>> import dart_keras as dk, numpy as np
        >>> stack = [dk.layers.TTDense(16, ranks=4, activation="relu"), keras.layers.Dense(3)]
        >>> model = keras.Sequential([keras.Input((16,)), *stack])
        >>> aware = quantize_aware(model)
        >>> aware.compile("adam", "mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
        >>> history = aware.fit(x, x[:, :3], epochs=2, verbose=0)
        >>> dk.deployment.convert(aware, quantization="int8").weight_scales
        'per-channel'
    """
    require_tensorflow("quantization-aware training")
    if quantization != "int8":
        raise ValueError(
            f"Expected `quantization` to be 'int8'. Received: quantization={quantization!r}"
        )
    find_file_device(target, quantization)
    if not isinstance(model, keras.Model) or not model.built or not getattr(model, "inputs", None):
        raise ValueError(
            f"Expected a built Sequential or functional Keras model. Received: {model!r}"
        )
    check_not_quantized(model)
    check_layers(model)
    model = _without_norms(model)
    copier = _Copier(target, _embedding_shapes(model), *fused_activations(model))
    aware = copier.copy(model, round_inputs=True)
    copier.copy_weights()
    return aware


def _without_norms(model: keras.Model) -> keras.Model:
    """Return the model if it has no batch normalizations, else a copy with these folded."""
    if keras.layers.BatchNormalization not in map(type, flatten_layers(model)):
        return model
    folded, kept = with_norms_folded(model)
    if kept:
        named = "; ".join(f"{path}: {reason}" for path, reason in kept.items())
        raise ValueError(f"Expected normalizations that can be folded. Received: {named}")
    return folded


class _Copier:
    """Copies a model and its nested models; shared layers are copied once.

    Args:
        target: Name of the device.
        embedding_shapes: Input shapes of embeddings, by the `id` of the embedding.
        activations: Activations that layers take over from others, by the `id` of the layer.
        given_away: The `id`s of these others.
    """

    def __init__(
        self,
        target: str,
        embedding_shapes: dict[int, dict[str, Any]],
        activations: dict[int, Any],
        given_away: set[int],
    ) -> None:
        self._target = target
        self._embedding_shapes = embedding_shapes
        self._activations = activations
        self._given_away = given_away
        self._copies: dict[int, Any] = {}
        # Each layer with weights, and its copy.
        self._pairs: list[tuple[Any, Any]] = []

    def copy(self, model: Any, round_inputs: bool) -> keras.Model:
        """Return a model with quantizers in it, without the weights."""
        # Functional models allow operations between layers, and structures of inputs.
        if isinstance(model, keras.Sequential):
            model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        inputs = keras.tree.map_structure(
            lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), model.input
        )
        rounded = {
            id(x): QuantizedOutput(name=range_of_input(x))(x)
            for x, old in zip(keras.tree.flatten(inputs), model.inputs, strict=True)
            if round_inputs and _is_float(x) and not is_looked_up(model, old, looks_up_rows)
        }

        def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
            check_operation(operation, args[0])
            # Layers that are replaced may have taken a mask where wrappers do not.
            if kwargs.get("mask", args) is None:
                del kwargs["mask"]
            given = keras.tree.map_structure(lambda x: rounded.get(id(x), x), (args, kwargs))
            return _with_range(operation, operation(*given[0], **given[1]))

        return keras.models.clone_model(
            model, input_tensors=inputs, clone_function=self._copied, call_function=call
        )

    def copy_weights(self) -> None:
        """Copy the weights of the layers, and make their ranks final."""
        for old, new in self._pairs:
            new.set_weights(old.get_weights())
            if isinstance(new, TTLayer):
                new.forget_adaptation()

    def _copied(self, operation: Any) -> Any:
        if not isinstance(operation, keras.Layer):
            return operation
        if id(operation) not in self._copies:
            self._copies[id(operation)] = self._copy_layer(operation)
        return self._copies[id(operation)]

    def _copy_layer(self, layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return self.copy(layer, round_inputs=False)
        config, named = layer.get_config(), {"name": layer.name, "trainable": layer.trainable}
        if looks_up_rows(layer):
            copy = type(layer).from_config(config)
            named |= self._embedding_shapes[id(layer)]
            wrapper: Any = QuantizedEmbedding(copy, self._target, **named)
        elif has_kernel(layer):
            copy = type(layer).from_config({**config, "activation": "linear"})
            activation = self._activations.get(id(layer), layer.activation)
            wrapper = QuantizedLayer(copy, activation, self._target, **named)
        elif id(layer) in self._given_away:
            return FoldedBatchNormalization(**named)
        elif isinstance(layer, keras.layers.SeparableConv2D):
            return self._copy_separable(layer)
        else:
            return type(layer).from_config(config)
        self._pairs.append((layer, copy))
        return wrapper

    def _copy_separable(self, layer: Any) -> Any:
        depthwise, pointwise = split_separable_convolution(layer)
        activation = self._activations.get(id(layer), layer.activation)
        # Both hold their weights already.
        stack = [
            QuantizedLayer(part, after, self._target, name=part.name, trainable=layer.trainable)
            for part, after in ((depthwise, "linear"), (pointwise, activation))
        ]
        inputs = keras.Input(batch_shape=layer.get_build_config()["input_shape"])
        return keras.Sequential([inputs, *stack], name=layer.name)


def _embedding_shapes(model: Any) -> dict[int, dict[str, Any]]:
    """Return the input shapes of the embeddings in a model and its nested models."""
    shapes: dict[int, dict[str, Any]] = {}
    for node in nodes_of(model):
        if isinstance(node.operation, keras.Model):
            shapes |= _embedding_shapes(node.operation)
        elif looks_up_rows(node.operation):
            name = "reverse_shape" if is_reversed(node) else "lookup_shape"
            shape = list(node.input_tensors[0].shape)
            shapes.setdefault(id(node.operation), {})[name] = shape
    return shapes


def _with_range(operation: Any, outputs: Any) -> Any:
    """Round an operation's outputs if they have their own range on the device."""
    moves = type(operation).__name__ in MOVING_OPERATIONS
    if moves or (isinstance(operation, keras.Layer) and not isinstance(operation, COMPUTING)):
        return outputs
    activation = getattr(operation, "activation", None)
    if isinstance(operation, keras.layers.Softmax):
        activation = keras.activations.softmax
    flat = keras.tree.flatten(outputs)
    names = [f"{operation.name}_range{f'_{k}' if k else ''}" for k in range(len(flat))]
    return keras.tree.pack_sequence_as(
        outputs,
        [
            QuantizedOutput(activation, name=name)(y) if _is_float(y) else y
            for y, name in zip(flat, names, strict=True)
        ],
    )


def _is_float(tensor: Any) -> bool:
    return "float" in tensor.dtype
