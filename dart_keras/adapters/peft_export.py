"""LoRA adapters as the files of PEFT, which other programs read."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors.numpy
from keras import ops

from dart_keras.adapters.adapted_copy import adaptable_layers
from dart_keras.adapters.adapted_layer import AdaptedLayer
from dart_keras.adapters.kernels.dense_kernel import DenseKernel
from dart_keras.adapters.kernels.einsum_dense_kernel import EinsumDenseKernel
from dart_keras.adapters.merge import check_finite
from dart_keras.adapters.methods.tensor_train import TTAdapter
from dart_keras.adapters.switch import chosen_name
from dart_keras.utils.atomic_write import write_files

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model"


def save_peft(
    model: keras.Model,
    folder: str | os.PathLike[str],
    module_of: Callable[[str], str | None],
    base_model: str | None = None,
    name: str | None = None,
) -> None:
    """Save LoRA adapters in the format of PEFT, for a PyTorch model with the same weights.

    PEFT itself reads the folder (`PeftModel.from_pretrained`), and so do servers of language
    models. Ranks may differ by layer.

    Args:
        model: A model of `adapt` with the method `LoRA`, or of `to_lora`.
        folder: The folder, for `adapter_model.safetensors` and `adapter_config.json`.
        module_of: Maps the path of an adapted layer to the name of the module in PyTorch, such as
            `"transformer_layer_0/self_attention_layer/query"` to
            `"encoder.layer.0.attention.self.query"`. With `None` a layer is left out: one that is
            trained in full has to be, because this format has no place for it.
        base_model: Name or folder of the PyTorch model, for the description.
        name: Name of the adapters. It need not be given if there are no others.

    Raises:
        TypeError: If `module_of` is no function.
        ValueError: If there are no adapters of that name, or they are no LoRA adapters of `Dense`
            or `EinsumDense` layers, weights are not finite, or modules have the same name.
        OSError: If the folder cannot be written to.

    Example:
        >>> import tempfile, keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.TTLoRA(rank=3), ["hidden"])
        >>> folder = tempfile.mkdtemp()
        >>> lora = adapters.to_lora(adapted, rank=3)
        >>> adapters.save_peft(lora, folder, lambda path: f"encoder.{path}")
    """
    if not callable(module_of):
        raise TypeError(
            "Expected `module_of` to be a function from paths of layers to names of modules, such "
            f"as the `get` of a dict. Received: module_of={module_of!r}"
        )
    name = chosen_name(model, name)
    tensors: dict[str, np.ndarray] = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for path, layer in adaptable_layers(model).items():
        if not isinstance(layer, AdaptedLayer) or name not in layer.adapters:
            continue
        module = module_of(path)
        if module is None:
            continue
        if not isinstance(module, str) or not module or module in ranks:
            raise ValueError(
                "Expected `module_of` to return the names of different modules, or None. "
                f"Received: {module!r} for the layer {path!r}"
            )
        adapter = _lora_of(path, layer, name)
        a, b = (ops.convert_to_numpy(core).astype("float32") for core in adapter.update.cores)
        rank = a.shape[3]
        # PyTorch keeps a kernel as outputs by inputs.
        tensors[f"{_PREFIX}.{module}.lora_A.weight"] = np.ascontiguousarray(a[0, :, 0].T)
        tensors[f"{_PREFIX}.{module}.lora_B.weight"] = np.ascontiguousarray(b[:, 0, :, 0].T)
        ranks[module], alphas[module] = rank, adapter.scale * rank
    if not ranks:
        raise ValueError(
            "Expected `module_of` to return the name of a module for at least one adapted layer. "
            "Received: None for all"
        )
    files = {
        WEIGHTS: safetensors.numpy.save(tensors, {"format": "pt"}),
        CONFIG: json.dumps(_config(ranks, alphas, base_model), indent=2).encode(),
    }
    write_files(Path(folder), files)


def _lora_of(path: str, layer: AdaptedLayer, name: str) -> TTAdapter:
    adapter = layer.adapters[name]
    # A subclass adds something else to a layer.
    if type(adapter) is not TTAdapter or len(adapter.update.cores) != 2:
        raise ValueError(
            "Expected LoRA adapters, which `dart_keras.adapters.to_lora` makes of others, and None "
            f"from `module_of` for layers that are trained in full. Received: layer {path!r} with "
            f"{type(adapter).__name__}"
        )
    if not isinstance(adapter.kernel, (DenseKernel, EinsumDenseKernel)):
        raise ValueError(
            "Expected adapters of `Dense` or `EinsumDense` layers. Received: layer "
            f"{path!r}, {type(layer.base).__name__}"
        )
    check_finite(path, adapter.weights)
    return adapter


def _config(
    ranks: dict[str, int], alphas: dict[str, float], base_model: str | None
) -> dict[str, Any]:
    usual = max(ranks.values())
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base_model,
        "inference_mode": True,
        "r": usual,
        "lora_alpha": usual,
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "target_modules": sorted(ranks),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
    }
