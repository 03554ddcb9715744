import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

from dart_keras._version import __version__
from dart_keras.deployment.errors import ConversionError
from dart_keras.deployment.flatbuffer.passes import apply_passes
from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.serialization import copy_parsed, pack
from dart_keras.deployment.flatbuffer.size_breakdown import file_parts, size_limit
from dart_keras.deployment.post_training.tflite_converter import FileConverter
from dart_keras.deployment.post_training.trained_ranges import check_integers
from dart_keras.deployment.post_training.weight_scales import (
    WeightScales,
    choose_scales,
    weight_scales_of,
)
from dart_keras.deployment.runtimes.executable import Executable
from dart_keras.deployment.runtimes.result import Examples
from dart_keras.deployment.runtimes.tflm import LARGEST_ARENA
from dart_keras.deployment.schemes import QuantizationScheme
from dart_keras.deployment.tracing.contraction_plans import DevicePlans
from dart_keras.deployment.tracing.function import AS_TRAINED, Exported, core_bases_of, export
from dart_keras.deployment.tracing.signature import ModelSignature
from dart_keras.deployment.validation.output_errors import compare
from dart_keras.devices import RUNTIMES, Device
from dart_keras.utils.progress import progress, progress_bar

# For the rows on which a file is compared with others.
_TRIAL_SECONDS = 5.0


@dataclass(frozen=True)
class Built:
    """A file, and what it was made from.

    Attributes:
        content: The file's bytes.
        named: The same operators, with the names that tell their layers.
        exported: The TensorFlow function.
        plans: The orders of contraction.
        scaled: How the weights are scaled; None if they are not quantized.
        core_basis: The core basis of the TT layers; None if there was none to choose.
    """

    content: bytes
    named: bytes
    exported: Exported
    plans: DevicePlans
    scaled: WeightScales | None
    core_basis: str | None


@dataclass(frozen=True)
class Builder:
    """Makes files from one model, for one target and by one quantization scheme.

    Attributes:
        model: The model.
        signature: How to call it.
        device: The target.
        scheme: How to quantize.
        calibration: The rows that show the ranges of the activations, one array an input.
        compared: The rows on which errors are measured.
        method: How ranges follow from the calibration rows.
    """

    model: keras.Model
    signature: ModelSignature
    device: Device
    scheme: QuantizationScheme
    calibration: Sequence[np.ndarray]
    compared: list[np.ndarray]
    method: str = "minmax"

    def build(self, flash_budget: int | None) -> Built:
        """Make the file that is estimated to be the fastest within a number of bytes.

        Args:
            flash_budget: The most bytes; None for a file in which no cores are merged but where
                that takes no more weights.

        Raises:
            ConversionError: If an operation has no builtin operator, or no file is small enough.
        """
        plans = DevicePlans(self.device.name, self.scheme)
        best = self._build(plans)
        if flash_budget is None:
            return best
        if len(best.content) > flash_budget:
            return self._smallest(best, flash_budget)
        extra = flash_budget - len(best.content)
        for _ in progress(itertools.count(), "building files for the flash budget"):
            faster = plans.enlarged(extra)
            if faster.chosen == plans.used():
                break
            built = self._build(faster, best.core_basis)
            if len(built.content) <= flash_budget:
                return built
            # An operator more or less, or padding: the bytes of a file are not known beforehand.
            extra -= len(built.content) - flash_budget
        return best

    def _smallest(self, best: Built, flash_budget: int) -> Built:
        built = self._build(best.plans.smallest(), best.core_basis)
        size = min(len(built.content), len(best.content))
        if size > flash_budget:
            raise ConversionError(
                f"Expected room for the smallest file with quantization={self.scheme.name!r}, "
                f"which takes {size} bytes: raise `flash_budget`, compress the model, or choose a "
                f"smaller `quantization`. Received: flash_budget={flash_budget}."
            )
        return built

    def _build(self, plans: DevicePlans, core_basis: str | None = None) -> Built:
        core_basis, converter = self._chosen(plans, core_basis)
        exported, model = converter.exported, self._converted(converter)
        scaled = None
        if self.scheme.learned:
            check_integers(model, exported)
            scaled = weight_scales_of(model)
        elif self.scheme.optimized:
            coarse = self._converted(converter, per_channel=False)
            # The runtime with the coarser arithmetic.
            decibels = self._decibels(exported, self.device.runtimes[-1])
            tolerance = self.device.scale_tolerance
            with progress_bar("choosing scales of the weights") as bar:

                def counted(content: bytes) -> list[float]:
                    bar.update()
                    return decibels(content)

                model, scaled = choose_scales(model, coarse, counted, tolerance, self._is_small)
        apply_passes(model, "optimize", self.device.runtimes)
        named = pack(model)
        apply_passes(model, "strip", self.device.runtimes)
        return Built(pack(model), named, exported, plans, scaled, core_basis)

    def _chosen(
        self, plans: DevicePlans, core_basis: str | None
    ) -> tuple[str | None, FileConverter]:
        """Return the given core basis, or the one whose worst output has the highest SQNR."""
        core_bases = core_bases_of(self.model) if self.scheme.needs_data else {AS_TRAINED: []}
        converters = {
            name: FileConverter(
                export(self.model, self.signature, plans, replaced),
                self.scheme,
                self.calibration,
                self.method,
                self.scheme.scales_dense_by_channel(self.device.runtimes),
            )
            for name, replaced in core_bases.items()
            if core_basis in (name, None)
        }
        if len(core_bases) == 1:
            return None, converters[AS_TRAINED]
        if core_basis is None:
            # LiteRT ranks core bases as TFLM does, and sooner.
            worst = {
                name: min(
                    self._decibels(converter.exported, "litert")(pack(self._converted(converter)))
                )
                for name, converter in converters.items()
            }
            core_basis = max(worst, key=worst.__getitem__)
        return core_basis, converters[core_basis]

    def _is_small(self, model: Any) -> bool:
        model = copy_parsed(model)
        for stage in ("optimize", "strip"):
            apply_passes(model, stage, self.device.runtimes)
        return len(pack(model)) <= size_limit(model)

    def _converted(self, converter: FileConverter, per_channel: bool = True) -> Any:
        model = converter.model(per_channel)
        apply_passes(model, "convert", self.device.runtimes)
        return model

    def _decibels(self, exported: Exported, runtime: str) -> Callable[[bytes], list[float]]:
        compared, expected = self.compared, exported(self.compared)
        seconds: float | None = _TRIAL_SECONDS

        def measure(content: bytes) -> list[float]:
            nonlocal compared, expected, seconds
            try:
                file = executable(content, exported)
                result = file.run(runtime, compared, LARGEST_ARENA, row_seconds=seconds)
                # All further files are compared on the rows of the first.
                seconds = None
                compared = [array[result.rows] for array in compared]
                expected = [array[result.rows] for array in expected]
                results = compare(expected, result.outputs, exported.output_names)
            except ConversionError:
                # It is told with the operators to blame when the file is judged.
                return [-math.inf] * len(expected)
            return [_decibels_of(result) for result in results]

        return measure


def executable(content: bytes, exported: Exported) -> Executable:
    """Return a file with what must be known to run it."""
    parsed = ModelFile(content)
    names = [spec.name for spec in exported.signature.inputs]
    return Executable(content, parsed.inputs(names), parsed.outputs(exported.output_names))


def _decibels_of(result: dict[str, float | None]) -> float:
    if (equal := result.get("equal")) is not None:
        return math.inf if equal == 1 else -10 * math.log10(1 - equal)
    # None stands for no signal or no error.
    decibels = result["sqnr_db"]
    return math.inf if decibels is None else decibels


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
    import tensorflow as tf

    packages = (RUNTIMES[runtime].package for runtime in device.runtimes)
    return {
        "dart-keras": __version__,
        # Not by the package's name, which a nightly build has not got.
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        **{name: version(name) for name in packages},
    }
