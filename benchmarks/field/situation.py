"""What a situation is, and the list of all of them."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Situation:
    """Something that a user did.

    Attributes:
        name: Module and function, such as "data.endless".
        story: What the user did, in one sentence.
        run: Does it in a folder of its own. It raises AssertionError where the result is wrong.
        refused: Regular expression of the error's message, if an error is the right end.
        warned: Regular expression of a warning that must come, if a warning is due.
        needs: Packages without which the situation is skipped.
    """

    name: str
    story: str
    run: Callable[[Path], None]
    refused: str | None = None
    warned: str | None = None
    needs: tuple[str, ...] = ()


SITUATIONS: dict[str, Situation] = {}


def situation(
    story: str,
    *,
    refused: str | None = None,
    warned: str | None = None,
    needs: tuple[str, ...] = (),
) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Return a decorator that adds a function to the list, under its own name."""

    def add(run: Callable[[Path], None]) -> Callable[[Path], None]:
        name = f"{run.__module__.rpartition('.')[2]}.{run.__name__}"
        assert name not in SITUATIONS, f"two situations are called {name}"
        SITUATIONS[name] = Situation(name, story, run, refused, warned, needs)
        return run

    return add


def load_all() -> dict[str, Situation]:
    """Import every module of situations and return the list."""
    from benchmarks.field import situations

    for module in pkgutil.iter_modules(situations.__path__):
        importlib.import_module(f"{situations.__name__}.{module.name}")
    return SITUATIONS
