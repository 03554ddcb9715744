import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dart_keras.deployment.errors import ConversionError
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo


@dataclass(frozen=True)
class RunResult:
    """What came of running a file on a runtime.

    Attributes:
        outputs: One array of shape (rows, ...) for each output, as the file gives them.
        microseconds: The median time of one inference, inputs already in place.
        rows: Which rows of the inputs these are, in ascending order: all of them, unless the time
            for them was limited.
        arena_size: Bytes of working memory that the run had; None if the runtime takes
            its memory from the system.
    """

    outputs: list[np.ndarray]
    microseconds: float
    rows: np.ndarray
    arena_size: int | None = None


@dataclass(frozen=True)
class Examples:
    """A few rows that a file was given on this computer, and what it gave for them.

    A device that gives the same runs the file as it should.

    Attributes:
        inputs: For each input of the file, an array of shape (rows, *input shape) in the file's
            own dtype: quantized integers where the file takes them.
        outputs: The same for each output, from the runtime of the file's target: LiteRT for a
            Raspberry Pi, TensorFlow Lite Micro for a microcontroller.
    """

    inputs: list[np.ndarray]
    outputs: list[np.ndarray]

    def as_npz(self, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> bytes:
        """Return the bytes of a NumPy `.npz` file with the arrays.

        Args:
            inputs: The file's inputs, whose arrays are called `inputs/NAME`.
            outputs: The file's outputs, whose arrays are called `outputs/NAME`.
        """
        arrays: dict[str, np.ndarray] = {}
        for kind, infos, values in (
            ("inputs", inputs, self.inputs),
            ("outputs", outputs, self.outputs),
        ):
            arrays |= {f"{kind}/{i.name}": v for i, v in zip(infos, values, strict=True)}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # It takes a bool as well.
        return buffer.getvalue()


class RefusedError(ConversionError):
    """Raised by a runtime that cannot run a file.

    Attributes:
        indices: The places of the operators to blame among those of the file.
    """

    def __init__(self, reason: str, operators: Sequence[str], indices: Sequence[int]) -> None:
        super().__init__(reason, operators)
        self.indices = list(indices)
