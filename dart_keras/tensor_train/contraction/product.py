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
    """Sum over the shared axes of two arrays.

    The shared axes of the left array are moved to its end, followed by a plain product of two
    matrices. If they are adjacent, `batched` leaves them in place and multiplies a stack of
    matrices instead. That moves no elements, but is slow on some devices. A transposed matrix is
    multiplied without transposing it.

    Attributes:
        network: Has the sizes of the axes.
        left: Axes of the left array: the input or an earlier result.
        right: Axes of the right array, such as a core.
        batched: Whether to multiply a stack of matrices instead of moving axes.
    """

    network: Network
    left: Labels
    right: Labels
    batched: bool = False

    @cached_property
    def shared(self) -> Labels:
        """Summed axes, in the order of the left array."""
        if not self.batched and (rotated := self._rotation()):
            return rotated[len(rotated) - len(self._common) :]
        return tuple(label for label in self.left if label in self.right)

    @cached_property
    def left_order(self) -> Labels:
        """Axes of the left array in the order that the product needs."""
        if self.batched:
            return self.left
        if rotated := self._rotation():
            return rotated
        return (*(label for label in self.left if label not in self.right), *self.shared)

    @cached_property
    def right_order(self) -> Labels:
        """Axes of the right array in the order that the product needs."""
        transposed = (*self.new, *self.shared)
        return transposed if self.right == transposed else (*self.shared, *self.new)

    @cached_property
    def new(self) -> Labels:
        """Axes that only the right array has."""
        return tuple(label for label in self.right if label not in self.left)

    @cached_property
    def before(self) -> Labels:
        """Axes of the left array before the shared ones."""
        if self.shared:
            return self.left_order[: self.left_order.index(self.shared[0])]
        return self.left_order

    @cached_property
    def after(self) -> Labels:
        """Axes of the left array after the shared ones; none unless `batched`."""
        return self.left_order[len(self.before) + len(self.shared) :]

    @cached_property
    def result(self) -> Labels:
        """Axes of the result."""
        return (*self.before, *self.new, *self.after)

    @cached_property
    def multiply_adds(self) -> int:
        """Number of multiplications, each with an addition."""
        return self.network.size({*self.left, *self.right})

    @property
    def can_be_batched(self) -> bool:
        """Whether the shared axes are adjacent, and not already at the end."""
        positions = [self.left.index(label) for label in self._common]
        return (
            bool(positions)
            and max(positions) - min(positions) == len(positions) - 1
            and (max(positions) < len(self.left) - 1)
        )

    def run(self, left: Any, right: Any, weights: Callable[[Any], Any] | None = None) -> Any:
        """Multiply two tensors whose elements have the axes `left` and `right`.

        Args:
            left: The left array, of any shape with these elements.
            right: The right array, of any shape with these elements.
            weights: Function of `right` as a matrix (shared, new); its result replaces the matrix.

        Returns:
            The result, of any shape with the elements of `result`.
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
        # At most one of these sizes is the unknown number of rows.
        after = extent(self.after)
        if not self.before or _size(left) == shared * after:
            return matrix_product(right, reshaped(left, (shared, after)), not transposed, False)
        return stack_product(right, reshaped(left, (before, shared, after)), transposed)

    @cached_property
    def _common(self) -> Labels:
        return tuple(label for label in self.left if label in self.right)

    def _rotation(self) -> Labels | None:
        """Return the rotation of the left array's axes with the shared ones last, if there is one.

        A rotation is the transpose of one matrix, which is the cheapest way to move axes.
        """
        count = len(self._common)
        for shift in range(len(self.left)):
            rotated = (*self.left[shift:], *self.left[:shift])
            if all(label in self.right for label in rotated[len(rotated) - count :]):
                return rotated
        return None


def permuted(network: Network, array: Any, axes: Labels, order: Labels) -> Any:
    """Return the array with its axes in another order, in any shape with these elements."""
    if axes == order:
        return array
    shift = axes.index(order[0])
    if order == (*axes[shift:], *axes[:shift]):
        matrix = (network.extent(axes[:shift]), network.extent(axes[shift:]))
        return ops.transpose(reshaped(array, matrix))
    array = reshaped(array, tuple(network.extent((label,)) for label in axes))
    return ops.transpose(array, tuple(axes.index(label) for label in order))


def reshaped(array: Any, shape: tuple[int, ...]) -> Any:
    """Reshape the array, unless it has the shape already; one size may be -1."""
    same = len(array.shape) == len(shape) and all(
        wanted in (-1, size) for size, wanted in zip(array.shape, shape, strict=True)
    )
    return array if same else ops.reshape(array, shape)


def _size(array: Any) -> int | None:
    return None if None in array.shape else math.prod(array.shape)
