"""Results of a search: a table of its trials, and the command that trains with the best ones."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dart_keras.utils.atomic_write import write_files
from dart_keras.utils.table import Table
from examples.fine_tuning.search.space import SearchSpace
from examples.fine_tuning.settings import Settings

SEARCH = "search.json"
_TITLES = {"learning_rate": "learning rate"}


@dataclass(frozen=True)
class TrialResult:
    """A trial that was judged.

    Attributes:
        values: By name of what was chosen, its value.
        epochs: How many epochs it was trained for.
        score: Its score on the rows that are held out, after these.
        parameters: How many parameters were trained.
        seconds: How long it took.
    """

    values: dict[str, Any]
    epochs: int
    score: float
    parameters: int
    seconds: float


def ranking(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """Return trials, the best first: of equal ones that with more epochs, then the smaller one."""
    return sorted(trials, key=lambda each: (-each.score, -each.epochs, each.parameters))


def read_search(folder: Path, request: dict[str, Any]) -> list[TrialResult] | None:
    """Return the trials of a search that is finished, or `None` if there is none yet.

    Args:
        folder: Folder of the search.
        request: What the search is asked for, JSON-serializable.

    Raises:
        ValueError: If the folder has a search with other settings.
    """
    path = folder / SEARCH
    if not path.exists():
        return None
    try:
        known = json.loads(path.read_text())
        its = known["request"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"Expected the results of a search in {path}. Received: {error}"
        ) from error
    mine = json.loads(json.dumps(request))
    names = [name for name in {**mine, **its} if mine.get(name) != its.get(name)]
    if names:
        raise ValueError(
            f"Expected the settings of the search in {folder}, or another folder. Received: "
            + ", ".join(
                f"{name}={mine.get(name)!r} where the search has {its.get(name)!r}"
                for name in names
            )
        )
    trials = known.get("trials")
    return None if trials is None else [TrialResult(**each) for each in trials]


def write_search(
    folder: Path,
    request: dict[str, Any],
    trials: Sequence[TrialResult] | None = None,
    command: str | None = None,
) -> None:
    """Write what a search is asked for, and what it has found when it is finished.

    Args:
        folder: Folder of the search.
        request: What it is asked for.
        trials: Its trials.
        command: The command that trains with the best settings.
    """
    content: dict[str, Any] = {"request": request}
    if trials is not None:
        content |= {"command": command, "trials": [asdict(each) for each in trials]}
    write_files(folder, {SEARCH: (json.dumps(content, indent=1) + "\n").encode()})


def trials_table(space: SearchSpace, trials: Sequence[TrialResult], score: str) -> Table:
    """Return a table of trials.

    Args:
        space: What was chosen from.
        trials: The trials in their order.
        score: Name of the score.
    """
    names = list(space.choices)
    header = (
        *(_TITLES.get(name, name) for name in names),
        "epochs",
        f"held-out {score}",
        "trained",
        "seconds",
    )
    rows = [
        (
            *(_cell(each.values[name]) for name in names),
            str(each.epochs),
            f"{each.score:.4f}",
            f"{each.parameters:,}",
            f"{each.seconds:.1f}",
        )
        for each in trials
    ]
    words = sum(name == "modes" for name in names)
    return Table(header, "l" * words + "r" * (len(header) - words), rows)


def train_command(settings: Settings, data_dir: str, folder: Path) -> str:
    """Return the command that trains with some settings.

    Args:
        settings: The settings.
        data_dir: Folder of the data.
        folder: Folder for the run.
    """
    options = {**settings.to_json(), "data_dir": data_dir, "folder": str(folder)}
    words = ["python", "-m", "examples.fine_tuning.train"]
    for name, value in options.items():
        if value is not None:
            values = value if isinstance(value, tuple) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return shlex.join(words)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
