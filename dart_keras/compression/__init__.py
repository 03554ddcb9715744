"""From a trained dense model to a small one."""

from dart_keras.compression.calibration.agreement import Agreement
from dart_keras.compression.compress import compress
from dart_keras.compression.compressible import Candidate, candidates
from dart_keras.compression.compression_report import CompressionReport, LayerReport
from dart_keras.compression.distillation.recover import recover
from dart_keras.compression.sensitivity import Measurement, Sensitivity, sensitivity

__all__ = [
    "Agreement",
    "Candidate",
    "CompressionReport",
    "LayerReport",
    "Measurement",
    "Sensitivity",
    "candidates",
    "compress",
    "recover",
    "sensitivity",
]


def __dir__() -> list[str]:
    return __all__
