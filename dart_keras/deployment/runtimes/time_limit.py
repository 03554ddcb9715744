import time

from dart_keras.deployment.flatbuffer.file_work import operations
from dart_keras.deployment.runtimes.result import RefusedError

# For the start of a process and all else that does not depend on the model, on a busy computer.
_SECONDS = 60.0
# Multiply-adds, elements and bytes a second: some twenty times fewer than the slowest kernels do.
_RATE = 5e6


class TimeLimit:
    """The most seconds that a runtime may take for a file, from now on.

    Args:
        runtime: What the runtime is called.
        seconds: How many there are.
        damaged: Whether nothing is known of the file, so that it may also ask for any memory.
    """

    def __init__(self, runtime: str, seconds: float, damaged: bool = True) -> None:
        self.runtime = runtime
        self.damaged = damaged
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @classmethod
    def of_file(cls, runtime: str, content: bytes, runs: int) -> "TimeLimit":
        """Return a limit that no file of the converter needs, unless it never ends.

        Args:
            runtime: What the runtime is called.
            content: The file.
            runs: How often it runs.
        """
        return cls(runtime, _SECONDS + runs * operations(content) / _RATE, damaged=False)

    @property
    def left(self) -> float:
        """The seconds that are left.

        Raises:
            RefusedError: If there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return left

    def error(self) -> RefusedError:
        """Return what to raise when the time is over."""
        advice = (
            "Give it more time, or convert the model again: the file may be damaged."
            if self.damaged
            else "Build recurrent layers with unroll=True, make the model smaller, or try again "
            "when the computer has less to do."
        )
        return RefusedError(
            f"Expected {self.runtime} to be done with the model in {self._seconds:,.4g} seconds. "
            f"Received: no answer. {advice}",
            [],
            [],
        )
