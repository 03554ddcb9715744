"""The loss of a trained model's quantized files against the model in float32."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

import dart_keras as dk
from dart_keras.deployment import Artifact

# Outputs of all rows may not fit in memory.
ROWS_AT_A_TIME = 2_000
# TensorFlow Lite Micro's reference kernels are slow on a computer.
TFLM_ROWS = 10_000
# Name for int8 with quantization-aware training.
AWARE = "int8, quantization-aware"
TARGETS = {"raspberry-pi": "litert", "microcontroller": "tflm"}


@dataclass(frozen=True)
class Study:
    """A trained model and its test set.

    Attributes:
        name: Name in the table.
        model: The model, in float32.
        calibration: Rows for the activation ranges.
        rows: The test set.
        labels: The label of each test row.
        score: From the model's outputs for some rows and their labels to one score a row; the
            figure is their mean.
        loss: From a mean score and that of the float32 model to the loss.
        unit: Unit of the loss.
        aims: Maximum loss by quantization.
        train: Trains a copy of the model further, with or without quantization.
    """

    name: str
    model: keras.Model
    calibration: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    score: Callable[[np.ndarray, np.ndarray], np.ndarray]
    loss: Callable[[float, float], float]
    unit: str
    aims: dict[str, float]
    train: Callable[[keras.Model], Any]

    def cells(self) -> Iterator[dict[str, Any]]:
        """Yield the loss of each quantization on each runtime."""
        whole = len(self.rows)
        float_scores = self._scores(partial(self.model.predict, verbose=0), whole)
        trained_further = keras.models.clone_model(self.model)
        trained_further.set_weights(self.model.get_weights())
        self.train(trained_further)
        scores = self._scores(partial(trained_further.predict, verbose=0), whole)
        yield self._cell("float32, trained further", "keras", scores, float_scores)
        for target, runtime in TARGETS.items():
            for quantization in self.aims:
                try:
                    artifact = self._artifact(quantization, target)
                except dk.deployment.ConversionError as error:
                    names = {"model": self.name, "quantization": quantization, "runtime": runtime}
                    yield names | {"refused": str(error)}
                    continue
                count = whole if runtime == "litert" else TFLM_ROWS
                scores = self._scores(partial(artifact.predict, runtime=runtime), count)
                cell = self._cell(quantization, runtime, scores, float_scores)
                yield cell | {"file bytes": artifact.size, "arena": artifact.arena_size}

    def _artifact(self, quantization: str, target: str) -> Artifact:
        if quantization == AWARE:
            aware = dk.quantization.quantize_aware(self.model, target=target)
            self.train(aware)
            return dk.deployment.convert(aware, target, quantization="int8")
        rows = self.calibration
        return dk.deployment.convert(
            self.model, target, quantization=quantization, calibration_data=rows
        )

    def _scores(self, predict: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
        # Evenly spaced, as the rows may change from start to end of a test set.
        places = np.linspace(0, len(self.rows) - 1, count).astype(int)
        parts = []
        for start in range(0, count, ROWS_AT_A_TIME):
            some = places[start : start + ROWS_AT_A_TIME]
            parts.append(self.score(predict(self.rows[some]), self.labels[some]))
        return np.concatenate(parts)

    def _cell(
        self, quantization: str, runtime: str, scores: np.ndarray, float_scores: np.ndarray
    ) -> dict[str, Any]:
        """Return the figures of a file; both mean scores are over the same rows."""
        places = np.linspace(0, len(self.rows) - 1, len(scores)).astype(int)
        reference = float_scores[places]
        mean, wanted = float(np.mean(scores)), float(np.mean(reference))
        noise = float(np.std(scores - reference) / np.sqrt(len(scores)))
        return {
            "model": self.name,
            "quantization": quantization,
            "runtime": runtime,
            "rows": len(scores),
            "float32": wanted,
            "score": mean,
            "lost": self.loss(mean, wanted),
            "standard error": abs(self.loss(wanted + noise, wanted)),
            "unit": self.unit,
            "aim": self.aims.get(quantization),
        }
