"""Run the kit on corrupted files, and print each outcome as a line of JSON.

Runs inside the clean environment. The kit's own code runs in this process, which an unexpected
exception would end. Each file has its own child process.
"""

import contextlib
import io
import json
import sys
from pathlib import Path


def commands(folder: Path, model: Path) -> list[list[str]]:
    """Return all commands, with inputs that fitted the file before its corruption."""
    limit = ["--timeout", "20"]
    return [
        ["run", str(model), str(folder / "rows.npy"), str(model.with_suffix(".npz")), *limit],
        ["classify", str(model), str(folder / "rows.npy"), "--json", *limit],
        ["verify", str(model), "--expected", str(folder / "examples.npz"), *limit],
        ["benchmark", str(model), "--rows", "2", "--json", *limit],
    ]


def main(kit: str, folder: Path) -> None:
    """Run one of the commands in turn on each file of a folder."""
    sys.path.insert(0, kit)
    from command_line import main as run

    for number, model in enumerate(sorted(folder.glob("*.tflite"))):
        # Every tenth file is timed, in two new processes.
        argv = commands(folder, model)[3 if number % 10 == 9 else number % 3]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(argv)
        print(json.dumps([argv, code, out.getvalue(), err.getvalue()]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
