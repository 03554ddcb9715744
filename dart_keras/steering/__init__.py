"""Ways to regularize ranks towards a target, so that no strength has to be chosen."""

from dart_keras.steering.rank_prior import RankPrior
from dart_keras.steering.steered_strength import SteeredStrength
from dart_keras.steering.steering import Steering

__all__ = ["RankPrior", "SteeredStrength", "Steering"]


def __dir__() -> list[str]:
    return __all__
