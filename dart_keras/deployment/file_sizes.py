from typing import Any, NamedTuple

import keras

from dart_keras.budgets import ArenaBytes, FlashBytes
from dart_keras.deployment.convert import convert_unjudged
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.devices import RUNTIMES, find_file_device
from dart_keras.quantization.quantized_models import quantized_layers


class FileSizes(NamedTuple):
    """What a model's file takes.

    Attributes:
        flash_bytes: Bytes of the `.tflite` file.
        arena_bytes: Bytes of working memory on TensorFlow Lite Micro; `None` where the target does
            not run it.
    """

    flash_bytes: int
    arena_bytes: int | None

    def as_dict(self) -> dict[str, int]:
        """Return those sizes that are known, by their names."""
        return {name: size for name, size in self._asdict().items() if size is not None}

    def limited_by(self, budget: FlashBytes | ArenaBytes) -> int:
        """Return the size that a budget limits."""
        size = self.flash_bytes if isinstance(budget, FlashBytes) else self.arena_bytes
        assert size is not None  # A budget of arena is for targets that have one.
        return size


def file_sizes(
    model: keras.Model, budget: FlashBytes | ArenaBytes, calibration_data: Any
) -> FileSizes:
    """Return the sizes of the file that `convert` makes of a model for a budget's target.

    Args:
        model: A built model.
        budget: Which file to make.
        calibration_data: As for `convert`.

    Raises:
        ValueError: As from `convert`.
        ConversionError: If the model cannot be converted.
    """
    artifact = convert_unjudged(model, budget.target, budget.quantization, calibration_data)
    return FileSizes(artifact.size, artifact.arena_size)


def check_file_budget(
    model: keras.Model, budget: FlashBytes | ArenaBytes, calibration_data: Any
) -> None:
    """Check that a file can be made for a budget, before the work that leads to it.

    Raises:
        ValueError: If the quantization needs calibration data and there are none.
        ImportError: If a runtime of the budget's target is not installed.
    """
    for name in find_file_device(budget.target, budget.quantization).runtimes:
        RUNTIMES[name].require()
    needs_data = SCHEMES[budget.quantization].calibrated and not quantized_layers(model)
    if needs_data and calibration_data is None:
        raise ValueError(
            f"Expected `calibration_data` for a file with quantization={budget.quantization!r}. "
            "Received: calibration_data=None"
        )
