from dataclasses import dataclass

import numpy as np


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
