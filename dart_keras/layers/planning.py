"""Choice of a layer's order of contraction."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dart_keras.tensor_train.contraction import (
    NAMES,
    UNKNOWN_ROWS,
    ContractionPlan,
    candidate_plans,
    cheapest_plan,
    fastest_plan,
)
from dart_keras.utils.keras_backend import require_tensorflow

CONTRACTIONS = ("auto", "measure", *NAMES)

# From the layer and the plans for it, fastest first, to one of them.
PlanChooser = Callable[[Any, list[ContractionPlan]], ContractionPlan]

_device: ContextVar[tuple[str, PlanChooser] | None] = ContextVar("device", default=None)


@contextmanager
def device_planning(target: str, choice: PlanChooser) -> Iterator[None]:
    """Plan all layers that are called in this context for a device, whatever their own setting.

    Args:
        target: Name of the device, as in `candidate_plans`.
        choice: Chooses one of the plans for a layer.
    """
    token = _device.set((target, choice))
    try:
        yield
    finally:
        _device.reset(token)


@contextmanager
def planned_as(target: str, plan: ContractionPlan) -> Iterator[None]:
    """Use one plan for a device for all layers that are called in this context.

    An outer `device_planning` is asked, too, with this plan as the only choice.

    Args:
        target: Name of the device, as in `candidate_plans`.
        plan: The plan.
    """
    around = _device.get()
    choice = around[1] if around is not None else lambda layer, plans: plans[0]
    with device_planning(target, lambda layer, _: choice(layer, [plan])):
        yield


def planned_device() -> str | None:
    """Return the device that layers are planned for, `None` for this machine."""
    device = _device.get()
    return None if device is None else device[0]


def check_contraction(contraction: Any) -> str:
    """Return the name of a contraction setting, if it is valid.

    Raises:
        ValueError: If it is unknown, or not supported on this Keras backend.
    """
    if contraction not in CONTRACTIONS:
        raise ValueError(
            f"Expected `contraction` to be one of {CONTRACTIONS}. "
            f"Received: contraction={contraction!r}"
        )
    if contraction == "measure":
        require_tensorflow("`contraction='measure'`")
    return contraction


def count_rows(sizes: Sequence[Any]) -> int:
    """Return the product of all axes of an input but the last; unknown ones count once."""
    # Unknown sizes are `None`, or symbols when JAX exports a function.
    known = [size for size in sizes if isinstance(size, int)]
    return math.prod(known) * (UNKNOWN_ROWS if len(known) < len(sizes) else 1)


def plan_for(
    layer: Any,
    input_modes: tuple[int, ...],
    output_modes: tuple[int, ...],
    rows: int | None,
    training: bool | None,
) -> ContractionPlan:
    """Return the plan by which a layer multiplies by its TT matrix, or by the transpose.

    Args:
        layer: A `TTLayer` with its present ranks.
        input_modes: Modes of the input.
        output_modes: Modes of the product.
        rows: Number of rows, `None` if unknown.
        training: Whether gradients are needed.

    Returns:
        The plan.
    """
    shape = (input_modes, output_modes, layer.ranks)
    if (device := _device.get()) is not None:
        target, choice = device
        return choice(layer, candidate_plans(*shape, rows, target=target))
    training = bool(training)
    if layer.contraction == "measure":
        plans = candidate_plans(*shape, rows, training=training)
        return fastest_plan(plans, layer.compute_dtype)
    return cheapest_plan(*shape, rows, training=training, name=layer.contraction)


def fastest_of_its_size(plans: Sequence[ContractionPlan]) -> ContractionPlan:
    """Return the fastest plan whose merged cores have no more parameters than the cores."""
    unmerged = sum(math.prod(shape) for shape in plans[0].network.core_shapes)
    fitting = [plan for plan in plans if plan.weights <= unmerged]
    return min(fitting, key=lambda plan: plan.microseconds)
