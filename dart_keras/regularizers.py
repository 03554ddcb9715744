"""Rank surrogates: penalties on a core that drive its redundant rank slices to zero.

A core has a bond on either side. So each penalty is the sum for both unfoldings, one with the left
rank as its columns and one with the right rank. Bonds of rank 1, as at both ends, have no penalty.

Every penalty is a function of relative singular values (or relative slice norms), so scaling the
core does not change it. The same strength therefore has the same effect on small and large layers,
and it does not shrink the weights as a whole.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from dart_keras.utils.representation import call_repr

__all__ = ["GroupLasso", "LogDet", "NuclearNorm", "RankRegularizer"]

# Relative to the mean eigenvalue of a Gram matrix; smaller ones are rounding errors in float32.
_EPSILON = 1e-6
# Avoids a division by zero for a core of zeros.
_TINY = 1e-20


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
            x = ops.cast(x, "float32")  # Backends have no eigenvalues in half precision.
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
    norm removes the scale. Singular values come from the r x r Gram matrix.

    Args:
        strength: Factor of the penalty, at least 0.

    Example:
        >>> core = keras.ops.eye(4)  # singular values 1, 1, 1, 1, seen from both sides
        >>> round(float(NuclearNorm(0.5)(core)), 2)
        2.0
    """

    def penalty(self, unfolding: Any) -> Any:
        """Return sum(s) / sqrt(sum(s^2)) of one unfolding."""
        gram = _relative_gram(unfolding)
        total = _spectral_sum(
            gram,
            lambda values: ops.sqrt(values + _EPSILON) - _EPSILON**0.5,
            lambda values: 0.5 / ops.sqrt(values + _EPSILON),
        )
        return total / gram.shape[0] ** 0.5


@keras.saving.register_keras_serializable("dart_keras")
class LogDet(RankRegularizer):
    """Log-determinant of a core's Gram matrix: sum(log(1 + s^2 / (c mean(s^2)))) / log(1 + 1 / c).

    With c = 1e-3 it nearly counts the singular values above a few hundredths of the largest one. It
    penalizes the large ones less than the nuclear norm does (Fazel, Hindi and Boyd 2003,
    section III).

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
        total = _spectral_sum(
            _relative_gram(unfolding),
            lambda values: ops.log(1 + values / self.SHARPNESS),
            lambda values: 1 / (values + self.SHARPNESS),
        )
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
        squares = ops.sum(ops.square(unfolding), axis=0)
        relative = _over(squares, ops.mean(squares))
        return ops.sum(ops.sqrt(relative + _EPSILON) - _EPSILON**0.5) / squares.shape[0] ** 0.5


def _relative_gram(unfolding: Any) -> Any:
    # The r x r Gram matrix over the mean of its eigenvalues.
    gram = ops.matmul(ops.transpose(unfolding), unfolding)
    return _over(gram, ops.trace(gram) / gram.shape[0])


def _over(values: Any, mean: Any) -> Any:
    # In two steps, because JAX's gradient of a division has 1 / divisor^2, which overflows in
    # float32 for a core of zeros.
    root = ops.sqrt(mean + _TINY)
    return values / root / root


def _spectral_sum(
    gram: Any, function: Callable[[Any], Any], derivative: Callable[[Any], Any]
) -> Any:
    # sum(f(eigenvalues)), with the gradient V f'(eigenvalues) V'. The gradient of `eigh` itself
    # divides by differences of eigenvalues, which are zero for equal ones. A NaN would make `eigh`
    # fail; this way it shows up in the loss.
    values, vectors = ops.eigh(ops.nan_to_num(ops.stop_gradient(gram)))
    values = ops.maximum(values, 0)
    slope = ops.matmul(vectors * derivative(values), ops.transpose(vectors))
    linear = ops.sum(ops.stop_gradient(slope) * gram)
    return ops.stop_gradient(ops.sum(function(values)) - linear) + linear


def __dir__() -> list[str]:
    return __all__
