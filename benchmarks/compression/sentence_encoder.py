"""A pretrained sentence encoder, its calibration data, and a judgement of its similarities."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CALIBRATION_SENTENCES = 512
LENGTH = 64
_BATCH = 64

# From tokens of a batch to vectors of its tokens.
Model = Callable[[dict[str, np.ndarray]], Any]


class SentenceEncoder:
    """A BERT of KerasHub from tokens to token vectors, judged by STS-B.

    Args:
        data_dir: Folder with `train.tsv` and `dev.tsv` of STS-B.
        preset: The BERT, MiniLM-L6 if not given.

    Attributes:
        model: The model, from a dict of tokens. Similarities are those of the token vectors, so it
            gives nothing else.
    """

    def __init__(self, data_dir: Path, preset: str | None = None) -> None:
        import keras
        import keras_hub

        from examples.fine_tuning.encoder import preset_or_default
        from examples.fine_tuning.tasks import load_rows

        backbone = keras_hub.models.BertBackbone.from_preset(preset_or_default(preset))
        self.model = keras.Model(backbone.inputs, backbone.output["sequence_output"])
        self._preset = preset
        self._training = load_rows("stsb", data_dir, "train").sentences
        dev = load_rows("stsb", data_dir, "dev")
        self._labels = dev.labels
        self._pairs = [self._tokens(each) for each in dev.sentences]

    def calibration(self) -> dict[str, np.ndarray]:
        """Return the tokens of 512 training sentences, evenly spaced.

        The file goes from captions to news, so that the first ones would be of one kind alone.
        """
        sentences = self._training[0]
        places = np.linspace(0, len(sentences) - 1, CALIBRATION_SENTENCES).astype(int)
        return self._tokens([sentences[place] for place in places])

    def every_sentence(self) -> dict[str, np.ndarray]:
        """Return the tokens of all training sentences, each once."""
        return self._tokens([*dict.fromkeys([*self._training[0], *self._training[1]])])

    def spearman(self, model: Model, length: int | None = None) -> float:
        """Return the correlation of a model's similarities with those that people see.

        Args:
            model: The model.
            length: The one length that it takes; `None` if it takes any.
        """
        from examples.fine_tuning.metrics import spearman

        first, second = (_sentence_vectors(model, each, length) for each in self._pairs)
        cosines = np.sum(first * second, axis=1)
        return round(spearman(self._labels, cosines[:, None]), 4)

    def error(self, model: Any) -> float:
        """Return the relative error of another model's vectors of the tokens of dev."""
        from dart_keras.compression.calibration.batches import CalibrationBatches
        from dart_keras.compression.calibration.output_loss import end_error
        from dart_keras.compression.calibration.sequence_padding import visible_rows

        batches = CalibrationBatches(self.model, self._pairs[0]).some
        outputs = ([each(batch) for batch in batches] for each in (self.model, model))
        return float(np.sqrt(end_error(*outputs, visible_rows(self.model, batches))))

    def _tokens(self, sentences: Sequence[str]) -> dict[str, np.ndarray]:
        from examples.fine_tuning.encoder import encode
        from examples.fine_tuning.rows import Rows

        return encode(self._preset, Rows((list(sentences),), np.zeros(len(sentences))), LENGTH)


def _sentence_vectors(
    model: Model, tokens: dict[str, np.ndarray], length: int | None
) -> np.ndarray:
    """Return the means of the token vectors of sentences, of length 1."""
    lengths = tokens["padding_mask"].sum(axis=1)
    found: list[Any] = [None] * len(lengths)
    order = np.argsort(lengths)
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        longest = length or lengths[chosen].max()
        part = {name: each[chosen, :longest] for name, each in tokens.items()}
        mask = part["padding_mask"][:, :, None]
        means = np.sum(np.asarray(model(part)) * mask, axis=1) / mask.sum(axis=1)
        for place, mean in zip(chosen, means, strict=True):
            found[place] = mean / np.linalg.norm(mean)
    return np.array(found)
