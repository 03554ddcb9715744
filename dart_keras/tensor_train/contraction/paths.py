"""The orders of contraction that are worth a look."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from itertools import product as cartesian_product

import opt_einsum

from dart_keras.devices import Device
from dart_keras.tensor_train.contraction.network import ROWS, Network
from dart_keras.tensor_train.contraction.plan import ContractionPath, ContractionPlan

NAMES = ("left_to_right", "right_to_left", "middle_out", "merged", "rebuild", "opt_einsum")

# The most cores for which all orders are looked at.
_ALL_ORDERS = 4
# How many ways of moving axes are followed from step to step.
_BEAM = 4


def plans_by_path(network: Network, device: Device, training: bool) -> list[ContractionPlan]:
    """A plan for every order that is worth a look, no two of them alike.

    Args:
        network: The modes, the ranks and the number of rows.
        device: The device whose time is estimated.
        training: Whether the gradients count, too.

    Returns:
        The plans; of the ways to move axes that an order allows, the fastest by estimate.
    """
    plans: dict[ContractionPath, ContractionPlan] = {}
    for name, path in (*_named_paths(len(network.input_modes)), _searched(network)):
        if path not in plans:
            plans[path] = _fastest(name, network, path, device, training)
    return list(plans.values())


def _fastest(
    name: str, network: Network, path: ContractionPath, device: Device, training: bool
) -> ContractionPlan:
    """The plan with this path whose products are batched or not as is fastest."""

    def begun(ways: tuple[bool, ...]) -> ContractionPlan:
        return ContractionPlan(name, network, path[: len(ways)], ways, device, training)

    best = [begun(())]
    for _ in path:
        longer = []
        for plan in best:
            longer.append(begun((*plan.batched, False)))
            if device.costs.stacks and longer[-1].products[-1].can_be_batched:
                longer.append(begun((*plan.batched, True)))
        best = sorted(longer, key=lambda plan: plan.microseconds)[:_BEAM]
    return best[0]


def _named_paths(cores: int) -> Iterator[tuple[str, ContractionPath]]:
    """Ways to merge neighbouring cores first and then let the product grow from one of them.

    All of them for up to four cores; for more, whose number grows as the power of three, the chains
    that turn once and what merges the cores into two or one.
    """
    for count in range(cores, 0, -1) if cores <= _ALL_ORDERS else (cores, 2, 1):
        for cuts in combinations(range(2, cores + 1), count - 1):
            starts = (1, *cuts, cores + 1)
            groups = [range(a, b) for a, b in pairwise(starts)]
            for order in _growing_orders(count):
                yield _name(groups, order), _path(groups, order, cores)


def _growing_orders(count: int) -> Iterator[tuple[int, ...]]:
    """Orders of 0...count-1 in which each is next to one that came before."""
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
        # One core is multiplied as it is; there is nothing to rebuild.
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
    """The path with the fewest multiply-adds that opt_einsum finds (Smith and Gray 2018)."""
    letters = {label: opt_einsum.get_symbol(k) for k, label in enumerate((ROWS, *network.sizes))}
    terms = ["".join(letters[label] for label in operand) for operand in network.operands]
    equation = ",".join(terms) + "->" + "".join(letters[label] for label in network.output)
    shapes = [tuple(network.sizes[label] for label in operand) for operand in network.operands]
    positions, _ = opt_einsum.contract_path(equation, *shapes, shapes=True, optimize="dp")
    return "opt_einsum", _numbered(positions, len(terms))


def _numbered(positions: Sequence[tuple[int, ...]], count: int) -> ContractionPath:
    """A path of positions in a shrinking list as one of lasting numbers, the grown side left."""
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
