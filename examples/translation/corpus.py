"""English sentences and their German translations, in files with one sentence per line."""

from dataclasses import dataclass
from pathlib import Path

from examples.language_model.corpus import find_file, read_lines

# Names of the parts in the file names.
_PARTS = ("train", "val", "test_2016_flickr")
_SOURCE = "Multi30k, task 1, raw (github.com/multi30k/dataset, folder data/task1/raw)"


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations, in the same order."""

    sources: list[str]
    targets: list[str]


@dataclass(frozen=True)
class Corpus:
    """Training, validation and test pairs."""

    train: Pairs
    valid: Pairs
    test: Pairs


def load_corpus(folder: str | Path) -> Corpus:
    """Read the six files of Multi30k.

    Raises:
        FileNotFoundError: If the folder or a file is missing.
        ValueError: If a file is no UTF-8 text or has no words, or if the two files of a part have
            different numbers of lines.
    """
    return Corpus(*(_pairs(folder, part) for part in _PARTS))


def _pairs(folder: str | Path, part: str) -> Pairs:
    paths = [find_file(folder, [f"{part}.{language}"], _SOURCE) for language in ("en", "de")]
    sources, targets = ([line.strip() for line in read_lines(path)] for path in paths)
    for path, lines in zip(paths, (sources, targets), strict=True):
        if not any(lines):
            raise ValueError(f"Expected words in {path}. Received: an empty file")
    if len(sources) != len(targets):
        raise ValueError(
            f"Expected as many lines in {paths[0]} as in {paths[1]}. "
            f"Received: {len(sources):,} and {len(targets):,}"
        )
    return Pairs(sources, targets)
