"""Reading rows, whatever form they have."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dart_keras.calibration_data.forms import elements_of, is_whole, values_of
from dart_keras.calibration_data.row_checks import check_counts, checked_input, checked_structure
from dart_keras.calibration_data.specs import InputSpec

# The arrays of some rows: one for each input, or in the structure given where inputs are not known.
Block = Any

# Single rows are put together to blocks of so many.
_ROWS_TOGETHER = 32


def read_blocks(
    data: Any,
    specs: Sequence[InputSpec] | None,
    *,
    structure: Any = None,
    name: str = "calibration_data",
) -> Iterator[Block]:
    """Yield checked arrays of some rows each, in their order.

    Args:
        data: Data in one of the forms that the module names.
        specs: The model's inputs; `None` where they are not known: then batches in the structure
            that the model takes, alone or as the first of a tuple.
        structure: How the model takes its inputs: a tensor, list or dict; `None` for a list.
        name: What the caller calls `data`, for the errors.

    Yields:
        For each input an array of shape (rows, *shape); without `specs` the structure given.

    Raises:
        ValueError: If the data are of another form, of a wrong shape or dtype, or not finite.
    """
    rows: list[Block] = []
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
        is_row = all(a.ndim == len(s.shape) for a, s in zip(arrays, specs, strict=True))
        if rows and (
            not is_row or len(rows) == _ROWS_TOGETHER or _shapes(rows[0]) != _shapes(block)
        ):
            yield _together(rows)
            rows = []
        if is_row:
            rows.append(block)
        else:
            yield block
    if rows:
        yield _together(rows)


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
    whole = is_whole(data, specs)
    blocks, count = [], 0
    for block in read_blocks(data, specs, structure=structure, name=name):
        blocks.append(block)
        count += len(block[0])
        if max_rows is not None and count >= max_rows and not whole:
            break
    if not count:
        raise ValueError(f"Expected `{name}` to hold at least one row. Received: no rows")
    arrays = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    if max_rows is not None and count > max_rows:
        kept = np.linspace(0, count - 1, max_rows).astype(int) if whole else np.arange(max_rows)
        arrays = [array[kept] for array in arrays]
    return arrays


def _shapes(block: Block) -> list[tuple[int, ...]]:
    return [array.shape for array in block]


def _together(blocks: Sequence[Block]) -> Block:
    return [np.concatenate(arrays) for arrays in zip(*blocks, strict=True)]
