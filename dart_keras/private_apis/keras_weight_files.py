"""The load of a weights file that is under way, of which Keras shows a layer only its own part."""

import sys
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import keras
from keras.src.saving import saving_lib

_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


@dataclass(frozen=True)
class WeightsLoad:
    """A call of `load_weights` that has not returned yet.

    Attributes:
        model: The model whose weights are loaded.
        path: Where its weights are in the file.
        skip_mismatch: Whether layers that do not match the file are to be left alone.
    """

    model: keras.Model
    path: str
    skip_mismatch: bool


def current_load() -> WeightsLoad | None:
    """Return the load that is calling `load_own_variables`, or `None` if that is called alone."""
    found = None
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code is saving_lib._load_state.__code__:
            found = frame
        frame = frame.f_back
    if found is None or not isinstance(found.f_locals["saveable"], keras.Model):
        return None
    names = ("saveable", "inner_path", "skip_mismatch")
    return WeightsLoad(*(found.f_locals[name] for name in names))


def is_rehearsing() -> bool:
    """Return whether a `load_own_variables` is called by `rehearse`: it must change nothing."""
    return _rehearsing.get()


def rehearse(load: WeightsLoad, store: Any, left_out: Iterable[Any]) -> dict[str, Exception]:
    """Load the whole file without changing a variable.

    Args:
        load: The load that is under way.
        store: Its store. Reads of it have to be done: it stands elsewhere in the file afterwards.
        left_out: Layers that cannot tell yet whether the file fits them.

    Returns:
        The errors of the load, by the name of the layer.
    """
    optimizer = getattr(load.model, "optimizer", None)
    skipped = {id(each) for each in (optimizer, *left_out)}
    errors: dict[int, tuple[Any, Exception]] = {}
    token = _rehearsing.set(True)
    try:
        # `assign` then checks the shapes and keeps the value in the scope.
        with keras.StatelessScope():
            saving_lib._load_state(
                load.model,
                weights_store=store,
                assets_store=None,
                inner_path=load.path,
                visited_saveables=skipped,
                failed_saveables=set(),
                error_msgs=errors,
            )
    finally:
        _rehearsing.reset(token)
    return {getattr(layer, "name", repr(layer)): error for layer, error in errors.values()}
