"""Progress bars for what takes longer than a moment."""

from collections.abc import Iterable
from typing import TypeVar

import keras
from tqdm import tqdm
from tqdm.keras import TqdmCallback

Item = TypeVar("Item")

# Seconds of silence.
_DELAY = 1.5


def progress(items: Iterable[Item], description: str, total: int | None = None) -> Iterable[Item]:
    """The items, with a bar on a terminal's standard error once it has taken a moment.

    Args:
        items: What is gone through.
        description: What is done with it.
        total: How many there are, where `len` does not tell.
    """
    return tqdm(items, description, total, leave=False, disable=None, delay=_DELAY)


def progress_of_training(description: str) -> keras.callbacks.Callback:
    """The same for a `fit`, epoch by epoch and batch by batch."""
    return TqdmCallback(desc=description, verbose=1, leave=False, disable=None, delay=_DELAY)
