"""Reading rows, whatever form they have."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dart_keras.calibration_data.forms import elements_of, has_length, is_whole, made, values_of
from dart_keras.calibration_data.row_blocks import (
    Block,
    first_rows,
    rows_in,
    together,
    until_end,
)
from dart_keras.calibration_data.row_checks import check_counts, checked_input, checked_structure
from dart_keras.calibration_data.specs import InputSpec

# Rows and small batches are put together to so many, or a model would run once for each.
_ROWS_TOGETHER = 256


def read_blocks(
    data: Any,
    specs: Sequence[InputSpec] | None,
    *,
    structure: Any = None,
    name: str = "calibration_data",
    max_rows: int | None = None,
    rows_together: int = _ROWS_TOGETHER,
) -> Iterator[Block]:
    """Yield checked arrays of some rows each, in their order.

    Args:
        data: Data in one of the forms that the module names.
        specs: The model's inputs; `None` where they are not known: then batches in the structure
            that the model takes, alone or as the first of a tuple.
        structure: How the model takes its inputs: a tensor, list or dict; `None` for a list.
        name: What the caller calls `data`, for the errors.
        max_rows: Nothing is read of batches or rows once there are so many rows. `None` reads
            all, or 65,536 rows with a warning where the data do not tell that they end.
        rows_together: What yields batches or rows is put together to blocks of a multiple of this
            number of rows, but for the last block and those before other shapes.

    Yields:
        For each input an array of shape (rows, *shape); without `specs` the structure given.

    Raises:
        ValueError: If the data are of another form, of a wrong shape or dtype, or not finite.
    """
    data = made(data)
    blocks = _checked(data, specs, structure, name)
    if is_whole(data, specs):
        yield from blocks
        return
    if max_rows is None and not has_length(data):
        blocks = until_end(blocks, name)
    elif max_rows is not None:
        blocks = first_rows(blocks, max_rows)
    yield from together(blocks, rows_together)


def read_arrays(
    data: Any,
    specs: Sequence[InputSpec],
    *,
    structure: Any = None,
    name: str = "calibration_data",
    max_rows: int | None = None,
) -> list[np.ndarray]:
    """Return all rows, or so many of them, as one array for each input.

    Args:
        data: As for `read_blocks`.
        specs: The model's inputs.
        structure: As for `read_blocks`.
        name: As for `read_blocks`.
        max_rows: The most rows to keep: evenly spaced ones of arrays, the first ones of what yields
            batches or rows. `None` keeps all.

    Returns:
        For each input an array of shape (rows, *shape).

    Raises:
        ValueError: If there are no rows, or as from `read_blocks`.

    Example:
        >>> read_arrays([[1, 2], [3, 4]], [InputSpec("x", (2,), "float32")])
        [array([[1., 2.],
               [3., 4.]], dtype=float32)]
    """
    data = made(data)
    whole = is_whole(data, specs)
    blocks = list(read_blocks(data, specs, structure=structure, name=name, max_rows=max_rows))
    count = sum(map(rows_in, blocks))
    if not count:
        raise ValueError(f"Expected `{name}` to hold at least one row. Received: no rows")
    arrays = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    if max_rows is not None and count > max_rows:
        kept = np.linspace(0, count - 1, max_rows).astype(int) if whole else np.arange(max_rows)
        arrays = [array[kept] for array in arrays]
    return arrays


def _checked(
    data: Any, specs: Sequence[InputSpec] | None, structure: Any, name: str
) -> Iterator[Block]:
    """Yield what each element holds; a single row is a block of one."""
    for element in elements_of(data, specs, name):
        if specs is None:
            inputs = element[0] if isinstance(element, tuple) and element is not data else element
            yield checked_structure(inputs, name)
            continue
        values = values_of(element, specs, structure, name)
        arrays = [
            checked_input(value, spec, name) for value, spec in zip(values, specs, strict=True)
        ]
        block = [
            array if array.ndim > len(spec.shape) else array[None]
            for array, spec in zip(arrays, specs, strict=True)
        ]
        check_counts([spec.name for spec in specs], block, name)
        yield block
