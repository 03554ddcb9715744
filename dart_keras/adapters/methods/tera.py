"""TeRA: a frozen random Tucker network, of which vectors scale the bonds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from keras import ops

from dart_keras.adapters.adapter import AdditiveAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.method import MethodWithModes
from dart_keras.adapters.methods.random_matrices import SeededMethod, seeded_rows
from dart_keras.tensor_train.modes import balanced_modes
from dart_keras.tensor_train.modes.factorization import padded_dims

_MODES = 2


class TeRAAdapter(AdditiveAdapter):
    """Adds a product with a frozen random Tucker network, with trained vectors at its bonds.

    Args:
        kernel: The kernel of the layer.
        rank: Largest rank of a mode; one that is smaller has its size as its rank.
        seed: Of the random core and factors.
        input_modes: Modes of the N rows. Their product may be larger.
        output_modes: Modes of the M columns, likewise.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.
    """

    def __init__(
        self,
        kernel: LayerKernel,
        rank: int,
        seed: int,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        **kwargs: Any,
    ) -> None:
        super().__init__(kernel, **kwargs)
        self.rank, self.seed = int(rank), int(seed)
        self.input_modes = tuple(int(mode) for mode in input_modes)
        self.output_modes = tuple(int(mode) for mode in output_modes)

    def build(self, *shapes: Any) -> None:
        """Create a vector for each mode, and draw the core and the factors."""
        modes = (*self.input_modes, *self.output_modes)
        self.vectors = [
            self.add_weight(
                (min(self.rank, mode),),
                # One at zero is enough for a start that changes nothing.
                "zeros" if index == len(modes) - 1 else "ones",
                name=f"vector_{index}",
                autocast=False,
            )
            for index, mode in enumerate(modes)
        ]
        ranks = [min(self.rank, mode) for mode in modes]
        self._factors = [
            seeded_rows(self.seed, f"factor {index}", rank, mode)
            for index, (rank, mode) in enumerate(zip(ranks, modes, strict=True))
        ]
        before = len(self.input_modes)
        self._core = seeded_rows(
            self.seed, "core", math.prod(ranks[:before]), math.prod(ranks[before:])
        )
        self.built = True

    def factors(self) -> tuple[Any, Any]:
        """Return the network, cut between the core and the side with fewer ranks in all."""
        # So that what is added has the scale of He, as in VeRA, where the vectors are 1.
        summed = 1 if self.kernel.looks_up else self.kernel.shape[0]
        ranks = math.prod(self._core.shape)
        scaled = [
            ops.multiply(ops.expand_dims(vector, 1), factor)
            for vector, factor in zip(self.vectors, self._factors, strict=True)
        ]
        before = len(self.input_modes)
        rows, columns = self.kernel.shape
        core = ops.multiply(self._core, math.sqrt(2 / summed / ranks))
        if self._core.shape[0] <= self._core.shape[1]:
            left = _outer(scaled[:before])[:, :rows]
            right = _contracted(ops.transpose(core), scaled[before:])[:, :columns]
        else:
            left = _contracted(core, scaled[:before])[:, :rows]
            right = _outer(scaled[before:])[:, :columns]
        return ops.transpose(left), right

    def settings(self) -> dict[str, Any]:
        """Return the rank, the seed and the modes."""
        modes = {name: list(getattr(self, name)) for name in ("input_modes", "output_modes")}
        return {"rank": self.rank, "seed": self.seed, **modes}


def _outer(factors: Sequence[Any]) -> Any:
    """Return the Kronecker product of factors, a matrix of all ranks by all modes."""
    return reduce(_kron, factors)


def _kron(left: Any, right: Any) -> Any:
    # Not of Keras, whose product fails in a graph of TensorFlow.
    pairs = ops.multiply(left[:, None, :, None], right[None, :, None, :])
    return ops.reshape(pairs, (left.shape[0] * right.shape[0], left.shape[1] * right.shape[1]))


def _contracted(core: Any, factors: Sequence[Any]) -> Any:
    """Return a matrix of ranks by ranks with factors in the place of the first ranks.

    Args:
        core: Tensor of all ranks of the factors by others.
        factors: Tensors of shapes (rank, mode).

    Returns:
        Tensor of the other ranks by all modes.
    """
    others = core.shape[1]
    core = ops.reshape(core, (*(each.shape[0] for each in factors), others))
    for factor in factors:
        # The first axis is summed, and its mode becomes the last one.
        core = ops.tensordot(core, factor, axes=([0], [0]))
    return ops.reshape(core, (others, -1))


@dataclass(frozen=True, kw_only=True)
class TeRA(MethodWithModes, SeededMethod):
    """TeRA (2025, arXiv:2509.03234): a high rank from a few short vectors.

    The change as a tensor of modes is a Tucker network: a core, for each mode a factor, and between
    these a diagonal matrix. Core and factors are frozen random numbers from the seed and stand in
    no file. Layers with the same modes share them. Only the diagonals are trained. The last one
    starts at 0, the others at 1.

    Made after the paper's abstract, which does not say what the sizes are. Here N and M have two
    modes each. A layer has about 2 sqrt(N) + 2 sqrt(M) parameters if the rank is no smaller than
    the modes, and its change can have full rank. Random numbers are distributed uniformly, with the
    scale of He et al. for the change.

    Attributes:
        rank: Largest rank of a mode. One that is smaller has its size as its rank. The core has up
            to rank ** 4 elements.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        seed: Of core and factors. Files of adapters hold it instead of them.
        input_modes: Factors of the number of rows N, such as `(24, 32)` for 768; `None` to choose
            two.
        output_modes: Factors of the number of columns M, likewise.

    Raises:
        ValueError: If a rank is not a positive integer, `seed` is not an integer of at least 0, or
            modes are not positive integers.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((64,)), keras.layers.Dense(48, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.TeRA(), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(8,), (8,), (6,), (8,)]
    """

    rank: int = 32

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> TeRAAdapter:
        """Return a new adapter for a layer."""
        before, after = self.modes_for(kernel, path, _usual_modes, _usual_modes)
        return TeRAAdapter(kernel, self.rank_of(path), self.seed, before, after, **kwargs)


def _usual_modes(dim: int) -> tuple[int, ...]:
    return min((balanced_modes(each, _MODES) for each in padded_dims(dim)), key=sum)
