"""From a Keras model to a checked `.tflite` for a Raspberry Pi or a microcontroller."""

from dart_keras.deployment.artifact import Artifact
from dart_keras.deployment.convert import convert
from dart_keras.deployment.errors import ConversionError
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo
from dart_keras.deployment.runtimes.profiling import Measurements, RuntimeCost
from dart_keras.deployment.runtimes.result import Examples
from dart_keras.deployment.validation.operator_errors import OperatorError, OperatorErrors

__all__ = [
    "Artifact",
    "ConversionError",
    "Examples",
    "Measurements",
    "OperatorError",
    "OperatorErrors",
    "RuntimeCost",
    "TensorInfo",
    "convert",
]


def __dir__() -> list[str]:
    return __all__
