import time
from collections.abc import Callable, Sequence

import numpy as np

from dart_keras.deployment.runtimes.result import RunResult
from dart_keras.deployment.runtimes.time_limit import TimeLimit
from dart_keras.utils.progress import progress_bar

# How long rows are run at a time. In between, progress is shown and the limits are looked at.
SLICE_SECONDS = 5.0
# As many are run, however long that takes.
MINIMUM_ROWS = 8

# Takes inputs and the least number of inferences to time. Returns the outputs of the first rows,
# at least one, and the seconds of each inference.
RunSlice = Callable[[list[np.ndarray], int], tuple[list[np.ndarray], Sequence[float]]]


def run_in_slices(
    run_slice: RunSlice,
    inputs: Sequence[np.ndarray],
    minimum_runs: int,
    limit: TimeLimit,
    row_seconds: float | None,
) -> RunResult:
    """Run rows a few seconds at a time, until all are done or the time for them is over.

    Args:
        run_slice: Runs as many rows as it can in `SLICE_SECONDS`.
        inputs: One array of shape (rows, ...) for each input.
        minimum_runs: The least number of inferences to time.
        limit: The most seconds that all of it may take.
        row_seconds: After so many no further rows are begun, once there are `MINIMUM_ROWS`. None
            runs all rows.

    Raises:
        RefusedError: If the limit is reached.
    """
    order = spread_order(len(inputs[0]))
    parts: list[list[np.ndarray]] = []
    times: list[float] = []
    done, begin = 0, time.monotonic()
    with progress_bar(f"running rows on {limit.runtime}", len(order)) as bar:
        while done < len(order):
            rest = [array[order[done:]] for array in inputs]
            outputs, seconds = run_slice(rest, minimum_runs - len(times))
            parts.append(outputs)
            times += seconds
            for _ in range(len(outputs[0])):
                bar.update()
            done += len(outputs[0])
            over = row_seconds is not None and time.monotonic() - begin >= row_seconds
            if over and done >= MINIMUM_ROWS:
                break
    rows = order[:done]
    sorted_places = np.argsort(rows)
    stacked = [np.concatenate(some)[sorted_places] for some in zip(*parts, strict=True)]
    return RunResult(stacked, float(np.median(times) * 1e6), rows[sorted_places])


def spread_order(count: int) -> np.ndarray:
    """Return an order of rows in which those of every beginning are spread over all.

    Data are often sorted. The places are those of van der Corput's sequence: their binary digits
    count from the other end.

    Example:
        >>> spread_order(6)
        array([0, 4, 2, 1, 5, 3])
    """
    digits = max(count - 1, 0).bit_length()
    places = (int(f"{place:0{digits}b}"[::-1], 2) for place in range(2**digits))
    return np.array([place for place in places if place < count], np.int64)
