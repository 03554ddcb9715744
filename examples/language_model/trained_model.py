"""A model read from a checkpoint of `train.py`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import keras

from examples.language_model.architecture import SIZES
from examples.language_model.checkpoint import read_state, read_vocabulary
from examples.language_model.corpus import Corpus, load_corpus
from examples.language_model.model import build_model
from examples.language_model.settings import Settings
from examples.language_model.vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainedModel:
    """A trained model's settings and vocabulary.

    Attributes:
        path: The checkpoint.
        settings: Settings of the run.
        vocabulary: Words of the model.
    """

    path: Path
    settings: Settings
    vocabulary: Vocabulary

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read settings and vocabulary.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If `train.py` did not write the file.
        """
        vocabulary = read_vocabulary(path)
        try:
            settings = Settings.from_json(read_state(path)["settings"])
            if settings.architecture.size not in SIZES:
                raise ValueError(f"unknown size {settings.architecture.size!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"Expected a file that this version of `train.py` wrote. Received: {path}, whose "
                f"settings do not match ({error})"
            ) from error
        return cls(path, settings, vocabulary)

    @property
    def length(self) -> int:
        """Number of words in a window."""
        return SIZES[self.settings.architecture.size].length

    def corpus(self, dataset: str, folder: str | Path) -> Corpus:
        """Load a data set as ids of this model's vocabulary.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is unreadable, or the data set's words are not the model's.
        """
        corpus = load_corpus(dataset, folder)
        words, known = corpus.vocabulary.words, self.vocabulary.words
        if words != known:
            first = next(
                (i for i, pair in enumerate(zip(words, known, strict=False)) if pair[0] != pair[1]),
                min(len(words), len(known)),
            )
            raise ValueError(
                f"Expected a model with the {len(words):,} words of {dataset} in {folder}. "
                f"Received: {self.path}, a model of {len(known):,} words that differ from word "
                f"{first + 1} on"
            )
        return corpus

    def model(self, last_only: bool = False) -> keras.Model:
        """Load the model for prediction, with its truncated ranks.

        Args:
            last_only: As for `build_model`.

        Raises:
            ValueError: If the weights do not match the architecture.
        """
        architecture = self.settings.architecture
        model = build_model(architecture, last_only=last_only)
        try:
            model.load_weights(self.path)
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(
                f"Expected weights of {architecture} in {self.path}. Received: weights of another "
                f"architecture ({str(error).strip().splitlines()[0]})"
            ) from error
        return model
