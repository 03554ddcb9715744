from dart_keras.callbacks.ada_lora_allocation import AdaLoRAAllocation
from dart_keras.callbacks.nested_ranks import NestedRanks
from dart_keras.callbacks.rank_discretization import RankDiscretization
from dart_keras.callbacks.rank_monitor import RankMonitor
from dart_keras.callbacks.strength_schedule import StrengthSchedule

__all__ = [
    "AdaLoRAAllocation",
    "NestedRanks",
    "RankDiscretization",
    "RankMonitor",
    "StrengthSchedule",
]


def __dir__() -> list[str]:
    return __all__
