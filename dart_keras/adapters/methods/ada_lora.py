"""AdaLoRA: a product like a singular value decomposition, of which little by little is masked."""

import warnings
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.adapter import AdditiveAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.method import RankedMethod
from dart_keras.private_apis import running_fit
from dart_keras.utils.argument_checks import is_integer, is_number

# Standard deviation of the start of both matrices.
_SPREAD = 0.02


class AdaLoRAAdapter(AdditiveAdapter):
    """Adds a product with two matrices and a diagonal between them.

    A triple is a row of the first matrix, a number of the diagonal and a column of the second one.

    Args:
        kernel: The kernel of the layer.
        rank: Number of triples.
        target_rank: How many are to be left at the end, as a mean over all adapters.
        scale: What the product is multiplied by. It does not change when triples are masked.
        orthogonality: Factor of the penalty.
        has_allocation: Whether a callback has brought the ranks to the target.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.

    Attributes:
        a: The first matrix, of shape (rank, N).
        e: The diagonal, of shape (rank,).
        b: The second matrix, of shape (M, rank).
        mask: 1 for each triple that is in use, 0 for those that were masked for good.
        has_allocation: Whether a callback has brought the ranks to the target.
    """

    def __init__(
        self,
        kernel: LayerKernel,
        rank: int,
        target_rank: int,
        scale: float,
        orthogonality: float = 0.5,
        has_allocation: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(kernel, **kwargs)
        self.rank, self.target_rank = int(rank), int(target_rank)
        self.scale, self.orthogonality = float(scale), float(orthogonality)
        self.has_allocation = bool(has_allocation)

    def build(self, *shapes: Any) -> None:
        """Create the triples, whose product is zero, and the mask."""
        rows, columns = self.kernel.shape
        normal = keras.initializers.RandomNormal
        self.a = self.add_weight((self.rank, rows), normal(0, _SPREAD), name="a")
        self.e = self.add_weight((self.rank,), "zeros", name="e", autocast=False)
        self.b = self.add_weight((columns, self.rank), normal(0, _SPREAD), name="b")
        self.mask = self.add_weight(
            (self.rank,), "ones", name="mask", trainable=False, autocast=False
        )
        self.built = True

    def call(
        self, inputs: Any, outputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return the layer's outputs and the product; in training, add the penalty to the loss.

        Raises:
            ValueError: If `fit` trains the adapter and nothing allocates its ranks.
        """
        if training and self.trainable:
            self._check_allocation()
            self.add_loss(self.penalty())
        return super().call(inputs, outputs, reverse, training)

    def factors(self) -> tuple[Any, Any]:
        """Return the first matrix, and the scaled diagonal with the second one."""
        diagonal = ops.multiply(self.scale, ops.multiply(self.e, self.mask))
        diagonal = ops.cast(ops.expand_dims(diagonal, 1), self.b.dtype)
        return ops.transpose(self.a), ops.multiply(diagonal, ops.transpose(self.b))

    def penalty(self) -> Any:
        """Return how far the two matrices are from orthonormal ones, times the factor."""
        a, b = (ops.cast(each, "float32") for each in (self.a, self.b))
        grams = ops.matmul(a, ops.transpose(a)), ops.matmul(ops.transpose(b), b)
        return self.orthogonality * sum(_norm(ops.subtract(x, ops.eye(self.rank))) for x in grams)

    def keep(self, kept: np.ndarray, for_good: bool) -> None:
        """Mask triples: their numbers of the diagonal become zero.

        Args:
            kept: Which triples are not masked, booleans of shape (rank,).
            for_good: Whether the others stay masked. Otherwise they come back as far as training
                changes the zeros again.
        """
        self.e.assign(np.where(kept, ops.convert_to_numpy(self.e), 0))
        if for_good:
            self.mask.assign(kept.astype("float32"))

    @property
    def present_rank(self) -> int:
        """How many triples were not masked for good."""
        return int(np.sum(ops.convert_to_numpy(self.mask)))

    def merged(self, matrix: np.ndarray) -> np.ndarray:
        """Return the kernel with the product added; warn if the ranks were never allocated."""
        is_trained = bool(np.any(ops.convert_to_numpy(self.e)))
        if is_trained and self.target_rank < self.rank and self.present_rank == self.rank:
            warnings.warn(
                f"Adapter {self.name!r} still has all of its {self.rank} ranks: the callback "
                "`dart_keras.callbacks.AdaLoRAAllocation` has not allocated any",
                stacklevel=2,
            )
        return super().merged(matrix)

    def settings(self) -> dict[str, Any]:
        """Return the ranks, the scale, the factor of the penalty and how far training was."""
        names = ("rank", "target_rank", "scale", "orthogonality", "has_allocation")
        return {name: getattr(self, name) for name in names}

    def _check_allocation(self) -> None:
        fit = running_fit()
        if self.target_rank >= self.rank or self.has_allocation or fit is None:
            return
        # The callback itself is in a room above this one.
        if not any(getattr(each, "allocates_triples", False) for each in fit.callbacks):
            raise ValueError(
                f"Expected `fit` with the callback `dart_keras.callbacks.AdaLoRAAllocation`, which "
                f"brings the ranks of `AdaLoRA` from {self.rank} to {self.target_rank}. Received: "
                "none"
            )


def _norm(matrix: Any) -> Any:
    # The root has no gradient at zero.
    return ops.sqrt(ops.add(ops.sum(ops.square(matrix)), 1e-12))


@dataclass(frozen=True, kw_only=True)
class AdaLoRA(RankedMethod):
    """AdaLoRA (Zhang et al. 2023, arXiv:2303.10512): the least important ranks are masked.

    In the layout of the paper, outputs by inputs, (alpha / r) B diag(E) A is added to the kernel. A
    and B are driven towards orthonormal ones by a penalty, which is part of the loss in training
    and not in `evaluate`: 0.5 times the sum of the Frobenius norms of A A' - I and B' B - I, added
    up over all layers.

    `dart_keras.callbacks.AdaLoRAAllocation` masks the triples that matter least for the loss, in
    all layers together. Without it, `fit` is refused. Triples are masked and not removed, so
    neither files nor steps become smaller: to learn ranks that do, train `LoRA` with
    `RankDiscretization`.

    Attributes:
        rank: Rank of every layer's adapter at the start, r.
        target_rank: Rank at the end, as a mean over all layers. Equal to the rank of the start for
            no masks and no callback.
        alpha: The change is scaled by alpha / r, with the r of the start. The scale does not change
            when ranks fall.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
            They must not be below `target_rank`.
        alpha_pattern: Other values of alpha, likewise.
        orthogonality: Factor of the penalty.

    Raises:
        ValueError: If a rank is not a positive integer or below `target_rank`, alpha is not above
            0, or `orthogonality` is below 0.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> method = adapters.AdaLoRA(rank=6, target_rank=4)
        >>> adapted = adapters.adapt(base, method, layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(6, 32), (6,), (16, 6)]
    """

    rank: int = 12
    target_rank: int = 8
    orthogonality: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        least = min([self.rank, *self.rank_pattern.values()])
        if not is_integer(self.target_rank) or not 1 <= self.target_rank <= least:
            raise ValueError(
                "Expected `target_rank` of `AdaLoRA` to be a positive integer of at most the rank "
                f"of the start. Received: target_rank={self.target_rank!r}, for the rank {least}"
            )
        if not is_number(self.orthogonality) or self.orthogonality < 0:
            raise ValueError(
                "Expected `orthogonality` of `AdaLoRA` of at least 0. Received: "
                f"orthogonality={self.orthogonality!r}"
            )

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> AdaLoRAAdapter:
        """Return a new adapter for a layer."""
        rank = self.rank_within(min(kernel.shape), kernel, path)
        scale = self.alpha_of(path) / rank
        return AdaLoRAAdapter(kernel, rank, self.target_rank, scale, self.orthogonality, **kwargs)
