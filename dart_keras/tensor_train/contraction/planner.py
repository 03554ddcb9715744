"""Choice of an order of contraction."""

from collections.abc import Sequence
from functools import lru_cache

from dart_keras.devices import Device, find_device
from dart_keras.tensor_train.contraction.network import Network
from dart_keras.tensor_train.contraction.paths import plans_by_path
from dart_keras.tensor_train.contraction.plan import ContractionPlan

# Assumed number of rows if it is unknown, as in a model's batch dimension.
UNKNOWN_ROWS = 64


def candidate_plans(
    input_modes: Sequence[int],
    output_modes: Sequence[int],
    ranks: Sequence[int],
    rows: int | None = None,
    *,
    training: bool = False,
    target: str = "cpu",
) -> list[ContractionPlan]:
    """Return the candidate orders to multiply by a TT matrix, fastest first by estimate.

    They are: chains of products that take the cores from either end or outwards from an inner core;
    the same after merging neighbouring cores; rebuilding the dense matrix first; and the path that
    opt_einsum finds (Smith and Gray 2018, "opt_einsum", J. Open Source Software 3(26)).

    Args:
        input_modes: Modes n_1...n_d of the rows of the matrix.
        output_modes: Modes m_1...m_d of its columns.
        ranks: All d + 1 ranks.
        rows: Number of rows of the input, `None` if unknown.
        training: Whether to include the gradients.
        target: Name of a device, a key of `dart_keras.devices.DEVICES`. On devices that run
            `.tflite` files, cores are constants and only plain products of matrices are used.

    Returns:
        At least one plan.

    Raises:
        ValueError: If there is no such device.

    Example:
        >>> plans = candidate_plans((32, 32), (32, 32), (1, 4, 1), rows=128)
        >>> sorted(plan.name for plan in plans)
        ['left_to_right', 'rebuild', 'right_to_left']
    """
    return list(
        _ranked(
            tuple(input_modes),
            tuple(output_modes),
            tuple(ranks),
            UNKNOWN_ROWS if rows is None else max(1, rows),
            training,
            find_device(target),
        )
    )


def cheapest_plan(
    input_modes: Sequence[int],
    output_modes: Sequence[int],
    ranks: Sequence[int],
    rows: int | None = None,
    *,
    training: bool = False,
    target: str = "cpu",
    name: str = "auto",
    max_parameters: int | None = None,
) -> ContractionPlan:
    """Return the order to multiply by a TT matrix that is fastest by estimate.

    Args:
        input_modes: Modes n_1...n_d of the rows of the matrix.
        output_modes: Modes m_1...m_d of its columns.
        ranks: All d + 1 ranks.
        rows: Number of rows of the input, `None` if unknown.
        training: Whether to include the gradients.
        target: Name of a device, as for `candidate_plans`.
        name: `"auto"`, or a kind of order: `"left_to_right"`, `"right_to_left"`, `"middle_out"`,
            `"merged"`, `"rebuild"`, `"opt_einsum"`. If the kind does not exist, as two cores have
            no middle, the choice is `"auto"`.
        max_parameters: Maximum number of parameters of the cores after merging.

    Returns:
        The plan. If `max_parameters` allows none, it is one without merged cores.

    Example:
        >>> cheapest_plan((32, 32), (32, 32), (1, 64, 1), rows=512, training=True).name
        'rebuild'
        >>> cheapest_plan((1024, 1), (1, 1024), (1, 64, 1), rows=512, training=True).name
        'left_to_right'
    """
    plans = candidate_plans(
        input_modes, output_modes, ranks, rows, training=training, target=target
    )
    of_this_kind = [plan for plan in plans if plan.name == name] or plans
    if max_parameters is not None:
        least = min(plan.weights for plan in plans)
        allowed = max(max_parameters, least)
        of_this_kind = [plan for plan in of_this_kind if plan.weights <= allowed]
    return of_this_kind[0]


@lru_cache(maxsize=1024)
def _ranked(
    input_modes: tuple[int, ...],
    output_modes: tuple[int, ...],
    ranks: tuple[int, ...],
    rows: int,
    training: bool,
    device: Device,
) -> tuple[ContractionPlan, ...]:
    network = Network(input_modes, output_modes, ranks, rows)
    plans = plans_by_path(network, device, training)
    return tuple(sorted(plans, key=lambda plan: (plan.microseconds, len(plan.path))))
