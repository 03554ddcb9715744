from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo
from dart_keras.deployment.runtimes.litert import run_on_litert
from dart_keras.deployment.runtimes.result import Examples, RunResult
from dart_keras.deployment.runtimes.tflm import run_on_tflm

# LiteRT, with XNNPACK as a Raspberry Pi runs it, without, and with its reference kernels. The last
# two show where errors come from, and judge no file.
LITERT_KERNELS = {"litert": "xnnpack", "litert-builtin": "builtin", "litert-reference": "reference"}


@dataclass(frozen=True)
class Executable:
    """A file, and what must be known to feed it real values.

    Attributes:
        content: The bytes of the `.tflite` file.
        inputs: Its inputs, in order.
        outputs: Its outputs, in order.
        seconds: The most that a runtime may take, for a file that may be damaged: none then runs in
            this process. None for a file that the converter made, whose limits scale with what it
            computes.
    """

    content: bytes
    inputs: Sequence[TensorInfo]
    outputs: Sequence[TensorInfo]
    seconds: float | None = None

    def run(
        self,
        runtime: str,
        arrays: Sequence[np.ndarray],
        arena_size: int | None = None,
        minimum_runs: int = 0,
        row_seconds: float | None = None,
    ) -> RunResult:
        """Quantize the inputs, run the file row by row, and dequantize the outputs.

        Args:
            runtime: `"litert"`, `"litert-builtin"`, `"litert-reference"` or `"tflm"`.
            arrays: For each input, real values or ids of shape (rows, ...).
            arena_size: Bytes of working memory for TFLM; None finds the smallest that works.
            minimum_runs: The least number of inferences to time.
            row_seconds: After so many, and a few rows, no further rows are begun; None for all.

        Raises:
            RefusedError: If the runtime cannot run the file, or takes too long.
        """
        quantized = self._quantized(arrays)
        result = self._run(runtime, quantized, arena_size, minimum_runs, row_seconds)
        pairs = zip(self.outputs, result.outputs, strict=True)
        outputs = [info.dequantize(values) for info, values in pairs]
        return replace(result, outputs=outputs)

    def record(
        self, runtime: str, arrays: Sequence[np.ndarray], arena_size: int | None = None
    ) -> Examples:
        """Run the file row by row; record its inputs and outputs in the dtypes of the file.

        Args:
            runtime: As for `run`.
            arrays: As for `run`.
            arena_size: As for `run`.
        """
        quantized = self._quantized(arrays)
        return Examples(quantized, self._run(runtime, quantized, arena_size).outputs)

    def _quantized(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [info.quantize(a) for info, a in zip(self.inputs, arrays, strict=True)]

    def _run(
        self,
        runtime: str,
        quantized: Sequence[np.ndarray],
        arena_size: int | None = None,
        minimum_runs: int = 0,
        row_seconds: float | None = None,
    ) -> RunResult:
        limits: dict[str, float | None] = {"seconds": self.seconds, "row_seconds": row_seconds}
        if runtime == "tflm":
            return run_on_tflm(self.content, quantized, arena_size, minimum_runs, **limits)
        kernels = LITERT_KERNELS[runtime]
        return run_on_litert(self.content, quantized, minimum_runs, kernels, **limits)
