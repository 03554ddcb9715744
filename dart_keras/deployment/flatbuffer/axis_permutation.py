import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class AxisPermutation:
    """What a row of reshapes and transposes does to an array, taken as one.

    The array's axes are split as finely as the steps ask for. A piece is told by its size and by
    its stride in the array that the row began with, so that pieces which are still neighbours
    can be found at the end.

    Attributes:
        axes: For each axis of the array as it is now, the pieces (size, stride) that it is made of.

    Example:
        >>> begin = AxisPermutation.begin((2, 12))
        >>> permutation = begin.transpose((1, 0)).reshape((3, 8)).transpose((1, 0))
        >>> permutation.single()  # of an array reshaped to (6, 4)
        ((6, 4), (1, 0))
    """

    axes: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def begin(cls, shape: Sequence[int]) -> Self:
        """Return the permutation that leaves an array of this shape as it is."""
        strides = [math.prod(shape[place + 1 :]) for place in range(len(shape))]
        return cls(tuple(((size, stride),) for size, stride in zip(shape, strides, strict=True)))

    def transpose(self, order: Sequence[int]) -> Self:
        """Return this permutation with a transpose after it."""
        return type(self)(tuple(self.axes[axis] for axis in order))

    def reshape(self, shape: Sequence[int]) -> "AxisPermutation | None":
        """Return this permutation with a reshape after it; None where no split of the axes fits."""
        pieces = list(reversed(self._joined()))
        axes = []
        for size in shape:
            axis, missing = [], size
            while missing > 1:
                if not pieces:
                    return None
                count, stride = pieces.pop()
                if count > missing:
                    if count % missing:
                        return None
                    pieces.append((count // missing, stride))
                    count, stride = missing, stride * (count // missing)
                elif missing % count:
                    return None
                axis.append((count, stride))
                missing //= count
            axes.append(tuple(axis))
        return type(self)(tuple(axes))

    def single(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the one transpose that does the same between two reshapes.

        Returns:
            The shape to transpose, of as few axes as there can be, and the order of its axes;
            an order of a single axis or none is no transpose at all.
        """
        joined = self._joined()
        before = sorted(joined, key=lambda piece: -piece[1])
        return tuple(count for count, _ in before), tuple(before.index(piece) for piece in joined)

    def _joined(self) -> list[tuple[int, int]]:
        joined: list[tuple[int, int]] = []
        for count, stride in (piece for axis in self.axes for piece in axis if piece[0] > 1):
            if joined and joined[-1][1] == count * stride:
                joined[-1] = (joined[-1][0] * count, stride)
            else:
                joined.append((count, stride))
        return joined
