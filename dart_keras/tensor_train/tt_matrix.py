"""TT matrices in NumPy."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np

from dart_keras.tensor_train.canonical import left_factors, right_factors
from dart_keras.tensor_train.ranks import Ranks, complete_ranks, rank_limits
from dart_keras.tensor_train.rounding import BondMap, bond_maps, project, ranks_within
from dart_keras.tensor_train.tt_svd import checked_matrix, exact_cores, t3f_cores
from dart_keras.utils.representation import call_repr
from dart_keras.utils.table import Table


@dataclass(frozen=True, eq=False)
class TTMatrix:
    """A matrix W of shape (N, M) as a TT matrix, with cores of shape (r_{k-1}, n_k, m_k, r_k).

    W[(i_1...i_d), (j_1...j_d)] = G_1[:, i_1, j_1, :] ... G_d[:, i_d, j_d, :], both multi-indices
    row-major (Oseledets 2011; Novikov et al. 2015, section 3).

    Attributes:
        cores: The arrays G_1...G_d, of any float dtype. They are not copied.

    Raises:
        ValueError: If the cores are not four-dimensional, their ranks do not match, the first and
            last rank are not 1, or the cores are complex.

    Example:
        >>> tt = TTMatrix((np.ones((1, 2, 3, 2)), np.ones((2, 4, 5, 1))))
        >>> tt
        TTMatrix(shape=(8, 15), input_modes=(2, 4), output_modes=(3, 5), ranks=(1, 2, 1))
        >>> tt.to_dense().max()
        np.float64(2.0)
    """

    cores: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        shapes = [np.shape(core) for core in self.cores]
        if (
            not shapes
            or any(len(shape) != 4 for shape in shapes)
            or shapes[0][0] != 1
            or shapes[-1][-1] != 1
            or any(a[-1] != b[0] for a, b in itertools.pairwise(shapes))
        ):
            raise ValueError(
                "Expected cores of shape (r_{k-1}, n_k, m_k, r_k) with matching ranks, which are 1 "
                f"at both ends. Received: shapes {shapes}"
            )
        if any(np.iscomplexobj(core) for core in self.cores):
            raise ValueError(
                "Expected real cores. Received: complex ones; make one TT matrix of the real part "
                "and one of the imaginary part"
            )
        object.__setattr__(self, "cores", tuple(self.cores))

    @property
    def input_modes(self) -> tuple[int, ...]:
        """Modes n_1...n_d of the rows."""
        return tuple(core.shape[1] for core in self.cores)

    @property
    def output_modes(self) -> tuple[int, ...]:
        """Modes m_1...m_d of the columns."""
        return tuple(core.shape[2] for core in self.cores)

    @property
    def ranks(self) -> tuple[int, ...]:
        """All d + 1 ranks, 1 at both ends."""
        return (1, *(core.shape[3] for core in self.cores))

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (N, M) of the matrix."""
        return math.prod(self.input_modes), math.prod(self.output_modes)

    @property
    def parameters(self) -> int:
        """Number of parameters of the cores."""
        return sum(core.size for core in self.cores)

    def __repr__(self) -> str:
        return call_repr(
            self,
            shape=self.shape,
            input_modes=self.input_modes,
            output_modes=self.output_modes,
            ranks=self.ranks,
        )

    def _repr_html_(self) -> str:
        return self.as_table().to_html()

    def as_table(self) -> Table:
        """Return the shape of each core, and the parameters of all."""
        rows, columns = self.shape
        shapes = [tuple(map(str, core.shape)) for core in self.cores]
        return Table(
            ("core", "left rank", "row mode", "column mode", "right rank", "parameters"),
            "lrrrrr",
            [
                (f"G{k}", *shape, f"{core.size:,}")
                for k, (shape, core) in enumerate(zip(shapes, self.cores, strict=True), start=1)
            ],
            title=f"TT matrix of shape {rows} x {columns}",
            total=("all", "", "", "", "", f"{self.parameters:,}"),
            notes=[f"The dense matrix has {rows * columns:,} elements"],
        )

    def to_dense(self) -> np.ndarray:
        """Return the dense matrix, an array of shape (N, M)."""
        dense = np.ones((1, 1, 1), self.cores[0].dtype)
        for core in self.cores:
            rows, columns, _ = dense.shape
            _, n, m, right = core.shape
            dense = np.tensordot(dense, core, 1).transpose(0, 2, 1, 3, 4)
            dense = dense.reshape(rows * n, columns * m, right)
        return dense[:, :, 0]

    def left_canonical(self) -> "TTMatrix":
        """Return the same matrix with left-orthogonal cores, all but the last one.

        Returns:
            A `TTMatrix` in which core k < d, as a matrix (r_{k-1} n_k m_k, r_k), has orthonormal
            columns. Ranks that the modes do not allow become smaller.
        """
        cores = []
        carry = np.ones((1, 1))
        for core in self.cores[:-1]:
            moved = np.tensordot(carry, core, 1)
            q, carry = np.linalg.qr(moved.reshape(-1, core.shape[3]))
            cores.append(q.reshape(*moved.shape[:3], -1))
        return TTMatrix((*cores, np.tensordot(carry, self.cores[-1], 1)))

    def right_canonical(self) -> "TTMatrix":
        """Return the same matrix with right-orthogonal cores, all but the first one."""
        return self.mirrored().left_canonical().mirrored()

    def mirrored(self) -> "TTMatrix":
        """Return the TT matrix with its cores in reverse order and their ranks swapped."""
        return TTMatrix(tuple(core.transpose(3, 1, 2, 0) for core in reversed(self.cores)))

    def norm(self) -> float:
        """Return the Frobenius norm of the matrix, computed from the cores."""
        return float(np.linalg.norm(self.left_canonical().cores[-1]))

    @cached_property
    def _bond_singular_values(self) -> tuple[np.ndarray, ...]:
        self._check_finite()
        pairs = zip(left_factors(self.cores), right_factors(self.cores), strict=True)
        return tuple(np.linalg.svd(left @ right, compute_uv=False) for left, right in pairs)

    def bond_singular_values(self) -> tuple[np.ndarray, ...]:
        """Return the singular values of the unfolding at each of the d - 1 bonds, descending."""
        return self._bond_singular_values

    def __sub__(self, other: "TTMatrix") -> "TTMatrix":
        """Return the difference of two matrices with the same modes; inner ranks add up."""
        if (self.input_modes, self.output_modes) != (other.input_modes, other.output_modes):
            raise ValueError(f"Expected TT matrices of equal modes. Received: {self} and {other}")
        if len(self.cores) == 1:
            return TTMatrix((self.cores[0] - other.cores[0],))
        cores = []
        last = len(self.cores) - 1
        for k, (a, b) in enumerate(zip(self.cores, other.cores, strict=True)):
            if k == 0:
                cores.append(np.concatenate([a, -b], axis=3))
            elif k == last:
                cores.append(np.concatenate([a, b], axis=0))
            else:
                block = np.zeros((a.shape[0] + b.shape[0], *a.shape[1:3], a.shape[3] + b.shape[3]))
                block[: a.shape[0], :, :, : a.shape[3]] = a
                block[a.shape[0] :, :, :, a.shape[3] :] = b
                cores.append(block)
        return TTMatrix(tuple(cores))

    def round(
        self, ranks: Ranks | None = None, tolerance: float | None = None
    ) -> tuple["TTMatrix", float]:
        """Lower the ranks by TT-rounding, with the least error (Oseledets 2011, algorithm 2).

        Args:
            ranks: The new ranks: an integer, d - 1 or d + 1 integers. Ranks above the present ones
                are clipped to these.
            tolerance: Instead of `ranks`, the maximum relative Frobenius error. The smallest ranks
                that guarantee it are chosen.

        Returns:
            The smaller TT matrix and its measured relative Frobenius error. The error is at most
            the root of the sum of squares of the discarded bond singular values, divided by the
            norm.

        Raises:
            ValueError: Unless exactly one of `ranks` and `tolerance` is given, and it is valid, or
                if the cores are not finite.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> tt = TTMatrix((rng.normal(size=(1, 4, 4, 8)), rng.normal(size=(8, 4, 4, 1))))
            >>> smaller, error = tt.round(ranks=3)
            >>> smaller.ranks, 0 < error < 1
            ((1, 3, 1), True)
        """
        if (ranks is None) == (tolerance is None):
            raise ValueError(
                "Expected either `ranks` or `tolerance`. "
                f"Received: ranks={ranks!r}, tolerance={tolerance!r}"
            )
        if ranks is None:
            ranks = (1, *ranks_within(self.bond_singular_values(), tolerance), 1)
        rounded, _, error = self.round_with_maps(ranks)
        return rounded, error

    def round_with_maps(self, ranks: Ranks) -> tuple["TTMatrix", list[BondMap | None], float]:
        """Round to given ranks, and return the maps of the bonds, too.

        Args:
            ranks: The new ranks, as for `round`.

        Returns:
            The smaller TT matrix, the pair of matrices of every bond (see `bond_maps`), and the
            relative Frobenius error.
        """
        complete = complete_ranks(ranks, self.input_modes, self.output_modes)
        target = [min(new, old) for new, old in zip(complete, self.ranks, strict=True)]
        self._check_finite()
        maps = bond_maps(self.cores, target)
        rounded = TTMatrix(project(self.cores, maps))
        norm = self.norm()
        return rounded, maps, (self - rounded).norm() / norm if norm else 0.0

    def _check_finite(self) -> None:
        for k, core in enumerate(self.cores):
            if not np.all(np.isfinite(core)):
                raise ValueError(
                    f"Expected finite cores. Received: NaN or infinite values in core {k}"
                )

    @classmethod
    def from_dense(
        cls,
        matrix: np.ndarray,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        ranks: Ranks | None = None,
        tolerance: float | None = None,
    ) -> "TTMatrix":
        """Factorize a dense matrix by TT-SVD (Oseledets 2011, algorithm 1).

        Computed by t3f where Keras runs on TensorFlow, elsewhere by QR and TT-rounding in NumPy.
        The matrices are the same, the cores may differ in the basis of each bond.

        Args:
            matrix: Array of shape (N, M).
            input_modes: Modes whose product is N.
            output_modes: As many modes, whose product is M.
            ranks: Maximum ranks: an integer, d - 1 or d + 1 integers; `None` for no limit.
            tolerance: Maximum relative Frobenius error; `None` for no truncation.

        Returns:
            A `TTMatrix` of float64 cores.

        Raises:
            ValueError: If the modes do not match the matrix, both limits are given, or one is
                invalid.

        Example:
            >>> exact = TTMatrix.from_dense(np.eye(6), (2, 3), (2, 3))
            >>> bool(np.allclose(exact.to_dense(), np.eye(6)))
            True
            >>> TTMatrix.from_dense(np.eye(6), (2, 3), (2, 3), tolerance=1e-6).ranks
            (1, 1, 1)
        """
        if ranks is not None and tolerance is not None:
            raise ValueError(
                "Expected `ranks` or `tolerance`, not both. "
                f"Received: ranks={ranks!r}, tolerance={tolerance!r}"
            )
        matrix, inputs, outputs = checked_matrix(matrix, input_modes, output_modes)
        if ranks is None:
            limits = rank_limits(inputs, outputs)
        else:
            limits = complete_ranks(ranks, inputs, outputs)
        if len(inputs) == 1:  # t3f needs at least two modes.
            return cls((matrix.reshape(1, *matrix.shape, 1),))
        if keras.backend.backend() == "tensorflow":
            # t3f accepts a tolerance but ignores it, so rounding enforces it.
            tt = cls(t3f_cores(matrix, inputs, outputs, limits))
            return tt if tolerance is None else tt.round(tolerance=tolerance)[0]
        exact = cls(exact_cores(matrix, inputs, outputs))
        if tolerance is None:
            return exact.round(ranks=limits)[0]
        return exact.round(tolerance=tolerance)[0]
