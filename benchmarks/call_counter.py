"""Count the Python calls of a program, and kill it at one of them."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Span:
    """The calls between two marks. A mark is where a function begins or ends.

    Attributes:
        name: Name of the function at the first mark, with " done" added where it has ended.
        calls: Number of calls.
    """

    name: str
    calls: int = 0


class CallCounter:
    """Counts the calls of a process, and kills the process at one of them.

    Args:
        functions: By name, the functions whose beginnings and ends are marks. Counting from the
            last mark keeps a moment the same in two runs, although garbage collection can change
            the number of calls before it.
        moment: Span and call at which to kill the process; `None` to count only.

    Attributes:
        spans: The spans so far, in order; the first has the name `""`.
    """

    def __init__(
        self, functions: Mapping[str, Callable[..., Any]], moment: tuple[int, int] | None = None
    ) -> None:
        self.spans = [Span("")]
        self._names = {function.__code__: name for name, function in functions.items()}
        self._moment = moment

    def __enter__(self) -> "CallCounter":
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        # Restore the tracer of test coverage, if there is one.
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        name = self._names.get(frame.f_code)
        if event == "return":
            self.spans.append(Span(f"{name} done"))
        elif event == "call" and name is not None:
            self.spans.append(Span(name))
        if event == "call":
            self.spans[-1].calls += 1
            if self._moment is not None:
                span, call = self._moment
                if len(self.spans) - 1 == span and self.spans[-1].calls >= call:
                    os.kill(os.getpid(), signal.SIGKILL)
        if name is None:
            return None
        # Trace returns of this function, but no lines.
        frame.f_trace_lines = False
        return self._trace
