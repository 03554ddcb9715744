"""Costs of the steps of a contraction, counted and estimated."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from dart_keras.devices import CostModel
from dart_keras.tensor_train.contraction.product import Product


@dataclass(frozen=True)
class Cost:
    """Total cost of some operations.

    Attributes:
        multiply_adds: Multiplications, each with an addition.
        elements_moved: Elements read and written.
        largest_intermediate: Elements of the largest array that is written.
        transposes: Operations that move axes.
        microseconds: Estimated time.
    """

    multiply_adds: int = 0
    elements_moved: int = 0
    largest_intermediate: int = 0
    transposes: int = 0
    microseconds: float = 0.0

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written in float32."""
        return 4 * self.elements_moved

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.multiply_adds + other.multiply_adds,
            self.elements_moved + other.elements_moved,
            max(self.largest_intermediate, other.largest_intermediate),
            self.transposes + other.transposes,
            self.microseconds + other.microseconds,
        )


class Planned:
    """Costs that all plans report, given those forward and backward."""

    forward: Any
    backward: Any
    training: bool

    @property
    def cost(self) -> Cost:
        """Planned cost: of the output, and in training of the gradients, too."""
        return self.forward + self.backward if self.training else self.forward

    @property
    def multiply_adds(self) -> int:
        """Planned multiply-adds."""
        return self.cost.multiply_adds

    @property
    def bytes_moved(self) -> int:
        """Planned bytes read and written in float32."""
        return self.cost.bytes_moved

    @property
    def microseconds(self) -> float:
        """Estimated time of the plan."""
        return self.cost.microseconds


def total(costs: Iterable[Cost]) -> Cost:
    """Return the cost of operations in sequence."""
    return reduce(Cost.__add__, costs, Cost())


def matrix_product_cost(
    model: CostModel, rows: int, inner: int, columns: int, count: int = 1
) -> Cost:
    """Return the cost of `count` products of matrices (rows, inner) and (inner, columns)."""
    return Cost(
        count * rows * inner * columns,
        count * (rows * inner + inner * columns + rows * columns),
        count * rows * columns,
        0,
        model.product(rows, inner, columns, count),
    )


def move(model: CostModel, elements: int) -> Cost:
    """Return the cost of moving the axes of an array."""
    return Cost(0, 2 * elements, elements, 1, model.transpose(elements))


def moves(product: Product, model: CostModel, right_is_constant: bool) -> Cost:
    """Return the cost of moving axes before a product; the gradients need the same moves."""
    sides = [(product.left, product.left_order)]
    if not right_is_constant:
        sides.append((product.right, product.right_order))
    return total(move(model, product.network.size(axes)) for axes, order in sides if axes != order)


def forward(product: Product, model: CostModel) -> Cost:
    """Return the cost of a product whose axes are in order."""
    size = product.network.size
    shared, new = size(product.shared), size(product.new)
    if product.batched:
        return _stack_product(model, size(product.before), new, shared, size(product.after))
    return matrix_product_cost(model, size(product.before), shared, new)


def backward(product: Product, model: CostModel) -> Cost:
    """Return the cost of the gradients of both sides of a product whose axes are in order."""
    size = product.network.size
    before, shared, new = size(product.before), size(product.shared), size(product.new)
    if not product.batched:
        left = matrix_product_cost(model, before, new, shared)
        return left + matrix_product_cost(model, shared, before, new)
    after = size(product.after)
    left = _stack_product(model, before, shared, new, after)
    right = matrix_product_cost(model, shared, before * after, new)
    if before == 1:
        return left + right
    # The summed axes, the stack and its columns, are not adjacent.
    apart = size(product.left) + size(product.result)
    return left + right + Cost(0, 2 * apart, apart, 0, model.transpose(apart))


def _stack_product(model: CostModel, count: int, rows: int, inner: int, columns: int) -> Cost:
    """Return the cost of one matrix (rows, inner) times `count` matrices (inner, columns)."""
    extra = Cost(microseconds=model.stack) if count > 1 else Cost()
    return extra + matrix_product_cost(model, rows, inner, columns, count)
