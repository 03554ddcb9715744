"""A trained model, and what its quantized files cost of its figure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

import dart_keras as dk
from dart_keras.deployment import Artifact

# Of many rows with many outputs not all fit in memory.
ROWS_AT_A_TIME = 2_000
# TensorFlow Lite Micro's reference kernels are slow on a computer.
TFLM_ROWS = 10_000
# The recipe of a model that was trained quantization-aware.
TRAINED = "int8, trained"
TARGETS = {"raspberry-pi": "litert", "microcontroller": "tflm"}


@dataclass(frozen=True)
class Study:
    """A trained model and its test set.

    Args:
        name: What it is called in the table.
        model: The model, in float32.
        calibration: Rows that show the ranges.
        rows: The test set.
        labels: What is right for each of its rows.
        score: From the model's outputs for some rows and their labels to one number a row, of which
            the mean counts.
        loss: From a mean score and that of the model in float32 to what is lost.
        unit: What that is counted in.
        aims: The most that may be lost, by recipe.
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
        """What each recipe loses on each runtime."""
        whole = len(self.rows)
        float_scores = self._scores(partial(self.model.predict, verbose=0), whole)
        trained_on = keras.models.clone_model(self.model)
        trained_on.set_weights(self.model.get_weights())
        self.train(trained_on)
        scores = self._scores(partial(trained_on.predict, verbose=0), whole)
        yield self._cell("float32, trained on", "keras", scores, float_scores)
        for target, runtime in TARGETS.items():
            for recipe in self.aims:
                try:
                    artifact = self._artifact(recipe, target)
                except dk.deployment.ConversionError as error:
                    names = {"model": self.name, "recipe": recipe, "runtime": runtime}
                    yield names | {"refused": str(error)}
                    continue
                count = whole if runtime == "litert" else TFLM_ROWS
                scores = self._scores(partial(artifact.predict, runtime=runtime), count)
                cell = self._cell(recipe, runtime, scores, float_scores)
                yield cell | {"file bytes": artifact.size, "arena": artifact.arena_size}

    def _artifact(self, recipe: str, target: str) -> Artifact:
        if recipe == TRAINED:
            aware = dk.quantization.quantize_aware(self.model, target=target)
            self.train(aware)
            return dk.deployment.convert(aware, target, quantization="int8")
        rows = self.calibration
        return dk.deployment.convert(self.model, target, quantization=recipe, calibration_data=rows)

    def _scores(self, predict: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
        # Evenly spaced: a test set may change on its way.
        places = np.linspace(0, len(self.rows) - 1, count).astype(int)
        parts = []
        for start in range(0, count, ROWS_AT_A_TIME):
            some = places[start : start + ROWS_AT_A_TIME]
            parts.append(self.score(predict(self.rows[some]), self.labels[some]))
        return np.concatenate(parts)

    def _cell(
        self, recipe: str, runtime: str, scores: np.ndarray, float_scores: np.ndarray
    ) -> dict[str, Any]:
        """The same rows count for both."""
        places = np.linspace(0, len(self.rows) - 1, len(scores)).astype(int)
        reference = float_scores[places]
        mean, wanted = float(np.mean(scores)), float(np.mean(reference))
        noise = float(np.std(scores - reference) / np.sqrt(len(scores)))
        return {
            "model": self.name,
            "recipe": recipe,
            "runtime": runtime,
            "rows": len(scores),
            "float32": wanted,
            "score": mean,
            "lost": self.loss(mean, wanted),
            "standard error": abs(self.loss(wanted + noise, wanted)),
            "unit": self.unit,
            "aim": self.aims.get(recipe),
        }
