"""One situation in this process: what came of it."""

import importlib.util
import json
import os
import re
import sys
import warnings
from pathlib import Path

from benchmarks.field.situation import Situation, load_all

# What only the insides of other libraries say.
RAW = re.compile(
    r"\{\{node|tensorflow/|RET_CHECK|MLIR|Traceback|INTERNAL:|INVALID_ARGUMENT|LinAlgError"
    r"|NoneType|object has no attribute|unsupported operand"
)
GOOD = ("works", "refused", "warned", "skipped")


def judge(situation: Situation, folder: Path) -> dict[str, str]:
    """Run a situation and say how it ended.

    Args:
        situation: What to run.
        folder: An empty folder for its files.

    Returns:
        A dict with the `outcome` and what was `said`. Outcomes are "works", "refused" and "warned"
        where that is right, "skipped" without a package that it needs; "wrong" for a result that
        is not right, "silent" where a refusal or a warning is due and none came, "unclear" for a
        message that does not say what it should, and "raw" for an error from inside a library.
    """
    missing = [name for name in situation.needs if importlib.util.find_spec(name) is None]
    if missing:
        return {"outcome": "skipped", "said": f"without {', '.join(missing)}"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            situation.run(folder)
        except AssertionError as error:
            return {"outcome": "wrong", "said": str(error)}
        except (Exception, SystemExit) as error:
            return _judge_error(situation, error)
    if situation.refused is not None:
        return {"outcome": "silent", "said": "no error"}
    said = [str(each.message) for each in caught]
    if situation.warned is None:
        return {"outcome": "works", "said": ""}
    due = [text for text in said if re.search(situation.warned, text)]
    if due:
        return {"outcome": "warned", "said": due[0]}
    return {"outcome": "silent", "said": "; ".join(said) or "no warning"}


def _judge_error(situation: Situation, error: BaseException) -> dict[str, str]:
    said = f"{type(error).__name__}: {error}"
    library = type(error).__module__.partition(".")[0]
    if library in ("tensorflow", "jax", "jaxlib", "torch", "h5py") or RAW.search(said):
        return {"outcome": "raw", "said": said}
    if situation.refused is None:
        return {"outcome": "wrong", "said": said}
    clear = re.search(situation.refused, str(error)) is not None
    return {"outcome": "refused" if clear else "unclear", "said": said}


def main() -> None:
    """Run the situation that is named, and write what came of it to a file."""
    name, folder, path = sys.argv[1:]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    found = judge(load_all()[name], Path(folder))
    Path(path).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
