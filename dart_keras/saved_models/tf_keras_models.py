"""Models of Keras 2 that tf-keras reads, made anew in Keras 3."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dart_keras.layers.replacement import looks_up_rows
from dart_keras.private_apis import input_structure, is_looked_up
from dart_keras.saved_models.keras2_config import keras3_config
from dart_keras.saved_models.model_content import innermost_reason
from dart_keras.utils.optional_imports import import_extra
from dart_keras.utils.quiet import quiet

_ROWS = 4
# Of sizes that are free, such as the length of a sequence.
_FREE_SIZE = 32
_TOLERANCE = 1e-3


def load_through_tf_keras(
    path: Path, custom_objects: dict[str, Any] | None, safe_mode: bool, reason: str | None = None
) -> keras.Model:
    """Have tf-keras load a model, and give its weights to the same model of Keras 3.

    Args:
        path: A file of Keras 2, or a SavedModel folder that it wrote.
        custom_objects: As for `dart_keras.load_model`.
        safe_mode: As for `dart_keras.load_model`.
        reason: Why Keras 3 cannot load it; `None` if it was not asked.

    Returns:
        The model of Keras 3, not compiled.

    Raises:
        ImportError: If tf-keras is not installed.
        ValueError: If tf-keras cannot load it, Keras 3 has no such model, or its outputs differ.
    """
    written = f"Keras 2 wrote {path}, which Keras 3 cannot read" + (f": {reason}" if reason else "")
    try:
        with quiet():
            tf_keras = import_extra("tf_keras", "tf-keras", "quantization")
    except ImportError as error:
        raise ImportError(f"{written}. {error}") from error
    try:
        with quiet():
            old = tf_keras.models.load_model(str(path), compile=False, safe_mode=safe_mode)
            # The config of the model itself does not say where its class is.
            config = {"module": "keras", **json.loads(old.to_json())}
        model = keras.saving.deserialize_keras_object(
            keras3_config(config, safe_mode), custom_objects=custom_objects, safe_mode=safe_mode
        )
    # Both versions raise anything where a config is not as they expect it.
    except Exception as error:
        second = innermost_reason(error)
        raise ValueError(written if second == reason else f"{written}: {second}") from error
    carry_weights(old, model)
    check_same_outputs(old, model)
    return model


def carry_weights(old: Any, new: keras.Layer) -> None:
    """Give a layer or model the weights of its equivalent of Keras 2.

    Args:
        old: The layer or model of tf-keras.
        new: The one of Keras 3, made of the same config.

    Raises:
        ValueError: If they do not hold the same layers with weights of the same shapes.
    """
    if isinstance(new, keras.Model):
        by_name = {layer.name: layer for layer in old.layers}
        for layer in new.layers:
            if layer.weights and layer.name not in by_name:
                raise ValueError(
                    f"Expected the layer {layer.name!r} in the model of Keras 2. Received: layers "
                    f"{sorted(by_name)}"
                )
            if layer.weights:
                carry_weights(by_name[layer.name], layer)
        return
    shapes = [[tuple(w.shape) for w in layer.weights] for layer in (old, new)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Expected weights of the shapes {shapes[0]} in the layer {new.name!r}, as in Keras 2. "
            f"Received: {shapes[1]}"
        )
    new.set_weights(old.get_weights())


def check_same_outputs(old: Any, new: keras.Model) -> None:
    """Check that a model gives on random rows what its equivalent of Keras 2 gives.

    Raises:
        ValueError: If an output differs by more than a thousandth of its largest value.
    """
    rows = random_rows(new)
    outputs = [keras.tree.flatten(model(rows, training=False)) for model in (old, new)]
    for place, (wanted, given) in enumerate(zip(*outputs, strict=True)):
        expected, received = np.asarray(wanted), keras.ops.convert_to_numpy(given)
        peak = np.max(np.abs(expected), initial=0.0)
        error = np.max(np.abs(expected - received), initial=0.0)
        if not error <= _TOLERANCE * peak:
            raise ValueError(
                f"Expected output {place} of the model in Keras 3 to be as in Keras 2. Received: "
                f"an error of {error:.3g} on random rows, with values up to {peak:.3g}: build the "
                "model anew in Keras 3, and compare layer by layer"
            )


def random_rows(model: keras.Model) -> Any:
    """Return some rows for a model, normal numbers or ids of 0 and 1, in its own structure."""
    rng = np.random.default_rng(0)

    def rows(tensor: Any) -> np.ndarray:
        batch, *sizes = tensor.shape
        shape = (batch or _ROWS, *(size or _FREE_SIZE for size in sizes))
        if tensor.dtype == "string":
            return np.full(shape, "a")
        if "float" not in str(tensor.dtype) or is_looked_up(model, tensor, looks_up_rows):
            return rng.integers(0, 2, shape).astype(tensor.dtype)
        return rng.standard_normal(shape).astype(tensor.dtype)

    return keras.tree.map_structure(rows, input_structure(model))
