from collections.abc import Sequence

import numpy as np

from dart_keras.deployment.errors import ConversionError
from dart_keras.deployment.runtimes.litert import KERNELS
from dart_keras.utils.optional_imports import import_extra
from dart_keras.utils.quiet import quiet


class TensorValues:
    """A file on LiteRT that keeps what every tensor held when it ran.

    Args:
        content: The file.
        kernels: `"builtin"` or `"reference"`. On integers of 8 bits the latter give what
            TensorFlow Lite Micro gives, but for FULLY_CONNECTED, where they give what XNNPACK
            does; that one shows no tensors between its operators.

    Raises:
        ImportError: If `ai-edge-litert` is not installed.
    """

    def __init__(self, content: bytes, kernels: str) -> None:
        module = import_extra("ai_edge_litert.interpreter", "ai-edge-litert")
        self._interpreter = module.Interpreter(
            model_content=content,
            num_threads=1,
            experimental_op_resolver_type=module.OpResolverType[KERNELS[kernels]],
            experimental_preserve_all_tensors=True,
        )
        with quiet():
            self._interpreter.allocate_tensors()
        self._inputs = self._interpreter.get_input_details()

    def invoke(self, inputs: Sequence[np.ndarray]) -> None:
        """Run the file once.

        Args:
            inputs: An array for each input, of the same dtype and number of elements.

        Raises:
            ConversionError: If LiteRT fails on them.
        """
        for detail, values in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(detail["index"], values.reshape(detail["shape"]))
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            reason = str(error).partition("Node number")[0]
            raise ConversionError(
                "LiteRT cannot run a row of `calibration_data`, for instance because an id in it "
                f"is beyond its table: {reason}. Leave such rows out, or correct them."
            ) from error

    def tensor(self, index: int) -> np.ndarray:
        """Return a copy of what a tensor of the main subgraph held."""
        return self._interpreter.get_tensor(index)

    def output(self, place: int) -> np.ndarray:
        """Return a copy of the file's output at this place."""
        return self.tensor(self._interpreter.get_output_details()[place]["index"])
