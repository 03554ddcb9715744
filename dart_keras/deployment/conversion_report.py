from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from dart_keras._version import __version__
from dart_keras.deployment.build import Built
from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.size_breakdown import file_parts
from dart_keras.deployment.runtimes.executable import Executable
from dart_keras.deployment.runtimes.result import Examples
from dart_keras.deployment.schemes import QuantizationScheme
from dart_keras.devices import RUNTIMES, Device


def describe(
    built: Built, file: Executable, device: Device, scheme: QuantizationScheme
) -> dict[str, Any]:
    """Return what a report tells of a file itself, as JSON can hold it.

    Args:
        built: The file with what it was made from.
        file: The same, with its inputs and outputs.
        device: The target.
        scheme: How it was quantized.
    """
    parsed = ModelFile(built.content)
    return {
        "target": device.name,
        "quantization": scheme.name,
        "file_bytes": len(built.content),
        "file_parts": asdict(file_parts(built.content)),
        "weight_bytes": parsed.weight_bytes,
        "weight_scales": built.scaled.as_dict() if built.scaled else None,
        "core_basis": built.core_basis,
        "operators": parsed.operator_counts,
        "contractions": built.plans.as_dicts(),
        "inputs": [info.as_dict() for info in file.inputs],
        "outputs": [info.as_dict() for info in file.outputs],
        "versions": _versions(device),
    }


def memory_of(
    file_bytes: int, examples: Examples, arena_size: int | None
) -> dict[str, dict[str, int]] | None:
    """Return what the emitted C++ source puts into a microcontroller's two memories, in bytes."""
    if arena_size is None:
        return None
    recorded = sum(array.nbytes for array in (*examples.inputs, *examples.outputs))
    return {
        "flash_bytes": {"model": file_bytes, "examples": recorded},
        "ram_bytes": {"arena": arena_size},
    }


def _versions(device: Device) -> dict[str, str]:
    packages = ["tensorflow", "keras", *(RUNTIMES[runtime].package for runtime in device.runtimes)]
    return {"dart-keras": __version__, **{name: version(name) for name in packages}}
