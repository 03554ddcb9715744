"""The words of a model and their ids."""

from collections.abc import Iterable, Sequence

import numpy as np

UNKNOWN = "<unk>"


class Vocabulary:
    """The words of a model. The id of a word is its index.

    Args:
        words: Distinct words, the most frequent first.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError(
                f"Expected distinct words. Received: {len(self.words)} words, "
                f"{len(self._ids)} of them distinct"
            )

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, words: Iterable[str]) -> np.ndarray:
        """Return the int32 ids of words; unknown words get the id of `<unk>`.

        Raises:
            KeyError: If a word is unknown and the vocabulary has no `<unk>`.
        """
        unknown = self._ids.get(UNKNOWN)
        ids = []
        for word in words:
            i = self._ids.get(word, unknown)
            if i is None:
                raise KeyError(word)
            ids.append(i)
        return np.array(ids, "int32")

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the words of ids."""
        return [self.words[i] for i in ids]
