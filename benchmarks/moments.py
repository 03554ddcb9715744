"""Moments of a program, counted in Python calls, so that it can be killed in any of them."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Span:
    """The calls from where a function begins or ends to where the next one does.

    Args:
        name: The function's; with " done" behind it where it has ended.
        calls: How many.
    """

    name: str
    calls: int = 0


class CallCounter:
    """Counts the calls of a process, and kills the process in one of them.

    Args:
        functions: By name, those whose beginnings and ends divide the calls into spans. A moment
            is the same one in two runs, although calls differ by some before it, where Python
            collects garbage.
        moment: The span and which of its calls to be killed in; `None` to count only.

    Attributes:
        spans: What has been counted, in order; the first is called `""`.
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
        # What measures the coverage of tests traces calls, too.
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
        # Returns are wanted of it, and no lines.
        frame.f_trace_lines = False
        return self._trace
