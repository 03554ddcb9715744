"""What a model's layers do otherwise while they are converted, and only for the converting thread.

Other threads may call the model meanwhile, and may save it or convert it too.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

# Two threads would each take the other's changes for what the model was like before.
_lock = threading.RLock()
_converting: ContextVar[bool] = ContextVar("converting", default=False)


@contextmanager
def converting() -> Iterator[None]:
    """Let the changes below work in this context; other conversions wait at its beginning."""
    with _lock:
        token = _converting.set(True)
        try:
            yield
        finally:
            _converting.reset(token)


def other_function(function: Callable[..., Any], changed: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is another one while this thread converts."""

    @functools.wraps(function)
    def either(*args: Any, **kwargs: Any) -> Any:
        return (changed if _converting.get() else function)(*args, **kwargs)

    return either


class Float32Policy(keras.dtype_policies.DTypePolicy):
    """A dtype policy that is float32 while this thread converts, and else another one.

    Args:
        policy: The other one.
    """

    def __init__(self, policy: keras.dtype_policies.DTypePolicy) -> None:
        # Whatever else there is to know of it.
        self.__dict__.update(vars(policy))
        self._policy = policy

    def __getattribute__(self, name: str) -> Any:
        # For a thread that saves the model meanwhile.
        if name == "__class__":
            return type(self._policy)
        return super().__getattribute__(name)

    def get_config(self) -> dict[str, Any]:
        """Return the config of the other policy."""
        return self._policy.get_config()

    @property
    def compute_dtype(self) -> str:
        """The dtype of computations."""
        return "float32" if _converting.get() else self._policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype of variables."""
        return "float32" if _converting.get() else self._policy.variable_dtype
