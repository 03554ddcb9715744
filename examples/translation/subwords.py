"""Subwords of both languages in one vocabulary, and their ids."""

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Self

import sentencepiece

PADDING, UNKNOWN, START, END = range(4)


class Subwords:
    """SentencePiece's unigram model (Kudo 2018), which splits text into its likeliest subwords.

    Ids are ordered by likelihood, after those of `PADDING`, `UNKNOWN`, `START` and `END`.

    Args:
        text: The model as `to_text` returns it.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=base64.b64decode(text))

    @classmethod
    def train(cls, lines: Iterable[str], size: int) -> Self:
        """Learn the subwords of a text.

        Args:
            lines: Sentences.
            size: Maximum number of subwords.
        """
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            pad_id=PADDING,
            unk_id=UNKNOWN,
            bos_id=START,
            eos_id=END,
            minloglevel=2,
        )
        return cls(base64.b64encode(model.getvalue()).decode())

    @property
    def pieces(self) -> list[str]:
        """The subwords by id."""
        return [self._processor.id_to_piece(i) for i in range(len(self))]

    def __len__(self) -> int:
        return len(self._processor)

    def to_text(self) -> str:
        """Return the whole model as a string."""
        return self._text

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """Return the ids of sentences, without start and end."""
        return self._processor.encode(list(lines))

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the sentences of ids."""
        return self._processor.decode([[int(i) for i in sentence] for sentence in ids])
