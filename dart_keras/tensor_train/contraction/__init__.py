"""Plans to multiply by a TT matrix, and their costs."""

from dart_keras.tensor_train.contraction.contract import (
    contract,
    intercept_products,
    product_interceptor,
)
from dart_keras.tensor_train.contraction.measurement import fastest_plan
from dart_keras.tensor_train.contraction.paths import NAMES
from dart_keras.tensor_train.contraction.plan import ContractionPlan
from dart_keras.tensor_train.contraction.planner import (
    UNKNOWN_ROWS,
    candidate_plans,
    cheapest_plan,
)

__all__ = [
    "NAMES",
    "UNKNOWN_ROWS",
    "ContractionPlan",
    "candidate_plans",
    "cheapest_plan",
    "contract",
    "fastest_plan",
    "intercept_products",
    "product_interceptor",
]
