"""The passes over a converted file, in their order; each changes a parsed model in place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dart_keras.deployment.flatbuffer.passes.fold_transposes import fold_transposes
from dart_keras.deployment.flatbuffer.passes.int8_tables import narrow_tables
from dart_keras.deployment.flatbuffer.passes.int8_weights import (
    narrow_weights,
    narrow_weights_to_one_scale,
)
from dart_keras.deployment.flatbuffer.passes.int32_accumulators import narrow_accumulators
from dart_keras.deployment.flatbuffer.passes.relu6 import keep_relu6_scales
from dart_keras.deployment.flatbuffer.passes.strip_metadata import strip_metadata
from dart_keras.deployment.flatbuffer.passes.strip_names import strip_names
from dart_keras.deployment.flatbuffer.serialization import sweep

Stage = Literal["convert", "optimize", "strip"]


@dataclass(frozen=True)
class Pass:
    """A change of a parsed file.

    Attributes:
        change: Takes a `ModelT` and changes it in place.
        stage: `"convert"`, for what the runtimes do not run as the converter writes it;
            `"optimize"`, after the scales of the weights are chosen; or `"strip"`, after which
            operators cannot be traced to their layers.
        runtime: The runtime that needs it, `None` for all.
        unless: The runtime that cannot do with it, `None` for none.
    """

    change: Callable[[Any], None]
    stage: Stage
    runtime: str | None = None
    unless: str | None = None

    def is_for(self, runtimes: Sequence[str]) -> bool:
        """Return whether files for these runtimes go through it."""
        return self.unless not in runtimes and (self.runtime is None or self.runtime in runtimes)


PASSES = (
    Pass(narrow_weights, "convert", unless="tflm"),
    Pass(narrow_weights_to_one_scale, "convert", "tflm"),
    Pass(keep_relu6_scales, "convert", "tflm"),
    Pass(narrow_tables, "convert", "tflm"),
    Pass(fold_transposes, "optimize"),
    Pass(narrow_accumulators, "optimize", unless="tflm"),
    Pass(strip_metadata, "strip"),
    Pass(strip_names, "strip", "tflm"),
)


def apply_passes(model: Any, stage: Stage, runtimes: Sequence[str]) -> None:
    """Apply the passes of one stage, and drop what is no longer used.

    Args:
        model: A `ModelT`, changed in place.
        stage: The stage.
        runtimes: The runtimes that the file is for, such as `("litert", "tflm")`.
    """
    for each in PASSES:
        if each.stage == stage and each.is_for(runtimes):
            each.change(model)
    sweep(model)
