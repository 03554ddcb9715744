"""Adapters in files of kilobytes: safetensors, with a description in JSON."""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors
import safetensors.numpy
from keras import ops

from dart_keras.adapters.adapt import arguments_for, check_places, trained_copy
from dart_keras.adapters.adapted_copy import adaptable_layers, with_adapters
from dart_keras.adapters.adapted_layer import AdaptedLayer, base_of
from dart_keras.adapters.adapter import Adapter, KernelAdapter
from dart_keras.adapters.kernels import kernel_of
from dart_keras.adapters.switch import chosen_name
from dart_keras.adapters.trained_copy import TrainedCopy
from dart_keras.private_apis import own_weights, owners_of, read_state_back
from dart_keras.utils.atomic_write import write_files

_VERSION = 1
_KEY = "dart_keras_adapter"


def save(model: keras.Model, path: str | os.PathLike[str], name: str | None = None) -> None:
    """Save the adapters of a model, with the layers that are trained beside them.

    The file has the weights that were trained and a description. It has neither weights of the
    pretrained model nor what is drawn from a seed or computed from the model.

    Args:
        model: A model of `adapt`.
        path: The file, usually `*.adapter`. An existing one is replaced.
        name: Name of the adapters. It need not be given if there are no others.

    Raises:
        ValueError: If the model has no adapters of that name, or several and none was named, or
            weights are not finite.
        OSError: If the file cannot be written.

    Example:
        >>> import os, tempfile, keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((256,)), keras.layers.Dense(256, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.TTLoRA(rank=2), ["hidden"])
        >>> path = os.path.join(tempfile.mkdtemp(), "some.adapter")
        >>> adapters.save(adapted, path)
        >>> os.path.getsize(path) < 2000
        True
        >>> again = adapters.load(base, path)
    """
    name = chosen_name(model, name)
    adapters: dict[str, Adapter] = {}
    for at, layer in adaptable_layers(model, for_file=True).items():
        if isinstance(layer, AdaptedLayer) and name in layer.adapters:
            for owner in owners_of(layer):
                read_state_back(owner)
            adapters[at] = layer.adapters[name]
    tensors: dict[str, np.ndarray] = {}
    for key, weight in _weights_by_key(adapters).items():
        # Not ascontiguousarray, which makes a vector of a scalar.
        array = np.asarray(ops.convert_to_numpy(ops.cast(weight, "float32")), order="C")
        if not np.all(np.isfinite(array)):
            raise ValueError(
                f"Expected finite weights. Received: NaN or infinite ones in the adapter {name!r}, "
                f"{key!r}"
            )
        tensors[key] = array
    layers = _descriptions(adapters)
    without = _paths_of_copies(layers)
    content = {
        "version": _VERSION,
        "name": name,
        "layers": layers,
        "base": _fingerprint(model, without),
    }
    description = json.dumps(content, sort_keys=True)
    metadata = {_KEY: description, "sha256": _checksum(description, tensors)}
    file = Path(path)
    write_files(file.parent, {file.name: safetensors.numpy.save(tensors, metadata)})


def load(model: keras.Model, path: str | os.PathLike[str], name: str | None = None) -> keras.Model:
    """Return a model with the adapters of a file, as `adapt` does.

    No code is run that a file could name. The file is checked before anything is made of it: that
    it is whole, and that it was made for this model.

    Args:
        model: The pretrained model, which may have other adapters already. It is left as it is.
        path: A file of `save`.
        name: Name for the adapters; `None` for the one that they had.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If the file is no whole file of adapters, or was made for another model, or the
            model has adapters of that name.
        OSError: If the file cannot be read.

    Example:
        >>> import os, tempfile, keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(32, name="hidden")])
        >>> path = os.path.join(tempfile.mkdtemp(), "some.adapter")
        >>> adapters.save(adapters.adapt(base, adapters.LoRA(rank=2), ["hidden"]), path)
        >>> [tuple(weight.shape) for weight in adapters.load(base, path).trainable_variables]
        [(1, 32, 1, 2), (2, 1, 32, 1)]
    """
    content, tensors = _read(Path(path))
    name = content["name"] if name is None else name
    known = adaptable_layers(model, for_file=True)
    described = content["layers"]
    if not isinstance(described, dict) or not all(isinstance(x, dict) for x in described.values()):
        raise _refused(path, "whose description is of another form")
    if missing := [at for at in described if at not in known]:
        raise _refused(path, f"for layers that the model has not: {missing}")
    layers = {at: known[at] for at in described}
    check_places(model, layers, name)
    try:
        adapters = _all_made(layers, described, name)
    except KeyError as error:
        raise _refused(path, f"whose description has no {error}") from error
    except (TypeError, ValueError) as error:
        raise _refused(path, f"that does not fit the model. {error}") from error
    _check_tensors(path, adapters, tensors)
    if _fingerprint(model, _paths_of_copies(described)) != content["base"]:
        raise _refused(path, "made for a model with other weights")
    paths = dict(zip(known, adaptable_layers(model), strict=True))
    adapted = with_adapters(model, {paths[at]: each for at, each in adapters.items()}, name)
    # After the adapters have taken what they take from the model.
    for key, weight in _weights_by_key(adapters).items():
        weight.assign(tensors[key])
    return adapted


def _descriptions(adapters: Mapping[str, Adapter]) -> dict[str, Any]:
    """Return descriptions by path; of adapters that share layers the first one is named."""
    described = {}
    first: dict[int, str] = {}
    for at, adapter in sorted(adapters.items()):
        kernel = getattr(adapter, "kernel", None)
        with_others = [first.setdefault(id(each), at) for each in adapter.shared().values()]
        described[at] = {
            "adapter": type(adapter).__name__,
            "kernel": None if kernel is None else [type(kernel).__name__, kernel.get_config()],
            "settings": adapter.settings(),
            "shares_with": next((other for other in with_others if other != at), None),
        }
    return described


def _all_made(
    layers: Mapping[str, Any], described: Mapping[str, Mapping[str, Any]], name: str
) -> dict[str, Adapter]:
    """Return the adapters of descriptions for layers, built."""
    made: dict[str, Adapter] = {}
    for at, each in sorted(described.items()):
        other = each["shares_with"]
        made[at] = _made(layers[at], each, name, {} if other is None else made[other].shared())
    return made


def _made(
    layer: Any, described: Mapping[str, Any], name: str, shared: Mapping[str, Any]
) -> Adapter:
    kind = Adapter.classes.get(described["adapter"])
    if kind is TrainedCopy:
        return trained_copy(layer, name)
    if kind is None or not issubclass(kind, KernelAdapter):
        raise ValueError(f"Expected a known adapter. Received: {described['adapter']!r}")
    kernel = kernel_of(base_of(layer))
    present = json.loads(json.dumps([type(kernel).__name__, kernel.get_config()]))
    if described["kernel"] != present:
        raise ValueError(f"Expected a kernel {present}. Received: {described['kernel']}")
    adapter = kind(kernel, **described["settings"], **shared, **arguments_for(layer, name))
    adapter.build()
    return adapter


def _weights_by_key(adapters: Mapping[str, Adapter]) -> dict[str, keras.Variable]:
    """Return what stands in a file, by name: each weight once, also those that are shared."""
    keys: dict[int, tuple[str, keras.Variable]] = {}
    for at, adapter in sorted(adapters.items()):
        derived = {id(weight) for weight in adapter.derived_weights}
        own = [weight for weight in adapter.weights if id(weight) not in derived]
        for index, weight in enumerate(own):
            keys.setdefault(id(weight), (f"{at}:{index}_{weight.name}", weight))
    return dict(keys.values())


def _paths_of_copies(layers: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {path for path, each in layers.items() if each["adapter"] == TrainedCopy.__name__}


def _checksum(description: str, tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(description.encode())
    for key in sorted(tensors):
        digest.update(f"{key} {tensors[key].shape} {tensors[key].dtype} ".encode())
        digest.update(tensors[key].tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if path.is_dir():
        # safetensors says "No such device".
        raise IsADirectoryError(f"Expected a file of adapters. Received: the folder {str(path)!r}")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise _refused(path, f"that is no safetensors file ({error})") from error
    if _KEY not in metadata:
        raise _refused(path, "that is no file of adapters")
    if metadata.get("sha256") != _checksum(metadata[_KEY], tensors):
        raise _refused(path, "that was damaged or changed: its checksum is another one")
    content = json.loads(metadata[_KEY])
    version = content.get("version") if isinstance(content, dict) else None
    if version != _VERSION:
        raise _refused(path, f"of version {version!r}")
    if missing := {"name", "layers", "base"} - content.keys():
        raise _refused(path, f"without {sorted(missing)}")
    return content, tensors


def _check_tensors(
    path: str | os.PathLike[str],
    adapters: Mapping[str, Adapter],
    tensors: Mapping[str, np.ndarray],
) -> None:
    weights = _weights_by_key(adapters)
    expected = {key: tuple(weight.shape) for key, weight in weights.items()}
    received = {key: array.shape for key, array in tensors.items()}
    if expected != received:
        raise _refused(path, f"with tensors {received}, for adapters with {expected}")


def _refused(path: str | os.PathLike[str], what: str) -> ValueError:
    return ValueError(
        f"Expected a file that `dart_keras.adapters.save` has written for this model. "
        f"Received: {str(path)!r}, one {what}"
    )


def _fingerprint(model: keras.Model, without: Collection[str] = ()) -> str:
    """Return a hash of a model's weights, the same with and without adapters.

    Args:
        model: A model, adapted or not.
        without: Paths of layers that do not count, as they are in files.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path, layer in sorted(adaptable_layers(model, for_file=True).items(), key=lambda x: x[0]):
        if path in without:
            continue
        base: Any = base_of(layer)
        for weight in own_weights(base):
            digest.update(f"{path} {tuple(weight.shape)} {weight.dtype} ".encode())
            digest.update(ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()
