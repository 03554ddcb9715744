"""From a Keras model to a checked `.tflite` for a Raspberry Pi or a microcontroller."""

from dart_keras.deployment.artifact import Artifact
from dart_keras.deployment.converter import convert
from dart_keras.deployment.errors import ConversionError
from dart_keras.deployment.examples import Examples
from dart_keras.deployment.operator_report import OperatorError, OperatorErrors
from dart_keras.deployment.runtimes.measuring import Measurements, RuntimeCost
from dart_keras.deployment.tensor_info import TensorInfo

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
