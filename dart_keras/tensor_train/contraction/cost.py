"""What the steps of a contraction cost, counted and estimated."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from dart_keras.devices import CostModel
from dart_keras.tensor_train.contraction.product import Product


@dataclass(frozen=True)
class Cost:
    """What some operations cost together.

    Attributes:
        multiply_adds: Multiplications, each with an addition.
        numbers_moved: Numbers read and written.
        largest_intermediate: Numbers of the largest array that is written.
        transposes: Operations that move axes.
        microseconds: Estimated time.
    """

    multiply_adds: int = 0
    numbers_moved: int = 0
    largest_intermediate: int = 0
    transposes: int = 0
    microseconds: float = 0.0

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written in float32."""
        return 4 * self.numbers_moved

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.multiply_adds + other.multiply_adds,
            self.numbers_moved + other.numbers_moved,
            max(self.largest_intermediate, other.largest_intermediate),
            self.transposes + other.transposes,
            self.microseconds + other.microseconds,
        )


class Planned:
    """What every plan tells of its costs, given those forward and backward."""

    forward: Any
    backward: Any
    training: bool

    @property
    def cost(self) -> Cost:
        """What is planned for: the output, and when training the gradients, too."""
        return self.forward + self.backward if self.training else self.forward

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of what is planned for."""
        return self.cost.multiply_adds

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written in float32 by what is planned for."""
        return self.cost.bytes_moved

    @property
    def microseconds(self) -> float:
        """Estimated time of what is planned for."""
        return self.cost.microseconds


def total(costs: Iterable[Cost]) -> Cost:
    """The cost of operations one after another."""
    return reduce(Cost.__add__, costs, Cost())


def matrix_product_cost(
    model: CostModel, rows: int, inner: int, columns: int, count: int = 1
) -> Cost:
    """The cost of `count` products of matrices (rows, inner) and (inner, columns)."""
    return Cost(
        count * rows * inner * columns,
        count * (rows * inner + inner * columns + rows * columns),
        count * rows * columns,
        0,
        model.product(rows, inner, columns, count),
    )


def move(model: CostModel, numbers: int) -> Cost:
    """The cost of moving the axes of an array."""
    return Cost(0, 2 * numbers, numbers, 1, model.transpose(numbers))


def moves(product: Product, model: CostModel, right_is_constant: bool) -> Cost:
    """The cost of moving axes before a product, and as much again for the gradients."""
    sides = [(product.left, product.left_order)]
    if not right_is_constant:
        sides.append((product.right, product.right_order))
    return total(move(model, product.network.size(axes)) for axes, order in sides if axes != order)


def forward(product: Product, model: CostModel) -> Cost:
    """The cost of a product, its axes being in their places."""
    size = product.network.size
    shared, new = size(product.shared), size(product.new)
    if product.batched:
        return _stack_product(model, size(product.before), new, shared, size(product.behind))
    return matrix_product_cost(model, size(product.before), shared, new)


def backward(product: Product, model: CostModel) -> Cost:
    """The cost of the gradients of both sides of a product, its axes being in their places."""
    size = product.network.size
    before, shared, new = size(product.before), size(product.shared), size(product.new)
    if not product.batched:
        left = matrix_product_cost(model, before, new, shared)
        return left + matrix_product_cost(model, shared, before, new)
    behind = size(product.behind)
    left = _stack_product(model, before, shared, new, behind)
    right = matrix_product_cost(model, shared, before * behind, new)
    if before == 1:
        return left + right
    # The axes that are summed over, the stack and its columns, do not lie next to each other.
    apart = size(product.left) + size(product.result)
    return left + right + Cost(0, 2 * apart, apart, 0, model.transpose(apart))


def _stack_product(model: CostModel, count: int, rows: int, inner: int, columns: int) -> Cost:
    """The cost of one matrix (rows, inner) times `count` matrices (inner, columns)."""
    extra = Cost(microseconds=model.stack) if count > 1 else Cost()
    return extra + matrix_product_cost(model, rows, inner, columns, count)
