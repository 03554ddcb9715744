"""Text in files, as one stream of word ids for each part."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.language_model.vocabulary import Vocabulary

PARTS = ("train", "valid", "test")
END_OF_LINE = "<eos>"

# What the parts' files are called: as they are given out, and as others have renamed them.
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
    """Ids of words, int32 arrays of one axis, a line's end being a word."""

    vocabulary: Vocabulary
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def load_corpus(dataset: str, folder: str | Path, vocabulary: Vocabulary | None = None) -> Corpus:
    """Read a data set's three files.

    Args:
        dataset: One of `DATASETS`.
        folder: Where the files are.
        vocabulary: Of a model that is trained already; `None` to take the words of the training
            text, the most frequent first.

    Raises:
        FileNotFoundError: If the folder or a file is missing.
        ValueError: If a file is empty or no UTF-8 text, or has a word that the vocabulary lacks
            while the vocabulary has no `<unk>`.
    """
    paths = {
        part: find_file(folder, [name.format(part) for name in _NAMES[dataset]], _SOURCES[dataset])
        for part in PARTS
    }
    if vocabulary is None:
        counts = Counter(word for line in _lines(paths["train"]) for word in line)
        # Among words as frequent as each other, the order of the alphabet.
        vocabulary = Vocabulary(sorted(counts, key=lambda word: (-counts[word], word)))
    return Corpus(vocabulary, *(_ids(paths[part], vocabulary) for part in PARTS))


def find_file(folder: str | Path, names: Sequence[str], source: str) -> Path:
    """The file of a folder that has one of some names.

    Args:
        folder: What the user gave as `--data-dir`.
        names: What the file may be called.
        source: What the data set is called where it can be had.

    Raises:
        FileNotFoundError: If the folder or the file is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Expected --data-dir to be a folder with {source}. Received: {folder}, "
            "which is no folder"
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
    """The lines of a text, with their ends.

    Raises:
        ValueError: If the file is no UTF-8 text.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected {path} to be text in UTF-8. Received: byte {error.object[error.start]:#04x} "
            f"where none can be ({error.reason})"
        ) from error


def _lines(path: Path) -> Iterator[list[str]]:
    for line in read_lines(path):
        yield [*line.split(), END_OF_LINE]


def _ids(path: Path, vocabulary: Vocabulary) -> np.ndarray:
    # Line by line, because the words of WikiText-103 as Python strings would fill the memory.
    lines = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            lines.append(vocabulary.encode(line))
        except KeyError as error:
            raise ValueError(
                f"Expected every word of {path} to be in the vocabulary of {len(vocabulary):,} "
                f"words, which has no '<unk>' for others. Received: {error.args[0]!r} in line "
                f"{number}"
            ) from error
    if not any(len(line) > 1 for line in lines):
        raise ValueError(f"Expected {path} to have words in it. Received: an empty file")
    return np.concatenate(lines)
