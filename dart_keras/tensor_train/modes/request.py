"""Arguments of a search for modes."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from dart_keras.devices import Device, find_device
from dart_keras.utils.argument_checks import is_integer

OBJECTIVES = ("parameters", "multiply_adds", "time", "arena", "error")
MAX_CORES = 4
# Default rank of the layers.
DEFAULT_RANK = 8


@dataclass(frozen=True)
class Request:
    """The checked arguments of `suggest_modes`.

    Attributes:
        input_dim: The dimension N.
        output_dim: The dimension M.
        objective: The cost to minimize.
        ranks: Rank of every bond; `None` if a limit determines it.
        limits: Maximum of each cost; infinite without a limit.
        device: The device.
        rows: Number of rows of the input.
        max_cores: Maximum number of cores.
        matrix: The matrix to factorize, in float64, or `None`.
        tolerance: The error that determines the ranks, or `None`.
    """

    input_dim: int
    output_dim: int
    objective: str
    ranks: int | None
    limits: dict[str, float]
    device: Device
    rows: int
    max_cores: int
    matrix: np.ndarray | None
    tolerance: float | None


def check_request(
    input_dim: int,
    output_dim: int,
    objective: str,
    ranks: int | None,
    limits: dict[str, float | None],
    target: str,
    rows: int | None,
    max_cores: int,
    matrix: Any,
) -> Request:
    """Check and complete the arguments.

    Raises:
        ValueError: If one of them is invalid.
    """
    from dart_keras.tensor_train.contraction import UNKNOWN_ROWS

    _check_positive("input_dim", input_dim)
    _check_positive("output_dim", output_dim)
    _check_choice("objective", objective, OBJECTIVES)
    device = find_device(target)
    if ranks is not None:
        _check_positive("ranks", ranks)
    if rows is not None:
        _check_positive("rows", rows)
    if not is_integer(max_cores) or not 2 <= max_cores <= MAX_CORES:
        raise ValueError(
            f"Expected `max_cores` to be an integer from 2 to {MAX_CORES}. "
            f"Received: max_cores={max_cores!r}"
        )
    for name, limit in limits.items():
        if limit is not None:
            _check_limit(name, limit)
    if matrix is None:
        if objective == "error" or limits["error"] is not None:
            raise ValueError(
                "Expected `matrix`, which the error depends on. "
                f"Received: objective={objective!r}, max_error={limits['error']!r}, matrix=None"
            )
    else:
        matrix = _checked_matrix(matrix, input_dim, output_dim)
    tolerance = None
    if ranks is None and limits["parameters"] is None:
        if limits["error"] is None:
            ranks = DEFAULT_RANK
        else:
            # Ranks chosen for the error satisfy it, up to rounding.
            tolerance, limits = limits["error"], limits | {"error": None}
    if rows is None:
        rows = 1 if device.runs_files else UNKNOWN_ROWS
    complete = {name: math.inf if limit is None else limit for name, limit in limits.items()}
    return Request(
        int(input_dim),
        int(output_dim),
        objective,
        ranks,
        complete,
        device,
        rows,
        max_cores,
        matrix,
        tolerance,
    )


def _check_positive(name: str, value: Any) -> None:
    if not is_integer(value) or value < 1:
        raise ValueError(f"Expected `{name}` to be a positive integer. Received: {name}={value!r}")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"Expected `{name}` to be one of {choices}. Received: {name}={value!r}")


def _check_limit(name: str, limit: Any) -> None:
    number = isinstance(limit, Real) and not isinstance(limit, bool)
    if name == "error":
        if not number or not 0 <= limit < 1:
            raise ValueError(f"Expected `max_error` in [0, 1). Received: max_error={limit!r}")
    elif not number or not limit > 0:
        raise ValueError(
            f"Expected `max_{name}` to be a positive number. Received: max_{name}={limit!r}"
        )


def _checked_matrix(matrix: Any, input_dim: int, output_dim: int) -> np.ndarray:
    array = np.asarray(matrix)
    if array.shape != (input_dim, output_dim) or not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"Expected `matrix` of shape {(input_dim, output_dim)} and a float dtype. "
            f"Received: an array of shape {array.shape} and dtype {array.dtype}"
        )
    array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError("Expected a finite `matrix`. Received: NaN or infinite values")
    return array
