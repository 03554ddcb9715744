"""The arrays of a product with a TT matrix, each axis named by a label.

The input has the axes (b, i1...id), core k the axes (r_{k-1}, i_k, j_k, r_k), and the output the
axes (b, j1...jd). Axes of size one are left out. Without them a low-rank factorization is
recognized as two products of matrices.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

Labels = tuple[str, ...]

# Label of the rows of the input, whose number may be unknown.
ROWS = "b"


@dataclass(frozen=True)
class Network:
    """A TT matrix and an input of some rows, before an order of contraction is chosen.

    Attributes:
        input_modes: Modes n_1...n_d of the rows of the matrix.
        output_modes: Modes m_1...m_d of its columns.
        ranks: All d + 1 ranks.
        rows: Number of rows of the input.
    """

    input_modes: tuple[int, ...]
    output_modes: tuple[int, ...]
    ranks: tuple[int, ...]
    rows: int

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Size of every axis by label."""
        sizes = {ROWS: self.rows}
        for k, (n, m) in enumerate(zip(self.input_modes, self.output_modes, strict=True), start=1):
            sizes |= {f"i{k}": n, f"j{k}": m, f"r{k}": self.ranks[k]}
        return sizes

    @cached_property
    def operands(self) -> tuple[Labels, ...]:
        """Axes of the input and of the cores, in this order."""
        depth = range(1, len(self.input_modes) + 1)
        cores = [self._wide((f"r{k - 1}", f"i{k}", f"j{k}", f"r{k}")) for k in depth]
        return self._wide((ROWS, *(f"i{k}" for k in depth))), *cores

    @cached_property
    def output(self) -> Labels:
        """Axes of the output."""
        return self._wide((ROWS, *(f"j{k}" for k in range(1, len(self.output_modes) + 1))))

    @cached_property
    def dense_shape(self) -> tuple[int, int]:
        """Shape (N, M) of the matrix."""
        return math.prod(self.input_modes), math.prod(self.output_modes)

    @cached_property
    def core_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the cores, axes of size one included."""
        sides = zip(self.ranks, self.input_modes, self.output_modes, self.ranks[1:], strict=False)
        return [tuple(shape) for shape in sides]

    def size(self, labels: Iterable[str]) -> int:
        """Return the number of elements of an array with these axes."""
        return math.prod(self.sizes[label] for label in labels)

    def extent(self, labels: Sequence[str]) -> int:
        """Return the size of these axes merged into one, -1 if it depends on the number of rows."""
        return -1 if ROWS in labels else self.size(labels)

    def _wide(self, labels: Labels) -> Labels:
        # The number of rows may differ when the plan runs, so their axis is always kept.
        return tuple(label for label in labels if label == ROWS or self.sizes.get(label, 1) > 1)
