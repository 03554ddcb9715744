"""Checks of the arguments of `convert`."""

import math
import numbers
from typing import Any

from dart_keras.deployment.post_training.activation_ranges import METHODS
from dart_keras.deployment.schemes import QuantizationScheme
from dart_keras.utils.argument_checks import is_integer


def check_budget(flash_budget: Any) -> int | None:
    """Return a file's most bytes as a Python integer, which JSON can hold.

    Raises:
        ValueError: If it is neither None nor a positive integer.
    """
    if flash_budget is not None and (not is_integer(flash_budget) or flash_budget <= 0):
        raise ValueError(
            "Expected `flash_budget` to be None or a positive number of bytes. Received: "
            f"flash_budget={flash_budget!r}"
        )
    return None if flash_budget is None else int(flash_budget)


def check_min_sqnr_db(least: Any) -> None:
    """Raise a ValueError unless this can be an output's least signal-to-noise ratio."""
    number = isinstance(least, numbers.Real) and not isinstance(least, bool)
    if least is not None and not (number and math.isfinite(least) and least > 0):
        raise ValueError(
            "Expected `min_sqnr_db` to be None or a positive number. Received: "
            f"min_sqnr_db={least!r}"
        )


def check_activation_ranges(activation_ranges: Any, scheme: QuantizationScheme) -> None:
    """Raise a ValueError unless ranges can be found this way for the quantization scheme."""
    if activation_ranges not in METHODS:
        raise ValueError(
            f"Expected `activation_ranges` to be one of {list(METHODS)}. Received: "
            f"activation_ranges={activation_ranges!r}"
        )
    if activation_ranges != "minmax" and not scheme.needs_data:
        reason = (
            "this model has learned its ranges"
            if scheme.learned
            else f"quantization={scheme.name!r} needs no ranges"
        )
        raise ValueError(
            f"Expected `activation_ranges` to be left out, because {reason}. "
            f"Received: activation_ranges={activation_ranges!r}"
        )
