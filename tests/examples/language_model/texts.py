"""A small made-up corpus."""

from pathlib import Path

import numpy as np

from examples.language_model.corpus import Corpus, load_corpus


def write_texts(folder: Path, words: int = 50, lines: int = 400, seed: int = 0) -> Path:
    """Write three files like Penn Treebank's, in which each word depends on the one before."""
    rng = np.random.default_rng(seed)
    followers = rng.integers(words, size=(words, 3))
    folder.mkdir(parents=True, exist_ok=True)
    for part, share in (("train", 1.0), ("valid", 0.2), ("test", 0.2)):
        text = []
        for _ in range(int(lines * share)):
            word, line = 0, []
            for _ in range(12):
                line.append(f"w{word}")
                word = followers[word, rng.integers(3)]
            text.append(" ".join(line))
        # Every word occurs at least once.
        text += [" ".join(f"w{word}" for word in range(words)) + " <unk>"]
        (folder / f"ptb.{part}.txt").write_text("\n".join(text) + "\n")
    return folder


def small_corpus(folder: Path) -> Corpus:
    return load_corpus("ptb", write_texts(folder))
