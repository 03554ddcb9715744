from dart_keras.tensor_train.modes import automatic_modes, balanced_modes
from dart_keras.tensor_train.ranks import complete_ranks, count_parameters, rank_limits
from dart_keras.tensor_train.tt_matrix import TTMatrix

__all__ = [
    "TTMatrix",
    "automatic_modes",
    "balanced_modes",
    "complete_ranks",
    "count_parameters",
    "rank_limits",
]
