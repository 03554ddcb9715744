from dart_keras.distribution.multi_worker import is_chief, multi_worker_strategy

__all__ = ["is_chief", "multi_worker_strategy"]


def __dir__() -> list[str]:
    return __all__
