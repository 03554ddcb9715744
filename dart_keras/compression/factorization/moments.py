"""What calibration rows say about a layer, in a size that does not grow with their number."""

import math

import numpy as np

# What is added to every eigenvalue of a sensitivity, as a share of their mean.
_FLAT_SHARE = 1e-3

# Rows are kept and not summed up as long as there are so many inputs for each.
_INPUTS_FOR_A_ROW = 4


class Moments:
    """Means and covariances of a layer's inputs and target outputs, summed up batch by batch.

    The inputs are what the layer sees in the compressed model, the targets what the original layer
    makes of the original activations: a layer fitted to these also corrects, as far as it can, the
    errors of the layers before it. Each batch is centred by itself and then merged, in float64, so
    that large means cost no precision (Chan, Golub and LeVeque 1983, "Algorithms for computing the
    sample variance: analysis and recommendations").

    Args:
        sensitivity: Array of shape (M, M), symmetric and positive semidefinite: an output error e
            is to count as e G e'. With E[J'J], where J is the derivative of the model's outputs by
            this layer's, errors count as what they do at the model's end, to first order (the
            Gauss-Newton matrix; Martens 2020, "New insights and perspectives on the natural
            gradient method"). A thousandth of its mean eigenvalue is added to all of
            them, so that no output is given up altogether. `None`: all outputs count the same.

    Raises:
        ValueError: If `sensitivity` is not a finite, symmetric and positive semidefinite matrix
            with a positive trace.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> kernel, moments = rng.normal(size=(6, 4)), Moments()
        >>> for _ in range(3):
        ...     rows = rng.normal(size=(10, 6))
        ...     moments.add(rows, rows @ kernel)
        >>> moments.count, moments.input_covariance.shape, moments.cross_covariance.shape
        (30, (6, 6), (6, 4))
    """

    def __init__(self, sensitivity: np.ndarray | None = None) -> None:
        # In single precision, as there is one for each layer at a time.
        self._root = None if sensitivity is None else _root(sensitivity).astype(np.float32)
        self.count = 0
        self._input_mean: np.ndarray = np.zeros(0)
        self._target_mean: np.ndarray = np.zeros(0)
        # The rows themselves, as long as they are fewer than what they are made of.
        self._rows: list[np.ndarray] | None = []
        self._input_sums: np.ndarray = np.zeros((0, 0))
        self._cross_sums: np.ndarray = np.zeros((0, 0))
        self._target_sum = 0.0

    def add(self, inputs: np.ndarray, targets: np.ndarray) -> None:
        """Take in a batch of rows; nothing changes if it is refused.

        Args:
            inputs: Array of shape (rows, N): what the layer in the compressed model sees.
            targets: Array of shape (rows, M): the original layer's outputs, before its activation.

        Raises:
            ValueError: If these are not two finite matrices with one row or more and as many rows,
                or if N or M is not that of the batches before.
        """
        x, y = self._checked(inputs, targets)
        if not self.count:
            n, m = x.shape[1], y.shape[1]
            self._input_mean, self._target_mean = np.zeros(n), np.zeros(m)
            self._cross_sums = np.zeros((n, m))
        x_step, y_step = x.mean(0) - self._input_mean, y.mean(0) - self._target_mean
        total = self.count + len(x)
        share = self.count * len(x) / total
        if self._rows is not None:
            # As given: layers compute in single precision, which takes half the memory.
            self._rows.append(np.array(inputs))
        x, y = x - x.mean(0), y - y.mean(0)
        if self._rows is None:
            self._input_sums += x.T @ x + share * np.outer(x_step, x_step)
        self._cross_sums += x.T @ y + share * np.outer(x_step, y_step)
        # The root makes weighted errors plain distances.
        weighted, step = y, y_step
        if self._root is not None:
            weighted, step = y @ self._root, y_step @ self._root
        self._target_sum += float(np.sum(weighted**2) + share * (step @ step))
        self._input_mean = self._input_mean + x_step * (len(x) / total)
        self._target_mean = self._target_mean + y_step * (len(x) / total)
        self.count = total
        if self._rows is not None and _INPUTS_FOR_A_ROW * total > x.shape[1]:
            centred = self._centred(self._rows)
            self._input_sums, self._rows = centred.T @ centred, None

    def emptied(self) -> "Moments":
        """Return empty moments with the same sensitivity."""
        found = Moments()
        found._root = self._root
        return found

    def _checked(self, inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.asarray(inputs, np.float64), np.asarray(targets, np.float64)
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or 0 in x.shape + y.shape:
            raise ValueError(
                "Expected `inputs` of shape (rows, N) and `targets` of shape (rows, M). "
                f"Received shapes: {x.shape} and {y.shape}"
            )
        if self._root is not None and y.shape[1] != len(self._root):
            raise ValueError(
                f"Expected {len(self._root)} targets a row, as `sensitivity` has. "
                f"Received: targets of shape {y.shape}"
            )
        if self.count and self.shape != (x.shape[1], y.shape[1]):
            raise ValueError(
                f"Expected rows of {self.shape[0]} inputs and {self.shape[1]} targets, as before. "
                f"Received shapes: {x.shape} and {y.shape}"
            )
        for name, array in (("inputs", x), ("targets", y)):
            if not np.all(np.isfinite(array)):
                raise ValueError(f"Expected finite `{name}`. Received: NaN or infinite values")
        return x, y

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of inputs and of targets (N, M); zeros before the first batch."""
        return len(self._input_mean), len(self._target_mean)

    @property
    def input_mean(self) -> np.ndarray:
        """The inputs' mean, of shape (N,)."""
        return self._input_mean

    @property
    def target_mean(self) -> np.ndarray:
        """The targets' mean, of shape (M,)."""
        return self._target_mean

    @property
    def input_covariance(self) -> np.ndarray:
        """The inputs' covariance, of shape (N, N), divided by the number of rows."""
        if self._rows is None:
            return self._input_sums / self.count
        rows = self._centred(self._rows)
        return rows.T @ rows / max(self.count, 1)

    def covariance_times(self, matrix: np.ndarray) -> np.ndarray:
        """Return the product of the inputs' covariance with a matrix of shape (N, k)."""
        if self._rows is None:
            return self._input_sums @ matrix / self.count
        rows = self._centred(self._rows)
        return rows.T @ (rows @ matrix) / self.count

    def principal_directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the inputs' variances in orthogonal directions, as many as can have any.

        Returns:
            Arrays of shape (k,) and (N, k).
        """
        if self._rows is None:
            variances, directions = np.linalg.eigh(self.input_covariance)
            return np.maximum(variances, 0.0), directions
        _, s, vt = np.linalg.svd(self._centred(self._rows), full_matrices=False)
        return s**2 / self.count, vt.T

    @property
    def are_few(self) -> bool:
        """Whether there are so few rows that most directions have no variance."""
        return self._rows is not None

    def _centred(self, rows: list[np.ndarray]) -> np.ndarray:
        if not rows:
            return np.zeros((0, 0))
        return np.concatenate(rows).astype(np.float64) - self._input_mean

    @property
    def cross_covariance(self) -> np.ndarray:
        """The covariance of the inputs with the targets, of shape (N, M)."""
        return self._cross_sums / max(self.count, 1)

    @property
    def target_variance(self) -> float:
        """The variances of all targets, weighted by the sensitivity, added up."""
        return self._target_sum / max(self.count, 1)

    @property
    def root(self) -> np.ndarray | None:
        """The Cholesky factor R of the sensitivity R R', of shape (M, M)."""
        return None if self._root is None else self._root.astype(np.float64)

    def prior_strength(self) -> float:
        """Return the variance, in every direction, that so few rows cannot exclude.

        The covariance of few rows has directions without any variance that later rows will not
        keep to. The oracle approximating shrinkage (Chen, Wiesel, Eldar and Hero 2010, "Shrinkage
        algorithms for MMSE covariance estimation", equation 23) mixes it with a multiple of the
        identity in a proportion that follows from the rows' number and the spectrum alone; this is
        that multiple, for a weight of one of the covariance. It goes to zero as rows are added.

        Returns:
            A variance above zero: 1 if the rows are all zero, so that there is no scale at all.
        """
        n = self.shape[0]
        trace, square = self._trace_and_square()
        spread = square - trace**2 / n
        mixed = (1 - 2 / n) * square + trace**2
        rest = (self.count + 1 - 2 / n) * spread - mixed
        # Few rows, or a spectrum that is flat already: as much of the one as of the other.
        ratio = min(1.0, mixed / rest) if rest > 0 else 1.0
        # Constant inputs have a covariance of nothing but rounding errors.
        floor = np.finfo(np.float64).eps * float(self.input_mean @ self.input_mean)
        strength = (ratio * trace + floor) / n
        return strength if strength > math.sqrt(np.finfo(np.float64).tiny) else 1.0

    def _trace_and_square(self) -> tuple[float, float]:
        """Return the trace of the inputs' covariance and its squared Frobenius norm."""
        sums = self._input_sums
        if self._rows is not None:
            rows = self._centred(self._rows)
            # The same for the smaller product.
            sums = rows @ rows.T
        return float(np.trace(sums)) / self.count, float(np.vdot(sums, sums)) / self.count**2


def _root(sensitivity: np.ndarray) -> np.ndarray:
    matrix = np.asarray(sensitivity, np.float64)
    if (
        matrix.ndim != 2
        or matrix.shape[0] != matrix.shape[1]
        or not np.all(np.isfinite(matrix))
        or not np.allclose(matrix, matrix.T, atol=1e-5 * np.abs(matrix).max(initial=0.0))
        or np.trace(matrix) <= 0
    ):
        raise ValueError(
            "Expected `sensitivity` to be a finite symmetric matrix with a positive trace. "
            f"Received: an array of shape {matrix.shape}"
        )
    flat = _FLAT_SHARE * np.trace(matrix) / len(matrix) * np.eye(len(matrix))
    try:
        return np.linalg.cholesky(matrix + flat)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            "Expected `sensitivity` to be positive semidefinite. Received: an array of shape "
            f"{matrix.shape} with negative eigenvalues"
        ) from error
