"""Text files as one stream of word ids for each part."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.language_model.vocabulary import Vocabulary

PARTS = ("train", "valid", "test")
END_OF_LINE = "<eos>"

# File names of the parts: the original ones and common renamings.
_NAMES = {
    "ptb": ("ptb.{}.txt",),
    "wikitext2": ("wiki.{}.tokens", "{}.txt"),
    "wikitext103": ("wiki.{}.tokens", "{}.txt"),
}
_SOURCES = {
    "ptb": "Mikolov's preprocessing of the Penn Treebank (simple-examples.tgz, folder data)",
    "wikitext2": "WikiText-2, word level (wikitext-2-v1.zip)",
    "wikitext103": "WikiText-103, word level (wikitext-103-v1.zip)",
}
DATASETS = tuple(_NAMES)


@dataclass(frozen=True)
class Corpus:
    """Word ids of each part, int32 of shape (words,); the end of a line is a word."""

    vocabulary: Vocabulary
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def load_corpus(dataset: str, folder: str | Path, vocabulary: Vocabulary | None = None) -> Corpus:
    """Read the three files of a data set.

    Args:
        dataset: One of `DATASETS`.
        folder: Folder of the files.
        vocabulary: Vocabulary of a trained model; `None` to take the words of the training text,
            the most frequent first.

    Raises:
        FileNotFoundError: If the folder or a file is missing.
        ValueError: If a file is empty or no UTF-8 text, or has a word that is not in the vocabulary
            and the vocabulary has no `<unk>`.
    """
    paths = {
        part: find_file(folder, [name.format(part) for name in _NAMES[dataset]], _SOURCES[dataset])
        for part in PARTS
    }
    if vocabulary is None:
        counts = Counter(word for line in _lines(paths["train"]) for word in line)
        # Ties are in alphabetical order.
        vocabulary = Vocabulary(sorted(counts, key=lambda word: (-counts[word], word)))
    return Corpus(vocabulary, *(_ids(paths[part], vocabulary) for part in PARTS))


def find_file(folder: str | Path, names: Sequence[str], source: str) -> Path:
    """Return the file in a folder that has one of the given names.

    Args:
        folder: The user's `--data-dir`.
        names: Possible names of the file.
        source: Name of the data set at its source, for the error message.

    Raises:
        FileNotFoundError: If the folder or the file is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Expected --data-dir to be a folder with {source}. Received: {folder}, "
            "which is not a folder"
        )
    for name in names:
        if (folder / name).is_file():
            return folder / name
    present = sorted(path.name for path in folder.iterdir())[:10]
    raise FileNotFoundError(
        f"Expected a file {' or '.join(names)} in {folder}, from {source}. "
        f"Received: a folder with {present}"
    )


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text with their line ends.

    Raises:
        ValueError: If the file is no UTF-8 text.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected {path} to be text in UTF-8. Received: byte {error.object[error.start]:#04x} "
            f"({error.reason})"
        ) from error


def _lines(path: Path) -> Iterator[list[str]]:
    for line in read_lines(path):
        yield [*line.split(), END_OF_LINE]


def _ids(path: Path, vocabulary: Vocabulary) -> np.ndarray:
    # Line by line, because all words of WikiText-103 as Python strings take too much memory.
    lines = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            lines.append(vocabulary.encode(line))
        except KeyError as error:
            raise ValueError(
                f"Expected only words of the vocabulary in {path}, because it has no '<unk>' "
                f"({len(vocabulary):,} words). Received: {error.args[0]!r} in line {number}"
            ) from error
    if not any(len(line) > 1 for line in lines):
        raise ValueError(f"Expected words in {path}. Received: an empty file")
    return np.concatenate(lines)
