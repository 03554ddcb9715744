from typing import Any

import keras

from dart_keras.devices import find_device
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import is_looked_up, is_reversed, nodes_of
from dart_keras.quantization.coverage import (
    COMPUTING,
    MOVING_OPERATIONS,
    TABLES,
    WEIGHTED,
    check_layers,
    check_operation,
)
from dart_keras.quantization.quantized_embedding import QuantizedEmbedding
from dart_keras.quantization.quantized_layer import (
    QuantizedLayer,
    QuantizedOutput,
    range_of_input,
)
from dart_keras.utils.keras_backend import require_tensorflow


def quantize_aware(
    model: keras.Model, quantization: str = "int8", target: str = "raspberry-pi"
) -> keras.Model:
    """A copy of a model that computes, and trains on, the integers that its file will hold.

    Weights are rounded to int8 with a scale for each channel; tables, and matrices so flat that the
    scales of a train would make its file large, with one. Every result that the file keeps is
    rounded to int8: those between the products of a tensor train, too, in the order in which the
    target multiplies them. Gradients pass as if nothing was rounded (Jacob
    et al. 2018, "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", section 3). The ranges of the results are found in `fit`, so
    that `dart_keras.deployment.convert` needs no calibration data. The rounding is done by
    tensorflow-model-optimization's quantizers.

    To be used when the ranks are settled: after `RankDiscretization` has cut them.

    Args:
        model: A built Sequential or functional model, nested or not, in float32. It is left as it
            is.
        quantization: `"int8"`, the only scheme with ranges that the file can take from the model.
        target: The device, as for `dart_keras.deployment.convert`.

    Returns:
        A functional model with the same weights, not compiled. A layer with weights is the `layer`
        of a layer of the same name.

    Raises:
        ValueError: If an argument is not one of the above, or a layer is of a kind that this does
            not cover, with the names of all such layers, or Keras does not run on TensorFlow.
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
    find_device(target, quantization)
    if not isinstance(model, keras.Model) or not model.built or not getattr(model, "inputs", None):
        raise ValueError(
            f"Expected a built Sequential or functional Keras model. Received: {model!r}"
        )
    check_layers(model)
    copier = _Copier(target, _embedding_shapes(model))
    aware = copier.copy(model, round_inputs=True)
    copier.take_weights()
    return aware


class _Copier:
    """Makes the models, and layers that are shared but once.

    Args:
        target: The device.
        embedding_shapes: By the `id` of an embedding, the shapes that it is called on.
    """

    def __init__(self, target: str, embedding_shapes: dict[int, dict[str, Any]]) -> None:
        self._target = target
        self._embedding_shapes = embedding_shapes
        self._copies: dict[int, Any] = {}
        # Each layer with weights, and its twin.
        self._pairs: list[tuple[Any, Any]] = []

    def copy(self, model: Any, round_inputs: bool) -> keras.Model:
        """A model with quantizers in it, without the weights."""
        # Sequential models have no place between their layers, and no structure of their inputs.
        if isinstance(model, keras.Sequential):
            model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        inputs = keras.tree.map_structure(
            lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), model.input
        )
        rounded = {
            id(x): QuantizedOutput(name=range_of_input(x))(x)
            for x, old in zip(keras.tree.flatten(inputs), model.inputs, strict=True)
            if round_inputs and _is_float(x) and not is_looked_up(model, old, TABLES)
        }

        def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
            check_operation(operation, args[0])
            given = keras.tree.map_structure(lambda x: rounded.get(id(x), x), (args, kwargs))
            return _with_range(operation, operation(*given[0], **given[1]))

        return keras.models.clone_model(
            model, input_tensors=inputs, clone_function=self._twin, call_function=call
        )

    def take_weights(self) -> None:
        """Give the layers their weights, and make the ranks of trains final."""
        for old, new in self._pairs:
            new.set_weights(old.get_weights())
            if isinstance(new, TTLayer):
                new.forget_adaptation()

    def _twin(self, operation: Any) -> Any:
        if not isinstance(operation, keras.Layer):
            return operation
        if id(operation) not in self._copies:
            self._copies[id(operation)] = self._made(operation)
        return self._copies[id(operation)]

    def _made(self, layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return self.copy(layer, round_inputs=False)
        config, named = layer.get_config(), {"name": layer.name, "trainable": layer.trainable}
        if isinstance(layer, TABLES):
            twin = type(layer).from_config(config)
            named |= self._embedding_shapes[id(layer)]
            wrapper: Any = QuantizedEmbedding(twin, self._target, **named)
        elif isinstance(layer, WEIGHTED):
            twin = type(layer).from_config({**config, "activation": "linear"})
            wrapper = QuantizedLayer(twin, layer.activation, self._target, **named)
        else:
            return type(layer).from_config(config)
        self._pairs.append((layer, twin))
        return wrapper


def _embedding_shapes(model: Any) -> dict[int, dict[str, Any]]:
    """What the embeddings in a model, or in models in it, are called on."""
    shapes: dict[int, dict[str, Any]] = {}
    for node in nodes_of(model):
        if isinstance(node.operation, keras.Model):
            shapes |= _embedding_shapes(node.operation)
        elif isinstance(node.operation, TABLES):
            name = "reverse_shape" if is_reversed(node) else "lookup_shape"
            shape = list(node.input_tensors[0].shape)
            shapes.setdefault(id(node.operation), {})[name] = shape
    return shapes


def _with_range(operation: Any, outputs: Any) -> Any:
    """What an operation gives, rounded where the device gives it a range of its own."""
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
