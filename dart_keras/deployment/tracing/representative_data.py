from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from dart_keras.deployment.tracing.signature import InputSpec

# Enough to see the range of every activation; more only makes calibration slower.
MAX_ROWS = 1024


def collect(
    data: Any, specs: Sequence[InputSpec], *, name: str, max_rows: int | None = None
) -> list[np.ndarray]:
    """Check data that a caller gave, and bring it into one form.

    Args:
        data: One array for each input (alone, in a tuple, or in a dict by input name), or an
            iterable such as a list, a generator or a `tf.data.Dataset`, of such batches or of
            single rows. The labels in pairs of (inputs, labels) are ignored.
        specs: What the model takes.
        name: What the caller calls `data`, for the errors.
        max_rows: The most rows to keep: evenly spaced ones of arrays, the first ones of an
            iterable. None keeps all.

    Returns:
        One array of shape (rows, *shape) for each input, int32 for integer inputs, float32
        for float ones and unchanged where the spec leaves the dtype open.

    Raises:
        ValueError: If the data are empty, of a wrong shape, not finite, or do not match
            the inputs.
    """
    batches: list[list[np.ndarray]] = []
    count = 0
    for element in _elements(data, specs, name):
        values = _by_input(element, specs, name)
        batch = [_as_batch(v, spec, name) for v, spec in zip(values, specs, strict=True)]
        if len({len(array) for array in batch}) > 1:
            raise ValueError(
                f"Expected the same number of rows for every input in `{name}`. Received: "
                f"{ {spec.name: len(a) for spec, a in zip(specs, batch, strict=True)} }"
            )
        batches.append(batch)
        count += len(batch[0])
        if max_rows is not None and count >= max_rows and not _is_whole(data):
            break
    if not count:
        raise ValueError(f"Expected `{name}` to hold at least one row. Received: no rows")
    arrays = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    if max_rows is not None and count > max_rows:
        kept = np.linspace(0, count - 1, max_rows).astype(int)
        if not _is_whole(data):
            kept = np.arange(max_rows)
        arrays = [array[kept] for array in arrays]
    return arrays


def random_rows(specs: Sequence[InputSpec], id_bound: int, rows: int = 32) -> list[np.ndarray]:
    """Make normal floats and ids below `id_bound`, always the same, to compare runtimes on."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, id_bound, (rows, *spec.shape), dtype="int32")
        if spec.dtype == "int32"
        else rng.standard_normal((rows, *spec.shape), dtype="float32")
        for spec in specs
    ]


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "__array__")


def _is_whole(data: Any) -> bool:
    return _is_array(data) or isinstance(data, (tuple, dict))


def _elements(data: Any, specs: Sequence[InputSpec], name: str) -> Iterator[Any]:
    if _is_whole(data):
        yield data
    elif isinstance(data, list) and data and not _holds_elements(data, specs):
        yield tuple(data) if len(specs) > 1 else np.asarray(data)
    elif isinstance(data, Iterable) and not isinstance(data, (str, bytes)):
        yield from data
    else:
        raise ValueError(
            f"Expected `{name}` to be an array, a tuple or dict of arrays, or an iterable of rows "
            f"or batches. Received: {type(data).__name__}"
        )


def _holds_elements(data: list[Any], specs: Sequence[InputSpec]) -> bool:
    if len(specs) > 1:
        # Two arrays for two inputs are the inputs; two pairs of arrays are two batches.
        return isinstance(data[0], (tuple, list, dict))
    return _is_array(data[0]) or isinstance(data[0], (tuple, dict))


def _by_input(element: Any, specs: Sequence[InputSpec], name: str) -> list[Any]:
    if isinstance(element, dict):
        wanted = [spec.name for spec in specs]
        if not set(wanted) <= set(element):
            raise ValueError(
                f"Expected `{name}` to hold an array for each of the inputs {wanted}. Received: "
                f"the keys {sorted(map(str, element))}"
            )
        return [element[key] for key in wanted]
    if isinstance(element, (tuple, list)):
        if len(element) in (2, 3) and isinstance(element[0], (tuple, list, dict)):
            return _by_input(element[0], specs, name)
        if len(specs) == 1 and isinstance(element, tuple) and 1 <= len(element) <= 3:
            return [element[0]]
        if len(specs) == 1:
            return [np.asarray(element)]
        if len(element) in (len(specs), len(specs) + 1):
            return list(element[: len(specs)])
    elif len(specs) == 1:
        return [element]
    raise ValueError(
        f"Expected `{name}` to hold one array for each of the model's {len(specs)} inputs, as a "
        f"tuple or as a dict. Received: {type(element).__name__} of length "
        f"{len(element) if hasattr(element, '__len__') else 1}"
    )


def _as_batch(value: Any, spec: InputSpec, name: str) -> np.ndarray:
    array = np.asarray(value)
    where = f"`{name}` for input {spec.name!r}"
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise ValueError(f"Expected {where} to hold numbers. Received: dtype {array.dtype}")
    if array.shape == spec.shape:
        array = array[None]
    if array.shape[1:] != spec.shape or array.ndim != len(spec.shape) + 1:
        expected = ", ".join(["rows", *map(str, spec.shape)])
        raise ValueError(
            f"Expected {where} to have shape ({expected}), or {spec.shape} for one row. Received: "
            f"shape {np.shape(value)}"
        )
    if array.dtype.kind not in "iub" and not np.isfinite(array).all():
        bad = int(np.size(array) - np.isfinite(array).sum())
        raise ValueError(
            f"Expected {where} to be finite: leave out the rows that are not. Received: {bad} "
            "values that are NaN or infinite"
        )
    if spec.dtype == "int32":
        limits = np.iinfo("int32")
        whole = array.dtype.kind in "iub" or bool((array == np.floor(array)).all())
        if not whole or (array.size and (array.min() < limits.min or array.max() > limits.max)):
            raise ValueError(
                f"Expected {where} to hold integers of 32 bits. Received: values of dtype "
                f"{array.dtype} from {array.min()} to {array.max()}"
            )
    return array if spec.dtype is None else array.astype(spec.dtype)
