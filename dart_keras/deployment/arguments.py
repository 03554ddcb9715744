"""Checks of what `convert` is given, beside the model and the data."""

import math
from typing import Any

from dart_keras.deployment.activation_ranges import METHODS
from dart_keras.deployment.recipe import Recipe
from dart_keras.tensor_train.modes import is_integer


def check_budget(flash_budget: Any) -> None:
    """Raise a ValueError unless this can be a file's most bytes."""
    if flash_budget is not None and (not is_integer(flash_budget) or flash_budget <= 0):
        raise ValueError(
            "`flash_budget` must be None or a positive number of bytes. Received: "
            f"flash_budget={flash_budget!r}"
        )


def check_decibels(least: Any) -> None:
    """Raise a ValueError unless this can be an output's least signal-to-noise ratio."""
    number = isinstance(least, (int, float)) and not isinstance(least, bool)
    if least is not None and not (number and math.isfinite(least) and least > 0):
        raise ValueError(
            "`least_decibels` must be None or a positive number. Received: "
            f"least_decibels={least!r}"
        )


def check_calibration(calibration: Any, recipe: Recipe) -> None:
    """Raise a ValueError unless ranges can be found this way for the recipe."""
    if calibration not in METHODS:
        raise ValueError(
            f"`calibration` must be one of {list(METHODS)}. Received: calibration={calibration!r}"
        )
    if calibration != "minmax" and not recipe.needs_data:
        reason = (
            "this model has learned its ranges"
            if recipe.learned
            else f"quantization={recipe.name!r} needs none"
        )
        raise ValueError(
            f"`calibration` is for ranges that are found on representative data, and {reason}. "
            f"Received: calibration={calibration!r}"
        )
