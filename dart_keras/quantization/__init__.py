"""Training models as the integers that their files will hold."""

from dart_keras.quantization.quantize_aware import quantize_aware

__all__ = ["quantize_aware"]


def __dir__() -> list[str]:
    return __all__
