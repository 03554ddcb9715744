import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dart_keras.deployment.tensor_info import TensorInfo


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
        """Returns the arrays as a NumPy `.npz` file.

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
