import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.distribution.replicas import as_on_chief, scope_of
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.regularizers import GroupLasso, LogDet, NuclearNorm, RankRegularizer
from dart_keras.steering.steering import RankSize, SteeredRegularizer, Steering
from dart_keras.tensor_train.rounding import ranks_within
from dart_keras.utils.representation import call_repr

_SURROGATES: dict[str, type[RankRegularizer]] = {
    "group_lasso": GroupLasso,
    "log_det": LogDet,
    "nuclear_norm": NuclearNorm,
}
# What singular values may hold of a layer's squared norm and still not count as its size.
_REDUNDANT_SHARE = 0.01
# The penalty of the second epoch, as a share of the data loss of the first.
_FIRST_SHARE = 0.1
# Below this share of the first epoch's loss, losses count as equal: where a model overfits, their
# ratios say nothing.
_LEAST_LOSS_SHARE = 0.1
# Ranks follow the strength with a delay: how many epochs their present pace is thought to last.
_HORIZON = 2
# The most by which the strength changes in an epoch, and over all epochs.
_LARGEST_STEP = 2.0
_LARGEST_RANGE = 1e3


@keras.saving.register_keras_serializable("dart_keras")
class SteeredSurrogate(SteeredRegularizer):
    """A rank surrogate whose strength `SteeredStrength` sets; its files have the present one.

    Args:
        surrogate: As for `SteeredStrength`.
        strength: Factor of the penalty, at least 0.
    """

    def __init__(self, surrogate: str, strength: float = 0.0) -> None:
        self.surrogate = surrogate
        self.penalty = _SURROGATES[surrogate](strength)

    @property
    def strength(self) -> keras.Variable:
        """The factor of the penalty, a variable."""
        return self.penalty.strength

    @property
    def variables(self) -> list[keras.Variable]:
        """What the penalty depends on."""
        return [self.strength]

    def __call__(self, x: Any) -> Any:
        """Return the penalty of a core."""
        return self.penalty(x)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the present strength."""
        return {"surrogate": self.surrogate, "strength": _value(self.strength)}

    def __repr__(self) -> str:
        return call_repr(self, **self.get_config())


class SteeredStrength(Steering):
    """A rank regularizer whose strength follows from how far size and loss are from their targets.

    From CoMERA (Yang et al. 2024, arXiv 2405.14377): loss and size are two objectives with a target
    each, measured relative to the target, and the weight goes to the one that is further from its
    own. There, an indicator chooses in each step which of the two to minimize, masks with a
    threshold are the ranks, and both targets are given.

    Ours is the rest. The penalty is one of `dart_keras.regularizers`. Its strength changes once an
    epoch, by a factor: the ratio of size to limit, over the ratio of the epoch's data loss to the
    least of all epochs, at most 2 or 1/2. The least is at least a tenth of the first epoch's. The
    size is taken with the pace of the last epoch for two epochs more, since ranks follow the
    strength with a delay. It is counted at the smallest ranks that keep 99 % of each layer's
    squared norm. The first epoch has no penalty; the second begins with a tenth of the data loss as
    penalty, so that neither the scale of the loss nor the number of layers matters.

    Args:
        surrogate: `"group_lasso"`, `"log_det"` or `"nuclear_norm"`.

    Attributes:
        strength: The present strength.

    Raises:
        ValueError: If the surrogate is none of these.

    Example:
        >>> import dart_keras as dk
        >>> cut = dk.callbacks.RankDiscretization(
        ...     dk.budgets.Parameters(2_000), epoch=10, steering=SteeredStrength()
        ... )
        >>> cut.steering
        SteeredStrength(surrogate='group_lasso')
    """

    def __init__(self, surrogate: str = "group_lasso") -> None:
        if surrogate not in _SURROGATES:
            raise ValueError(
                f"Expected `surrogate` to be one of {tuple(_SURROGATES)}. "
                f"Received: surrogate={surrogate!r}"
            )
        self.surrogate = surrogate
        self._restart()

    def _restart(self) -> None:
        self._first_strength: float | None = None
        self._least_loss = math.inf
        self._loss_floor = -math.inf
        self._excess: float | None = None

    def __repr__(self) -> str:
        return call_repr(self, surrogate=self.surrogate)

    @property
    def strength(self) -> float:
        """The present strength; 0 before training begins."""
        return _value(self._regularizer.strength) if hasattr(self, "_regularizer") else 0.0

    def begin(
        self,
        model: keras.Model,
        layers: Sequence[TTLayer],
        size: RankSize,
        limit: float,
        rows: int | None = None,
    ) -> None:
        """Attach the regularizer, with the strength of a file whose training goes on."""
        self._restart()
        self._model, self._layers, self._size, self._limit = model, list(layers), size, limit
        saved = [
            _value(layer.rank_regularizer.strength)
            for layer in layers
            if isinstance(layer.rank_regularizer, SteeredSurrogate)
        ]
        with scope_of([model]):
            self._regularizer = SteeredSurrogate(self.surrogate, max(saved, default=0.0))
        for layer in layers:
            self.attach(model, layer, self._regularizer)
        if self.strength > 0:
            self._first_strength = self.strength

    def end_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        """Set the strength of the next epoch."""
        steered = [layer for layer in self._layers if not layer.ranks_fixed]
        loss = float(logs.get("data_loss", math.nan))
        if not steered or not math.isfinite(loss) or not all(each.is_finite for each in steered):
            return
        strength = as_on_chief([self._model], self._next_strength(loss))
        self._regularizer.strength.assign(float(strength))

    def _next_strength(self, loss: float) -> float:
        if self._least_loss == math.inf and loss > 0:
            self._loss_floor = _LEAST_LOSS_SHARE * loss
        self._least_loss = max(min(self._least_loss, loss), self._loss_floor)
        excess = math.log(self._size(self._ranks_in_use()) / self._limit)
        before, self._excess = self._excess, excess
        if self._first_strength is None:
            self._first_strength = _FIRST_SHARE * abs(loss) / max(self._unit_penalty(), 1e-6)
            return self._first_strength
        pace = 0.0 if before is None else excess - before
        # Of losses above 0, the logarithm of their ratio; a log-likelihood may be below.
        lost = math.log1p(max(loss - self._least_loss, 0.0) / max(abs(self._least_loss), 1e-12))
        step = excess + _HORIZON * pace - lost
        factor = min(max(math.exp(min(step, 50.0)), 1 / _LARGEST_STEP), _LARGEST_STEP)
        least, most = self._first_strength / _LARGEST_RANGE, self._first_strength * _LARGEST_RANGE
        return min(max(self.strength * factor, least), most)

    def _ranks_in_use(self) -> list[tuple[int, ...]]:
        tolerance = math.sqrt(_REDUNDANT_SHARE)
        return [
            layer.ranks
            if layer.ranks_fixed
            else (1, *ranks_within(layer.bond_singular_values(), tolerance), 1)
            for layer in self._layers
        ]

    def _unit_penalty(self) -> float:
        unit = _SURROGATES[self.surrogate](1.0)
        return sum(
            float(unit(keras.ops.convert_to_numpy(core)))
            for layer in self._layers
            if layer.rank_regularizer is self._regularizer
            for core in layer.cores
        )

    def get_state(self) -> dict[str, Any]:
        """Return the strength and what it follows, as a JSON-serializable dict."""
        return {
            "strength": self.strength,
            "first_strength": self._first_strength,
            "least_loss": self._least_loss if math.isfinite(self._least_loss) else None,
            "loss_floor": self._loss_floor if math.isfinite(self._loss_floor) else None,
            "excess": self._excess,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        self._regularizer.strength.assign(state["strength"])
        self._first_strength = state["first_strength"]
        least = state["least_loss"]
        self._least_loss = math.inf if least is None else least
        floor = state["loss_floor"]
        self._loss_floor = -math.inf if floor is None else floor
        self._excess = state["excess"]


def _value(variable: keras.Variable) -> float:
    return float(np.asarray(keras.ops.convert_to_numpy(variable)))
