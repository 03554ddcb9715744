"""One situation in a process of its own, with a time limit and a look at what it left behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

SECONDS = 240
# Workers may need a moment to see that their parent has ended.
GRACE_SECONDS = 5.0
MARK = "DART_KERAS_FIELD"


def run_alone(name: str, seconds: float = SECONDS) -> dict[str, object]:
    """Run a situation in a new process.

    Args:
        name: Of the situation.
        seconds: Time after which it counts as hanging.

    Returns:
        A dict with `situation`, `outcome`, `said` and `seconds`. Beside the outcomes of
        `benchmarks.field.outcome.judge` there are "hangs", "crashed", and "left over" where a
        process that it started is still there.
    """
    mark = uuid.uuid4().hex
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="field", ignore_cleanup_errors=True) as top:
        folder, path = Path(top, "work"), Path(top, "outcome.json")
        folder.mkdir()
        with Path(top, "output.txt").open("w+b") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.field.outcome", name, str(folder), str(path)],
                env={**os.environ, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            found = _wait(process, path, seconds)
            if found["outcome"] == "crashed":
                output.seek(0)
                last = output.read().decode(errors="replace").strip().splitlines()[-3:]
                found["said"] += ": " + " | ".join(last)
        left = _still_running(mark)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    if left and found["outcome"] != "hangs":
        found = {"outcome": "left over", "said": f"{len(left)} processes"}
    return {"situation": name, **found, "seconds": round(time.monotonic() - began, 1)}


def _wait(process: "subprocess.Popen[bytes]", path: Path, seconds: float) -> dict[str, str]:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return {"outcome": "hangs", "said": f"no end in {seconds:.0f} seconds"}
    if not path.exists():
        return {"outcome": "crashed", "said": f"exit code {process.returncode}"}
    return json.loads(path.read_text())


def _still_running(mark: str) -> list[int]:
    """Return the processes that carry a mark in their environment (Linux only)."""
    end = time.monotonic() + GRACE_SECONDS
    while (found := _marked(mark)) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def _marked(mark: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found
