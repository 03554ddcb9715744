"""Choice of a way to look up rows."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from dart_keras.devices import Device, find_device
from dart_keras.tensor_train.lookup.lookup_plan import Factor, LookupPlan

# Each group of ids needs operations of its own.
MAX_GROUPS = 32


def plan_lookup(
    count: int,
    input_modes: Sequence[int],
    output_modes: Sequence[int],
    ranks: Sequence[int],
    *,
    training: bool = False,
    target: str = "cpu",
    dynamic_shapes: bool = True,
) -> LookupPlan:
    """Return the plan to look up rows of a TT matrix that is fastest by estimate.

    Args:
        count: Number of ids.
        input_modes: Modes n_1...n_d of the rows of the matrix.
        output_modes: Modes m_1...m_d of its columns.
        ranks: All d + 1 ranks.
        training: Whether to include the gradients.
        target: Name of a device. On devices that run `.tflite` files, the slices of the unmerged
            cores are multiplied from left to right.
        dynamic_shapes: Whether the sizes of tensors may depend on the ids.

    Returns:
        The plan.

    Raises:
        ValueError: If there is no such device.

    Example:
        >>> plan = plan_lookup(4096, (32, 32, 30), (8, 8, 12), (1, 16, 16, 1), training=True)
        >>> [(factor.first, factor.last) for factor in plan.factors]
        [(0, 1), (2, 2)]
    """
    return _cheapest(
        max(1, count),
        tuple(input_modes),
        tuple(output_modes),
        tuple(ranks),
        training=training,
        device=(device := find_device(target)),
        dynamic_shapes=dynamic_shapes and not device.runs_files,
    )


@lru_cache(maxsize=1024)
def _cheapest(*arguments: Any, device: Device, **options: Any) -> LookupPlan:
    plans = lookup_plans(*arguments, device=device, **options)
    if device.runs_files:
        # Merged cores would be stored in the file, and grouping is no builtin operator there.
        return next(plans)
    return min(plans, key=lambda plan: plan.microseconds)


def lookup_plans(
    count: int,
    input_modes: tuple[int, ...],
    output_modes: tuple[int, ...],
    ranks: tuple[int, ...],
    *,
    training: bool,
    device: Device,
    dynamic_shapes: bool,
) -> Iterator[LookupPlan]:
    """Yield all plans whose tables have at most as many elements as the rows.

    The arguments are those of `plan_lookup`. The first plan is the simplest: unmerged cores from
    left to right.
    """
    rows_size = count * math.prod(output_modes)
    for merged in _mergers(input_modes, output_modes, ranks):
        if any(f.first < f.last and f.n * f.slice_size > rows_size for f in merged):
            continue
        for is_mirrored in (False, True)[: len(merged)]:
            ordered = tuple(f.mirrored() for f in reversed(merged)) if is_mirrored else merged
            for factors in _groupings(ordered, dynamic_shapes):
                for is_distinct in (False, True) if dynamic_shapes else (False,):
                    yield LookupPlan(
                        input_modes,
                        output_modes,
                        ranks,
                        count,
                        factors,
                        is_mirrored,
                        is_distinct,
                        training,
                        device,
                    )


def _mergers(
    input_modes: tuple[int, ...], output_modes: tuple[int, ...], ranks: tuple[int, ...]
) -> Iterator[tuple[Factor, ...]]:
    """Yield every way to merge neighbouring cores, beginning with none."""
    d = len(input_modes)
    for inner in range(d - 1, -1, -1):
        for cuts in itertools.combinations(range(1, d), inner):
            yield tuple(
                Factor(
                    first,
                    end - 1,
                    math.prod(input_modes[first:end]),
                    math.prod(output_modes[first:end]),
                    ranks[first],
                    ranks[end],
                )
                for first, end in itertools.pairwise((0, *cuts, d))
            )


def _groupings(factors: tuple[Factor, ...], allowed: bool) -> Iterator[tuple[Factor, ...]]:
    """Yield every choice of factors with grouped ids; the first factor is only gathered."""
    choices = [
        (True,)
        if factor.n == 1
        else (False, True)
        if allowed and factor.n <= MAX_GROUPS
        else (False,)
        for factor in factors[1:]
    ]
    for grouped in itertools.product((False,), *choices):
        yield tuple(replace(f, grouped=p) for f, p in zip(factors, grouped, strict=True))
