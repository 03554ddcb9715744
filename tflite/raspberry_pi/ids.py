"""Which ids of a row a model does not know."""

from collections.abc import Callable

import numpy as np
from errors import RefusedError
from tensors import Tensor


def check_ids(
    runs: Callable[[list[np.ndarray]], bool],
    row: list[np.ndarray],
    tensors: list[Tensor],
    number: int,
) -> None:
    """Raise a RefusedError if ids are why a model failed on a row.

    A file does not tell how many ids it knows. Its runs on rows with smaller ids do.

    Args:
        runs: Whether the model runs on values.
        row: The values on which it does not, an array for each input.
        tensors: The inputs.
        number: The row's number, for the error.
    """
    places = [place for place, tensor in enumerate(tensors) if tensor.takes_ids]
    # Not zero alone, which is padding for many models.
    known = [np.clip(values, 0, 1) if k in places else values for k, values in enumerate(row)]
    if not places or not runs(known):
        return
    for place in places:
        ids, name = row[place], tensors[place].name

        def runs_with(values: np.ndarray, place: int = place) -> bool:
            return runs([*known[:place], values, *known[place + 1 :]])

        largest, failing = 1, int(ids.max())
        if not runs_with(np.clip(ids, 0, None)):
            while failing - largest > 1:
                middle = (largest + failing) // 2
                if runs_with(np.clip(ids, 0, middle)):
                    largest = middle
                else:
                    failing = middle
            raise RefusedError(
                f"Expected ids from 0 to {largest} in {name}. "
                f"Received: id {ids[ids > largest][0]} in row {number}"
            )
        if ids.min() < 0 and not runs_with(ids):
            raise RefusedError(
                f"Expected ids of 0 or more in {name}. Received: id {ids.min()} in row {number}"
            )
