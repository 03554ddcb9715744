"""Quantization-aware training: models trained with the integers of their files."""

from dart_keras.quantization.batch_norm_folding import fold_batch_norm
from dart_keras.quantization.quantize_aware import quantize_aware

__all__ = ["fold_batch_norm", "quantize_aware"]


def __dir__() -> list[str]:
    return __all__
