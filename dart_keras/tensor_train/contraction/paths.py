"""Candidate orders of contraction."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from itertools import product as cartesian_product

import opt_einsum

from dart_keras.devices import Device
from dart_keras.tensor_train.contraction.network import ROWS, Network
from dart_keras.tensor_train.contraction.plan import ContractionPath, ContractionPlan

NAMES = ("left_to_right", "right_to_left", "middle_out", "merged", "rebuild", "opt_einsum")

# Largest number of cores for which all orders are candidates.
_ALL_ORDERS = 4
# Number of ways to move axes that are kept from step to step.
_BEAM = 4


def plans_by_path(network: Network, device: Device, training: bool) -> list[ContractionPlan]:
    """Return a plan for every candidate order, without duplicates.

    Args:
        network: The modes, the ranks and the number of rows.
        device: The device whose time is estimated.
        training: Whether to include the gradients.

    Returns:
        The plans. Of the ways to move axes that an order allows, each has the one that is fastest
        by estimate.
    """
    plans: dict[ContractionPath, ContractionPlan] = {}
    for name, path in (*_named_paths(len(network.input_modes)), _searched(network)):
        if path not in plans:
            plans[path] = _fastest(name, network, path, device, training)
    return list(plans.values())


def _fastest(
    name: str, network: Network, path: ContractionPath, device: Device, training: bool
) -> ContractionPlan:
    """Return the plan with this path whose choice of batched products is fastest."""

    def started(ways: tuple[bool, ...]) -> ContractionPlan:
        return ContractionPlan(name, network, path[: len(ways)], ways, device, training)

    best = [started(())]
    for _ in path:
        longer = []
        for plan in best:
            longer.append(started((*plan.batched, False)))
            if device.costs.stacks and longer[-1].products[-1].can_be_batched:
                longer.append(started((*plan.batched, True)))
        best = sorted(longer, key=lambda plan: plan.microseconds)[:_BEAM]
    return best[0]


def _named_paths(cores: int) -> Iterator[tuple[str, ContractionPath]]:
    """Yield paths that merge neighbouring cores first and then multiply from one core outwards.

    Up to four cores, these are all of them. For more cores their number grows as a power of three,
    so only the chains that turn once are candidates, and those that merge the cores into two or
    one.
    """
    for count in range(cores, 0, -1) if cores <= _ALL_ORDERS else (cores, 2, 1):
        for cuts in combinations(range(2, cores + 1), count - 1):
            starts = (1, *cuts, cores + 1)
            groups = [range(a, b) for a, b in pairwise(starts)]
            for order in _growing_orders(count):
                yield _name(groups, order), _path(groups, order, cores)


def _growing_orders(count: int) -> Iterator[tuple[int, ...]]:
    """Yield orders of 0...count-1 in which each number is adjacent to an earlier one."""
    all_sides: Iterable[tuple[int, ...]] = cartesian_product((-1, 1), repeat=count - 1)
    if count > _ALL_ORDERS:
        all_sides = ((1,) * (count - 1 - first) + (-1,) * first for first in range(count))
    for sides in all_sides:
        first = last = sides.count(-1)
        order = [first]
        for side in sides:
            first, last = (first - 1, last) if side < 0 else (first, last + 1)
            order.append(first if side < 0 else last)
        yield tuple(order)


def _name(groups: Sequence[range], order: Sequence[int]) -> str:
    if len(groups) == 1:
        # A single core is multiplied as it is.
        return "rebuild" if len(groups[0]) > 1 else "left_to_right"
    if any(len(group) > 1 for group in groups):
        return "merged"
    if order[0] == 0:
        return "left_to_right"
    return "right_to_left" if order[0] == len(order) - 1 else "middle_out"


def _path(groups: Sequence[range], order: Sequence[int], cores: int) -> ContractionPath:
    steps: list[tuple[int, int]] = []

    def multiply(left: int, right: int) -> int:
        steps.append((left, right))
        return cores + len(steps)

    operands = []
    for group in groups:
        merged = group[0]
        for core in group[1:]:
            merged = multiply(merged, core)
        operands.append(merged)
    grown = 0
    for k in order:
        grown = multiply(grown, operands[k])
    return tuple(steps)


def _searched(network: Network) -> tuple[str, ContractionPath]:
    """Return the path with the fewest multiply-adds that opt_einsum finds (Smith and Gray 2018)."""
    letters = {label: opt_einsum.get_symbol(k) for k, label in enumerate((ROWS, *network.sizes))}
    terms = ["".join(letters[label] for label in operand) for operand in network.operands]
    equation = ",".join(terms) + "->" + "".join(letters[label] for label in network.output)
    shapes = [tuple(network.sizes[label] for label in operand) for operand in network.operands]
    positions, _ = opt_einsum.contract_path(equation, *shapes, shapes=True, optimize="dp")
    return "opt_einsum", _numbered(positions, len(terms))


def _numbered(positions: Sequence[tuple[int, ...]], count: int) -> ContractionPath:
    """Convert opt_einsum's positions in a shrinking list to fixed operand numbers."""
    remaining = list(range(count))
    grown = {0}
    steps: list[tuple[int, int]] = []
    for pair in positions:
        first, second = (remaining.pop(position) for position in sorted(pair, reverse=True))
        left, right = sorted((first, second), key=lambda operand: (operand not in grown, operand))
        if left in grown:
            grown.add(count + len(steps))
        steps.append((left, right))
        remaining.append(count + len(steps) - 1)
    return tuple(steps)
