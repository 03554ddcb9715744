"""Fine-tuning of a causal language model on a text, judged by the perplexity of its tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from examples.fine_tuning.causal_model import build_language_model, tokenizer_of
from examples.fine_tuning.rows import Rows
from examples.fine_tuning.settings import HEAD_ALONE
from examples.fine_tuning.task import Task
from examples.language_model.corpus import find_file, read_lines

# Names of the files, the usual ones of WikiText and the Penn Treebank among them.
_NAMES = {
    "train": ("train.txt", "wiki.train.tokens", "ptb.train.txt"),
    "dev": ("dev.txt", "valid.txt", "wiki.valid.tokens", "ptb.valid.txt"),
}
# Lines that are tokenized at once, because the tokenizer needs many times the memory of its text.
_LINES = 1000
# Tokens whose logits are in memory at once where a converted file is measured.
_SAMPLE = 2048


@dataclass(frozen=True)
class Windows:
    """Windows of a text.

    Attributes:
        tokens: Tokens, int32 of shape (windows, length).
        labels: The token after each, of the same shape.
    """

    tokens: np.ndarray
    labels: np.ndarray

    def chosen(self, places: np.ndarray) -> "Windows":
        """Return the windows at some places."""
        return Windows(self.tokens[places], self.labels[places])


class TextTask(Task):
    """The next token of a text."""

    # The logits of a window of 128 tokens take 25 MB where the vocabulary has 49,152.
    batch: ClassVar[int] = 4
    unit: ClassVar[str] = "windows"

    def check(self, preset: str | None, method: str) -> None:
        if preset is None:
            raise ValueError(
                "Expected --preset with --task text: the name or folder of a causal language model "
                "of KerasHub. Received: none"
            )
        if method == HEAD_ALONE:
            raise ValueError(
                "Expected a --method that trains adapters or all weights with --task text, which "
                f"has no new head. Received: --method {method}"
            )

    def load(self, folder: str | Path, part: str) -> Rows:
        path = find_file(folder, _NAMES[part], "a text in UTF-8")
        lines = list(read_lines(path))
        if not any(line.strip() for line in lines):
            raise ValueError(f"Expected a text in {path}. Received: an empty file")
        return Rows((lines,), np.zeros(len(lines), "int32"))

    def examples(self, preset: str | None, rows: Rows, length: int) -> Windows:
        tokenizer = tokenizer_of(preset)
        lines = rows.sentences[0]
        pieces = ["".join(lines[at : at + _LINES]) for at in range(0, len(lines), _LINES)]
        tokens = np.concatenate([np.asarray(each, "int32") for each in tokenizer(pieces)])
        # The last token has no next one.
        windows = (len(tokens) - 1) // length
        if windows < 1:
            raise ValueError(
                f"Expected a text of at least {length + 1} tokens for a window of {length}. "
                f"Received: {len(tokens)} tokens"
            )
        used = windows * length
        return Windows(*(each[:used].reshape(-1, length) for each in (tokens, tokens[1:])))

    def encode(self, preset: str | None, examples: Windows, length: int) -> dict[str, np.ndarray]:
        return {"token_ids": examples.tokens, "padding_mask": np.ones_like(examples.tokens)}

    def model(self, preset: str | None, precision: str = "float32") -> keras.Model:
        return build_language_model(preset, precision)

    def judged(self, outputs: Any, labels: Any) -> np.ndarray:
        """Return the losses, because the outputs of a whole text are too large.

        Args:
            outputs: Logits of shape (windows, length, vocabulary).
            labels: The next tokens, of shape (windows, length).
        """
        losses = ops.sparse_categorical_crossentropy(
            labels, ops.cast(outputs, "float32"), from_logits=True
        )
        return ops.convert_to_numpy(losses)

    def sample(self, examples: Windows) -> Windows:
        windows, length = examples.tokens.shape
        count = min(windows, max(1, _SAMPLE // length))
        return examples.chosen(np.linspace(0, windows - 1, count).astype(int))

    def scores(self, rows: Any, outputs: np.ndarray) -> dict[str, float]:
        return {"perplexity": float(np.exp(np.mean(outputs, dtype="float64")))}
