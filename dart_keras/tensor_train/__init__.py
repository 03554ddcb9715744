from dart_keras.tensor_train.contraction import ContractionPlan, candidate_plans, cheapest_plan
from dart_keras.tensor_train.modes import automatic_modes, balanced_modes, suggest_modes
from dart_keras.tensor_train.ranks import complete_ranks, count_parameters, rank_limits
from dart_keras.tensor_train.tt_matrix import TTMatrix

__all__ = [
    "ContractionPlan",
    "TTMatrix",
    "automatic_modes",
    "balanced_modes",
    "candidate_plans",
    "cheapest_plan",
    "complete_ranks",
    "count_parameters",
    "rank_limits",
    "suggest_modes",
]


def __dir__() -> list[str]:
    return __all__
