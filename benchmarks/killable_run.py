"""A training command that can be killed at a call or after a time."""

import contextlib
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.call_counter import CallCounter, Span

WORDS = 40
LENGTHS = {"train": 6000, "valid": 600, "test": 600}
TRAINING = {
    "--dataset": "ptb",
    "--size": "tiny",
    "--epochs": 3,
    "--batch": 16,
    "--checkpoint-steps": 8,
    "--embedding-rank": 8,
    "--projection-rank": 8,
    "--strength": 0.05,
    "--threshold": 0.3,
}


def write_text(folder: Path, seed: int = 0) -> None:
    """Write a text in which each word depends on the one before, as data set files."""
    rng = np.random.default_rng(seed)
    following = rng.dirichlet(np.full(WORDS, 0.1), WORDS)
    folder.mkdir(parents=True)
    for part, length in LENGTHS.items():
        words = [0]
        while len(words) < length:
            words.append(rng.choice(WORDS, p=following[words[-1]]))
        lines = np.array([f"w{word}" for word in words]).reshape(-1, 20)
        (folder / f"ptb.{part}.txt").write_text("\n".join(" ".join(line) for line in lines))


class Run:
    """A training run in a folder that can be killed.

    Args:
        folder: Output folder of the run.
        text: Folder that `write_text` has filled.
        arguments: Arguments of `examples.language_model.train`; they override `TRAINING`.
    """

    def __init__(self, folder: Path, text: Path, arguments: list[str]) -> None:
        self.folder = folder
        settings = {**TRAINING, "--data-dir": text, "--folder": folder}
        self._arguments = [str(each) for pair in settings.items() for each in pair] + arguments
        # Imports happen once in the fork server; every run is forked from it.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["examples.language_model.train"])

    def count(self) -> list[Span]:
        """Run to the end and return the calls by span."""
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._start(None, sender)
        sender.close()
        try:
            spans = receiver.recv()
        except EOFError:
            spans = None
        process.join()
        if spans is None:
            raise RuntimeError(f"Expected a run to end. Received: exit code {process.exitcode}")
        return spans

    def finish(self) -> None:
        """Run to the end."""
        process = self._start()
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"Expected a run to end. Received: exit code {process.exitcode}")

    def kill_in(self, moment: tuple[int, int]) -> bool:
        """Run until a moment; return whether the run was killed before its end."""
        process = self._start(moment)
        process.join()
        return self._was_killed(process)

    def kill_after(self, seconds: float) -> bool:
        """Run for some time; return whether the run was killed before its end."""
        process = self._start()
        process.join(seconds)
        process.kill()
        process.join()
        return self._was_killed(process)

    def _start(self, moment: Any = None, sender: Any = None) -> Any:
        arguments = (self._arguments, moment, sender)
        process = self._context.Process(target=_train, args=arguments, daemon=True)
        process.start()
        return process

    def _was_killed(self, process: Any) -> bool:
        if process.exitcode not in (0, -9):
            raise RuntimeError(f"Expected SIGKILL. Received: exit code {process.exitcode}")
        return process.exitcode == -9


def _train(arguments: list[str], moment: tuple[int, int] | None, sender: Any) -> None:
    from dart_keras.callbacks import RankDiscretization
    from dart_keras.callbacks.automatic_ranks import AutomaticRanks
    from examples.language_model import train
    from examples.language_model.checkpoint import write_checkpoint
    from examples.language_model.checkpoint_callbacks import LastCheckpoint

    functions = {
        "step": LastCheckpoint.on_train_batch_end,
        "grow": AutomaticRanks.grow,
        "cut": RankDiscretization._cut,  # noqa: SLF001
        "checkpoint": write_checkpoint,
    }
    counter = CallCounter(functions, moment)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        if sender is not None or moment is not None:
            stack.enter_context(counter)
        code = train.main(arguments)
    if code:
        sys.exit(code)
    if sender is not None:
        sender.send(counter.spans)
