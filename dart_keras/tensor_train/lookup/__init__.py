"""Plans to look up rows of a TT matrix."""

from dart_keras.tensor_train.lookup.lookup_plan import Factor, LookupPlan
from dart_keras.tensor_train.lookup.lookup_planner import lookup_plans, plan_lookup

__all__ = ["Factor", "LookupPlan", "lookup_plans", "plan_lookup"]
