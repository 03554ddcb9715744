"""A tiny model trained on a small made-up text, and the folder of the text."""

import functools
from pathlib import Path

import keras
import numpy as np
import pytest

from examples.language_model import train

# Parameters that the truncation leaves to the TT layers.
BUDGET = 2100
_SUBJECTS = ("the dog", "a cat", "the old man", "my sister", "every child")
_VERBS = ("sees", "hears", "follows", "likes", "forgets")
_PLACES = ("at home", "in the park", "by the river", "on <unk> street")


def write_text(folder: Path) -> Path:
    """Write made-up sentences as the files of the data set `ptb`."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for part, lines in (("train", 400), ("valid", 60), ("test", 60)):
        text = "".join(
            f" {rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_SUBJECTS)} "
            f"{rng.choice(_PLACES)} \n"
            for _ in range(lines)
        )
        (folder / f"ptb.{part}.txt").write_text(text)
    return folder


def train_tiny(data: Path, folder: Path) -> Path:
    """Train for a few steps with a truncation; return the last checkpoint."""
    keras.utils.set_random_seed(0)
    ranks = ["--embedding-rank", "6", "--projection-rank", "6"]
    ranks += ["--selection", "budget", "--parameters", str(BUDGET)]
    steps = ["--epochs", "6", "--batch", "8", "--learning-rate", "2e-2", "--cut-epoch", "3"]
    arguments = ["--dataset", "ptb", "--data-dir", str(data), "--folder", str(folder)]
    assert train.main([*arguments, "--size", "tiny", *ranks, *steps]) == 0
    return folder / "last.keras"


def tiny_run(factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the text's folder and a checkpoint, made once for all tests."""
    return _made(factory.getbasetemp() / "tiny_run")


@functools.cache
def _made(folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    data = write_text(folder / "data")
    return data, train_tiny(data, folder / "run")
