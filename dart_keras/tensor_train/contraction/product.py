"""One step of a contraction: two arrays become one by a product of matrices."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from keras import ops

from dart_keras.tensor_train.contraction.matmul import matrix_product, stack_product
from dart_keras.tensor_train.contraction.network import Labels, Network


@dataclass(frozen=True)
class Product:
    """Sum over the axes that two arrays share.

    The shared axes of the left array are brought to its end, and a plain product of two matrices
    follows. Where they lie next to each other, `batched` leaves them where they are and multiplies
    a stack of matrices instead, which moves no number but suits fewer machines. A matrix that is
    there as its transpose is multiplied as it is.

    Attributes:
        network: Gives the sizes of the axes.
        left: Axes of the array that grows, such as the input.
        right: Axes of the array that is used up, such as a core.
        batched: Whether to multiply a stack of matrices in place of moving axes.
    """

    network: Network
    left: Labels
    right: Labels
    batched: bool = False

    @cached_property
    def shared(self) -> Labels:
        """The axes summed over, in the order that they have in the left array."""
        if not self.batched and (rotated := self._rotation()):
            return rotated[len(rotated) - len(self._common) :]
        return tuple(label for label in self.left if label in self.right)

    @cached_property
    def left_order(self) -> Labels:
        """The axes of the left array as the product needs them."""
        if self.batched:
            return self.left
        if rotated := self._rotation():
            return rotated
        return (*(label for label in self.left if label not in self.right), *self.shared)

    @cached_property
    def right_order(self) -> Labels:
        """The axes of the right array as the product needs them."""
        transposed = (*self.new, *self.shared)
        return transposed if self.right == transposed else (*self.shared, *self.new)

    @cached_property
    def new(self) -> Labels:
        """The axes that the right array brings in."""
        return tuple(label for label in self.right if label not in self.left)

    @cached_property
    def before(self) -> Labels:
        """The axes of the left array in front of the shared ones."""
        if self.shared:
            return self.left_order[: self.left_order.index(self.shared[0])]
        return self.left_order

    @cached_property
    def behind(self) -> Labels:
        """The axes of the left array behind the shared ones; none unless `batched`."""
        return self.left_order[len(self.before) + len(self.shared) :]

    @cached_property
    def result(self) -> Labels:
        """The axes of the product."""
        return (*self.before, *self.new, *self.behind)

    @cached_property
    def multiply_adds(self) -> int:
        """How many multiplications, each with an addition."""
        return self.network.size({*self.left, *self.right})

    @property
    def can_be_batched(self) -> bool:
        """Whether the shared axes lie next to each other, and not at the end already."""
        positions = [self.left.index(label) for label in self._common]
        return (
            bool(positions)
            and max(positions) - min(positions) == len(positions) - 1
            and (max(positions) < len(self.left) - 1)
        )

    def run(self, left: Any, right: Any, weights: Callable[[Any], Any] | None = None) -> Any:
        """The product of two tensors whose axes, taken together, are `left` and `right`.

        Args:
            left: The array that grows.
            right: The array that is used up.
            weights: Called with `right` as a matrix with a column for each number that it adds to
                a row; its result is multiplied by in place of that.
        """
        extent = self.network.extent
        before, shared, new = extent(self.before), extent(self.shared), extent(self.new)
        left = permuted(self.network, left, self.left, self.left_order)
        right = permuted(self.network, right, self.right, self.right_order)
        transposed = self.right_order != (*self.shared, *self.new)
        right = reshaped(right, (new, shared) if transposed else (shared, new))
        if weights is not None:
            right = weights(ops.transpose(right) if transposed else right)
            transposed = False
        if not self.batched:
            return matrix_product(reshaped(left, (before, shared)), right, False, transposed)
        # The number of rows is in at most one of these, so that one size is left to be found.
        behind = extent(self.behind)
        if not self.before or _size(left) == shared * behind:
            return matrix_product(right, reshaped(left, (shared, behind)), not transposed, False)
        return stack_product(right, reshaped(left, (before, shared, behind)), transposed)

    @cached_property
    def _common(self) -> Labels:
        return tuple(label for label in self.left if label in self.right)

    def _rotation(self) -> Labels | None:
        """The rotation of the left array's axes that has the shared ones last, if there is one.

        A rotation is the transpose of one matrix, the cheapest way to move axes.
        """
        count = len(self._common)
        for shift in range(len(self.left)):
            rotated = (*self.left[shift:], *self.left[:shift])
            if all(label in self.right for label in rotated[len(rotated) - count :]):
                return rotated
        return None


def permuted(network: Network, array: Any, axes: Labels, order: Labels) -> Any:
    """The array with its axes in another order; its shape is whatever suits."""
    if axes == order:
        return array
    shift = axes.index(order[0])
    if order == (*axes[shift:], *axes[:shift]):
        matrix = (network.extent(axes[:shift]), network.extent(axes[shift:]))
        return ops.transpose(reshaped(array, matrix))
    array = reshaped(array, tuple(network.extent((label,)) for label in axes))
    return ops.transpose(array, tuple(axes.index(label) for label in order))


def reshaped(array: Any, shape: tuple[int, ...]) -> Any:
    """The array in this shape, in which one size may be -1; no operation where it has it."""
    same = len(array.shape) == len(shape) and all(
        wanted in (-1, size) for size, wanted in zip(array.shape, shape, strict=True)
    )
    return array if same else ops.reshape(array, shape)


def _size(array: Any) -> int | None:
    return None if None in array.shape else math.prod(array.shape)
