from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dart_keras.deployment.errors import ConversionError


@dataclass(frozen=True)
class RunResult:
    """What came of running a file on a runtime.

    Attributes:
        outputs: One array of shape (rows, ...) for each output, as the file gives them.
        microseconds: The median time of one inference, inputs already in place.
        arena_size: Bytes of working memory that the run had; None if the runtime takes
            its memory from the system.
    """

    outputs: list[np.ndarray]
    microseconds: float
    arena_size: int | None = None


class RefusedError(ConversionError):
    """Raised by a runtime that cannot run a file.

    Attributes:
        indices: The places of the operators to blame among those of the file.
    """

    def __init__(self, reason: str, operators: Sequence[str], indices: Sequence[int]) -> None:
        super().__init__(reason, operators)
        self.indices = list(indices)
