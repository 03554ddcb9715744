"""Runs of the benchmark of adapters: one process each, in a folder of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.adapters.contenders import CONTENDERS, FOLDERS, TASKS

_RESULTS = "results.json"
_MEMORY = "peak_memory.json"
_COMMAND = "command.json"
_FILE = "raspberry-pi"


@dataclass(frozen=True)
class AdapterRun:
    """A training of one contender.

    Attributes:
        task: A key of `TASKS`.
        contender: A key of `CONTENDERS`.
        rate: The learning rate.
        seed: The seed.
        data_dir: Folder of the data sets.
        work: Folder of all runs.
        epochs: Number of epochs.
        options: Further options of `examples.fine_tuning.train`.
    """

    task: str
    contender: str
    rate: float
    seed: int
    data_dir: Path
    work: Path
    epochs: int
    options: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        name = "".join(c if c.isalnum() else "_" for c in self.contender)
        return self.work / f"{self.task}-{name}-{self.rate:g}-{self.seed}"

    def key(self) -> dict[str, Any]:
        """Return what tells the results of this run from those of others."""
        names = ("task", "contender", "rate", "seed", "epochs")
        return {**{name: getattr(self, name) for name in names}, "options": list(self.options)}

    def is_there(self) -> bool:
        """Return whether the files of the finished run are in its folder."""
        return (self.folder / _RESULTS).exists()

    def train(self) -> None:
        """Train, or go on with a training that was interrupted.

        Raises:
            RuntimeError: If it fails, or there is a run with other settings in its folder.
        """
        contender = CONTENDERS[self.contender]
        limit = TASKS[self.task]
        command = [
            *("--task", self.task, "--data-dir", self.data_dir / FOLDERS[self.task]),
            *("--method", contender.method, *contender.options),
            *("--learning-rate", self.rate, "--seed", self.seed, "--epochs", self.epochs),
            *("--folder", self.folder, *(("--limit", limit) if limit else ()), *self.options),
        ]
        known = self.folder / _COMMAND
        words = [str(each) for each in command]
        if known.exists() and json.loads(known.read_text()) != words:
            raise RuntimeError(
                f"Expected another `--work` for other settings. Received: {self.folder}, with "
                f"a run of {' '.join(json.loads(known.read_text()))}"
            )
        if self.is_there():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps(words))
        memory = self._call("train", command)
        (self.folder / _MEMORY).write_text(json.dumps(memory))

    def convert(self) -> None:
        """Merge, and convert to int8.

        Raises:
            RuntimeError: If it fails.
        """
        if not (self.folder / _FILE / _RESULTS).exists():
            self._call("convert", ["--folder", self.folder, "--quantization", "int8"])

    def cell(self) -> dict[str, Any]:
        """Return the results of the run, with those of the file if there is one."""
        results = json.loads((self.folder / _RESULTS).read_text())
        names = ("trained_parameters", "file_bytes", "scores", "seconds_per_step", "cuts")
        memory = self.folder / _MEMORY
        converted = self.folder / _FILE / _RESULTS
        return {
            **self.key(),
            **{name: results[name] for name in names},
            "score": next(iter(results["scores"].values())),
            "peak_megabytes": json.loads(memory.read_text()) if memory.exists() else None,
            "int8": json.loads(converted.read_text()) if converted.exists() else None,
        }

    def _call(self, module: str, arguments: list[Any]) -> float:
        """Run a command of the example, and return its peak memory in megabytes."""
        command = [sys.executable, "-m", f"examples.fine_tuning.{module}", *map(str, arguments)]
        with (self.folder / f"{module}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                process.wait()
                raise
        # It has been waited for.
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(
                f"Expected {module}.py to succeed. Received: exit code {process.returncode}, see "
                f"{log.name}"
            )
        return usage.ru_maxrss / 1024
