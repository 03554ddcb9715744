"""Quantization-aware training: models trained with the integers of their files."""

from dart_keras.quantization.quantize_aware import quantize_aware

__all__ = ["quantize_aware"]


def __dir__() -> list[str]:
    return __all__
