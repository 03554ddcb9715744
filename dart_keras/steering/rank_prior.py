import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.distribution.replicas import as_on_chief, scope_of
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import read_state_back, retrace
from dart_keras.steering.steering import RankSize, SteeredRegularizer, Steering
from dart_keras.utils.representation import call_repr

# Slices of less variance than this share of the bond's largest one are dropped.
_LEAST_VARIANCE = 1e-4
# From any variances, so many updates come close to those that fit the cores.
_FIRST_UPDATES = 10


@keras.saving.register_keras_serializable("dart_keras")
class SlicePriors(SteeredRegularizer):
    """The Gaussian priors of a layer's rank slices, without a penalty by itself.

    Each core has a `CorePrior` of its own: two cores may have the same shape, so one function of
    all cores could not tell whose variances to take.
    """

    def __init__(self) -> None:
        self.of_cores: list[CorePrior] = []

    @property
    def variables(self) -> list[keras.Variable]:
        """What the penalties of the cores depend on."""
        return [prior.weights for prior in self.of_cores]

    def __call__(self, x: Any) -> Any:
        """Return 0, for a core that has no prior yet."""
        return ops.zeros(())

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments: none, since variances follow from the cores."""
        return {}

    def __repr__(self) -> str:
        return call_repr(self)


class CorePrior(keras.regularizers.Regularizer):
    """Half the weighted squares of a core: the prior's negative logarithm, without constants.

    Args:
        ranks: The core's ranks (r_{k-1}, r_k).
    """

    def __init__(self, ranks: tuple[int, int]) -> None:
        # One weight for each matrix of n_k times m_k elements.
        self.weights = keras.Variable(np.zeros(ranks, "float32"), trainable=False, name="weights")

    def __call__(self, x: Any) -> Any:
        """Return the penalty of a core of shape (r_{k-1}, n_k, m_k, r_k)."""
        squares = ops.sum(ops.square(ops.cast(x, "float32")), axis=(1, 2))
        return ops.cast(ops.sum(self.weights * squares) / 2, x.dtype)


class RankPrior(Steering):
    """A prior that makes rank slices vanish which the data do not need, without a strength.

    From Hawkins and Zhang (2019, "Bayesian Tensorized Neural Networks with Automatic Rank
    Selection", arXiv 1905.10478): every element of a core has a Gaussian prior. Its variance is the
    product of one variance for each of its two rank slices, and the two cores at a bond share the
    variances of the bond's slices. Training finds the most likely cores, so the loss of a row has
    the prior's negative logarithm over the number of rows added to it.

    The variances follow from the cores by the closed update of the authors' later work (Hawkins,
    Liu and Zhang 2022, arXiv 2010.08689), for a prior that is uniform in the logarithm: what the
    slice's elements have of squared norm, each over the variance at its other bond, divided by
    their number plus one. A slice that the data do not hold up shrinks, so its variance does, which
    shrinks it faster. A truncation drops those with less than 1e-4 of the bond's largest variance.

    Ours: that update is for products of variances, where theirs is for one variance an element. It
    comes once an epoch, not in each step. No variance counts as less than 1e-4 of the largest, so
    that no optimizer diverges and dead slices do not hold up each other. A mean squared error is a
    likelihood only together with a variance of the noise. Ours takes the data loss of the last
    epoch for it: the prior is multiplied by twice that loss, and by 0 in the first epoch. The
    target decides nothing but the truncation, which keeps at most what the budget allows.

    Attributes:
        variances: For each layer and each of its d - 1 bonds the variances of the slices.

    Example:
        >>> import dart_keras as dk
        >>> cut = dk.callbacks.RankDiscretization(
        ...     dk.budgets.Parameters(2_000), epoch=10, steering=RankPrior()
        ... )
        >>> cut.steering
        RankPrior()
    """

    def __init__(self) -> None:
        self._layers: list[TTLayer] = []
        self.variances: list[list[np.ndarray]] = []

    def __repr__(self) -> str:
        return call_repr(self)

    def begin(
        self,
        model: keras.Model,
        layers: Sequence[TTLayer],
        size: RankSize,
        limit: float,
        rows: int | None = None,
    ) -> None:
        """Attach a prior to each layer.

        Raises:
            ValueError: If the number of training rows is unknown.
        """
        if rows is None:
            raise ValueError(
                "RankPrior expected a known number of training rows. Received: training data of "
                "unknown length. Give `fit` its `steps_per_epoch`, and data in batches of a known "
                "size"
            )
        self._model, self._rows = model, rows
        self._scale = 0.0 if has_squared_error(model) else 1.0
        self._layers = [layer for layer in layers if self.attach(model, layer, SlicePriors())]
        self.variances = [[] for _ in self._layers]

    def begin_epoch(self, epoch: int) -> None:
        """Update the variances, and with them the penalties."""
        read_state_back(self._model)
        for i, layer in enumerate(self._layers):
            if layer.ranks_fixed or not layer.built or not layer.is_finite:
                continue
            squares = [
                np.sum(np.square(ops.convert_to_numpy(core).astype("float64")), axis=(1, 2))
                for core in layer.cores
            ]
            present = [1, *map(len, self.variances[i]), 1]
            fits = tuple(present) == layer.ranks
            variances = self.variances[i] if fits else [np.ones(r) for r in layer.ranks[1:-1]]
            for _ in range(1 if fits else _FIRST_UPDATES):
                variances = _updated(variances, squares, layer)
            self.variances[i] = list(as_on_chief([self._model], variances))
            self._set_weights(layer, self.variances[i])

    def end_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        """Take the data loss for the variance of the noise, where it is a squared error."""
        loss = logs.get("data_loss", math.nan)
        if has_squared_error(self._model) and math.isfinite(loss):
            self._scale = 2 * float(as_on_chief([self._model], max(loss, 0.0)))

    def _set_weights(self, layer: TTLayer, variances: Sequence[np.ndarray]) -> None:
        priors = layer.rank_regularizer
        if [core.regularizer for core in layer.cores] != priors.of_cores:
            with scope_of([self._model]):
                priors.of_cores = [
                    CorePrior(ranks) for ranks in zip(layer.ranks, layer.ranks[1:], strict=False)
                ]
            for core, prior in zip(layer.cores, priors.of_cores, strict=True):
                core.regularizer = prior
            retrace(self._model)
        every = [np.ones(1), *variances, np.ones(1)]
        for prior, left, right in zip(priors.of_cores, every, every[1:], strict=False):
            variance = _above_floor(np.outer(left, right))
            prior.weights.assign(self._scale / self._rows / variance)

    def largest_ranks(self, layers: Sequence[TTLayer]) -> list[tuple[int, ...]]:
        """Return how many slices of each bond have a variance that counts, all d + 1 ranks."""
        by_layer = {id(each): v for each, v in zip(self._layers, self.variances, strict=True)}
        found = []
        for layer in layers:
            ranks = list(layer.ranks)
            for bond, variances in enumerate(by_layer.get(id(layer), ()), start=1):
                alive = int(np.sum(variances > _LEAST_VARIANCE * variances.max()))
                ranks[bond] = max(1, min(ranks[bond], alive))
            found.append(tuple(ranks))
        return found

    def get_state(self) -> dict[str, Any]:
        """Return the variances, as a JSON-serializable dict."""
        variances = [[v.tolist() for v in layer] for layer in self.variances]
        return {"variances": variances, "scale": self._scale}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        self.variances = [[np.array(v) for v in layer] for layer in state["variances"]]
        self._scale = state["scale"]


def has_squared_error(model: keras.Model) -> bool:
    """Return whether a model's loss is the mean squared error alone."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    squared = keras.losses.MeanSquaredError
    return isinstance(loss, squared) or loss in (squared, keras.losses.mean_squared_error)


def _above_floor(variances: np.ndarray) -> np.ndarray:
    # A bond of zeros has nothing that could be too large: any variance will do.
    largest = variances.max()
    return np.maximum(variances, _LEAST_VARIANCE * largest) if largest > 0 else variances + 1


def _updated(
    variances: Sequence[np.ndarray], squares: Sequence[np.ndarray], layer: TTLayer
) -> list[np.ndarray]:
    # One bond after the other, each with what its neighbours are by then. `squares` has for each
    # core the sum of squares of each of its matrices.
    every = [np.ones(1), *variances, np.ones(1)]
    for bond in range(1, len(every) - 1):
        before, after = _above_floor(every[bond - 1]), _above_floor(every[bond + 1])
        norms = (1 / before) @ squares[bond - 1] + squares[bond] @ (1 / after)
        elements = sum(
            core.shape[1] * core.shape[2] * other
            for core, other in zip(
                layer.cores[bond - 1 : bond + 1], (len(before), len(after)), strict=True
            )
        )
        every[bond] = norms / (elements + 1)
    return every[1:-1]
