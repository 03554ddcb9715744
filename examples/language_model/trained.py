"""A model that `train.py` has made, from its file."""

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
class Trained:
    """What a file says of its model.

    Args:
        path: The file.
        settings: The run's.
        vocabulary: The model's words.
    """

    path: Path
    settings: Settings
    vocabulary: Vocabulary

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read all but the weights.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not one of `train.py`.
        """
        vocabulary = read_vocabulary(path)
        try:
            settings = Settings.from_json(read_state(path)["settings"])
            if settings.architecture.size not in SIZES:
                raise ValueError(f"no size is called {settings.architecture.size!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"Expected a file that this version of `train.py` wrote. Received: {path}, whose "
                f"settings are other ones ({error})"
            ) from error
        return cls(path, settings, vocabulary)

    @property
    def length(self) -> int:
        """How many words the model sees at once."""
        return SIZES[self.settings.architecture.size].length

    def corpus(self, dataset: str, folder: str | Path) -> Corpus:
        """A data set, in this model's ids.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file cannot be read, or the data set has other words than the model.
        """
        corpus = load_corpus(dataset, folder)
        words, known = corpus.vocabulary.words, self.vocabulary.words
        if words != known:
            place = next(
                (i for i, pair in enumerate(zip(words, known, strict=False)) if pair[0] != pair[1]),
                min(len(words), len(known)),
            )
            raise ValueError(
                f"Expected a model of the {len(words):,} words of {dataset} in {folder}. Received: "
                f"{self.path}, a model of {len(known):,} words, which differ from number "
                f"{place + 1} on"
            )
        return corpus

    def model(self, last_only: bool = False) -> keras.Model:
        """The model, with the ranks that it was cut to, for prediction.

        Args:
            last_only: As for `build_model`.

        Raises:
            ValueError: If the file has the weights of another architecture than it says.
        """
        architecture = self.settings.architecture
        model = build_model(architecture, last_only=last_only)
        try:
            model.load_weights(self.path)
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(
                f"Expected weights of {architecture} in {self.path}. Received: those of another "
                f"architecture ({str(error).strip().splitlines()[0]})"
            ) from error
        return model
