from typing import Any, Self

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.kernels.layer_kernel import LayerKernel, products_of_identity


class DenseKernel(LayerKernel):
    """The kernel of a `Dense`.

    Args:
        rows: N.
        columns: M.
    """

    layer_classes = (keras.layers.Dense,)

    def __init__(self, rows: int, columns: int) -> None:
        self.shape = (int(rows), int(columns))

    @classmethod
    def of(cls, layer: keras.layers.Dense) -> Self:
        """Return the kernel of a built layer."""
        # Not of the kernel, which has another shape if it is quantized to 4 bits.
        return cls(layer.get_build_config()["input_shape"][-1], layer.units)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"rows": self.shape[0], "columns": self.shape[1]}

    def matrix_of(self, layer: Any) -> np.ndarray:
        """Return the layer's kernel, of shape (N, M)."""
        if layer.quantization_mode is None:
            return ops.convert_to_numpy(layer.kernel)
        return products_of_identity(layer, np.eye(self.shape[0], dtype=np.float32))

    def set_matrix(self, layer: Any, matrix: np.ndarray) -> None:
        """Give a layer of float weights another kernel."""
        layer.kernel.assign(matrix)

    def product(self, inputs: Any, left: Any, right: Any, reverse: bool = False) -> Any:
        """Multiply the layer's inputs by a matrix that has two factors."""
        return ops.matmul(ops.matmul(inputs, left), right)
