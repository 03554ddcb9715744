"""Rank surrogates: penalties on a core that drive its redundant rank slices to zero.

A core has a bond on either side. So each penalty is the sum for both unfoldings, one with the left
rank as its columns and one with the right rank. Bonds of rank 1, as at both ends, have no penalty.

Every penalty is a function of relative singular values (or relative slice norms), so scaling the
core does not change it. The same strength therefore has the same effect on small and large layers,
and it does not shrink the weights as a whole.
"""

import math
from abc import abstractmethod
from typing import Any

import keras
from keras import ops

from dart_keras.utils.representation import call_repr

__all__ = ["GroupLasso", "LogDet", "NuclearNorm", "RankRegularizer"]

# Relative to the mean square of a slice; smaller ones are rounding errors in float32.
_EPSILON = 1e-6
# Avoids a division by zero for a core of zeros.
_TINY = 1e-20
# Coefficients of q in the steps s <- s q(s^2), from the constant to the fourth power. Each step is
# the odd polynomial of degree 9 that is closest to 1 on the values that the step before returns,
# the first one on [0.02, 1.01]. Together they take this interval to within 5e-5 of 1. More of them
# would resolve smaller singular values, but GPUs round factors of products to 10 bits, and small
# ones would not be told from these errors.
_STEPS = (
    (12.6988931, -115.119714, 369.127102, -461.25496, 195.760587),
    (3.80865136, -7.59454425, 6.95772184, -2.67858026, 0.361539611),
    (2.49240426, -3.37844867, 3.05484974, -1.44466251, 0.27584698),
)


class RankRegularizer(keras.regularizers.Regularizer):
    """Base of the rank regularizers. To write your own, override `penalty`.

    Args:
        strength: Factor of the penalty, at least 0.

    Example:
        >>> class Squares(RankRegularizer):
        ...     def penalty(self, unfolding):
        ...         return keras.ops.sum(keras.ops.square(unfolding))
        >>> float(Squares(0.5)(keras.ops.eye(2)))
        2.0
    """

    def __init__(self, strength: float) -> None:
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not strength >= 0:
            raise ValueError(
                f"Expected `strength` to be a number of at least 0. Received: strength={strength!r}"
            )
        self.initial_strength = float(strength)
        # A variable, so that a schedule can change it in a compiled train step.
        self.strength = keras.Variable(
            self.initial_strength, trainable=False, dtype="float32", name="strength"
        )

    @property
    def variables(self) -> list[keras.Variable]:
        """The strength, for a layer on JAX: a compiled step sees changes of no other variables."""
        return [self.strength]

    def __call__(self, x: Any) -> Any:
        """Return the penalty of a core.

        Args:
            x: Tensor of shape (r_{k-1}, n_k, m_k, r_k), or any with at least two axes, whose first
                and last axes are bonds.

        Returns:
            A scalar tensor.

        Raises:
            ValueError: If the tensor has fewer than two axes.
        """
        x = ops.convert_to_tensor(x)
        if len(x.shape) < 2:
            raise ValueError(f"Expected a tensor of at least two axes. Received: shape={x.shape}")
        if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16"):
            x = ops.cast(x, "float32")  # Gram matrices square the condition number.
        penalty = ops.zeros((), x.dtype)
        if x.shape[0] > 1:
            penalty += self.penalty(ops.transpose(ops.reshape(x, (x.shape[0], -1))))
        if x.shape[-1] > 1:
            penalty += self.penalty(ops.reshape(x, (-1, x.shape[-1])))
        return ops.cast(self.strength, x.dtype) * penalty

    @abstractmethod
    def penalty(self, unfolding: Any) -> Any:
        """Return the penalty of one unfolding, a matrix with a column for each rank slice.

        Args:
            unfolding: Matrix with a column for each rank slice.
        """

    def get_config(self) -> dict[str, float]:
        """Return the constructor's arguments."""
        return {"strength": self.initial_strength}

    def __repr__(self) -> str:
        return call_repr(self, **self.get_config())


@keras.saving.register_keras_serializable("dart_keras")
class NuclearNorm(RankRegularizer):
    """Nuclear norm of a core's unfoldings over their Frobenius norm: sum(s) / sqrt(sum(s^2)).

    The ratio is between 1 (rank one) and the root of the rank (equal singular values). The nuclear
    norm is the convex envelope of the rank (Fazel 2002, section 5.1.4). Dividing by the Frobenius
    norm removes the scale.

    The gradient of the nuclear norm is the polar factor of the unfolding. It comes from matrix
    products alone: Newton-Schulz steps (Higham 2008, "Functions of Matrices", section 6.7) on the
    r x r Gram matrix, with minimax coefficients (Amsel et al. 2025, "The Polar Express", section
    3). Singular values of at least 0.02 of the norm have their exact share of value and gradient,
    up to rounding errors. Below, the kink at 0 is smoothed.

    Args:
        strength: Factor of the penalty, at least 0.

    Example:
        >>> core = keras.ops.eye(4)  # singular values 1, 1, 1, 1, seen from both sides
        >>> round(float(NuclearNorm(0.5)(core)), 2)
        2.0
    """

    def penalty(self, unfolding: Any) -> Any:
        """Return sum(s) / sqrt(sum(s^2)) of one unfolding."""
        relative = _over_norm(unfolding)
        constant = ops.stop_gradient(relative)
        polar = ops.matmul(constant, _inverse_root(ops.matmul(ops.transpose(constant), constant)))
        return ops.sum(polar * relative)


@keras.saving.register_keras_serializable("dart_keras")
class LogDet(RankRegularizer):
    """Log-determinant of a core's Gram matrix: sum(log(1 + s^2 / (c mean(s^2)))) / log(1 + 1 / c).

    With c = 1e-3 it nearly counts the singular values above a few hundredths of the largest one. It
    penalizes the large ones less than the nuclear norm does (Fazel, Hindi and Boyd 2003,
    section III). Value and gradient come from a Cholesky factorization of an r x r matrix.

    Args:
        strength: Factor of the penalty, at least 0.

    Example:
        >>> core = keras.ops.eye(4)  # of full rank 4, seen from both sides
        >>> round(float(LogDet(0.5)(core)), 2)
        4.0
    """

    SHARPNESS = 1e-3

    def penalty(self, unfolding: Any) -> Any:
        """Return sum(log(1 + s^2 / (c mean(s^2)))) / log(1 + 1 / c) of one unfolding."""
        rank = unfolding.shape[1]
        scaled = _over_norm(unfolding) * (rank / self.SHARPNESS) ** 0.5
        constant = ops.stop_gradient(scaled)
        gram = ops.matmul(ops.transpose(constant), constant)
        identity = ops.eye(rank, dtype=gram.dtype)
        # A NaN would make the factorization fail; this way it shows up in the loss.
        factor = ops.cholesky(ops.nan_to_num(gram) + identity)
        root = ops.solve_triangular(factor, identity, lower=True)
        inverse = ops.matmul(ops.transpose(root), root)
        value = 2 * ops.sum(ops.log(ops.diagonal(factor)))
        # The gradient is known, so that nothing is differentiated through the factorization.
        linear = ops.sum(2 * ops.matmul(constant, inverse) * scaled)
        total = ops.stop_gradient(value - linear) + linear
        return total / math.log(1 + 1 / self.SHARPNESS)


@keras.saving.register_keras_serializable("dart_keras")
class GroupLasso(RankRegularizer):
    """Sum of the norms of a core's rank slices over the core's norm.

    The nuclear norm drives singular values to zero. This drives whole slices of the cores to zero,
    in the present core basis (Yuan and Lin 2006, section 2). It needs no eigenvalues.

    Args:
        strength: Factor of the penalty, at least 0.

    Example:
        >>> core = keras.ops.eye(4)
        >>> round(float(GroupLasso(0.5)(core)), 2)
        2.0
    """

    def penalty(self, unfolding: Any) -> Any:
        """Return the sum of the column norms of one unfolding over its norm."""
        squares = ops.sum(ops.square(_over_norm(unfolding)), axis=0)
        rank = squares.shape[0]
        return ops.sum(ops.sqrt(squares + _EPSILON / rank) - (_EPSILON / rank) ** 0.5)


def _over_norm(unfolding: Any) -> Any:
    return unfolding / ops.sqrt(ops.sum(ops.square(unfolding)) + _TINY)


def _inverse_root(gram: Any) -> Any:
    # About `gram ** (-1/2)`, bounded where eigenvalues are small. It is not to be differentiated.
    square = ops.matmul(gram, gram)
    # At least the largest eigenvalue, and closer to it than the trace.
    bound = ops.maximum(ops.sum(ops.square(square)) ** 0.25, _TINY**0.5)
    power = gram / bound
    root = factor = _polynomial(_STEPS[0], power, square / bound / bound)
    for coefficients in _STEPS[1:]:
        power = ops.matmul(ops.matmul(power, factor), factor)
        factor = _polynomial(coefficients, power, ops.matmul(power, power))
        root = ops.matmul(root, factor)
    # The plain step squares the error, so that the gradient is that of the value.
    power = ops.matmul(ops.matmul(power, factor), factor)
    root = 1.5 * root - 0.5 * ops.matmul(root, power)
    return root / ops.sqrt(bound)


def _polynomial(coefficients: tuple[float, ...], matrix: Any, square: Any) -> Any:
    # With one product more than the square (Higham 2008, section 4.2).
    a, b, c, d, e = coefficients
    identity = ops.eye(matrix.shape[0], dtype=matrix.dtype)
    upper = e * square + d * matrix + c * identity
    return ops.matmul(upper, square) + b * matrix + a * identity


def __dir__() -> list[str]:
    return __all__
