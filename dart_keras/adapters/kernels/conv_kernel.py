import math
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.kernels.layer_kernel import LayerKernel, chained_cores
from dart_keras.layers import TTLayer


class ConvKernel(LayerKernel):
    """The kernel of a convolution: rows are its positions and input channels, columns its filters.

    Args:
        kernel_size: The size along each spatial axis.
        channels: The number of input channels.
        filters: M.
        strides: As of the layer.
        padding: As of the layer.
        dilation_rate: As of the layer.
        data_format: As of the layer.
    """

    layer_classes = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)

    def __init__(
        self,
        kernel_size: Sequence[int],
        channels: int,
        filters: int,
        strides: Sequence[int],
        padding: str,
        dilation_rate: Sequence[int],
        data_format: str,
    ) -> None:
        self.kernel_size = tuple(kernel_size)
        self.positions = math.prod(self.kernel_size)
        self.shape = (self.positions * int(channels), int(filters))
        self.strides, self.dilation_rate = tuple(strides), tuple(dilation_rate)
        self.padding, self.data_format = padding, data_format

    @classmethod
    def of(cls, layer: Any) -> Self:
        """Return the kernel of a built layer."""
        if layer.groups != 1:
            raise ValueError(
                "Expected a convolution with groups=1, whose kernel is one matrix. Received: layer "
                f"{layer.name!r} with groups={layer.groups}"
            )
        known = next(each for each in cls.layer_classes if isinstance(layer, each))
        if type(layer).convolution_op is not known.convolution_op:
            raise ValueError(
                "Expected a layer that convolves with its kernel as it is. Received: layer "
                f"{layer.name!r}, whose class has a `convolution_op` of its own"
            )
        *size, channels, filters = layer.kernel.shape
        names = ("strides", "padding", "dilation_rate", "data_format")
        return cls(size, channels, filters, *(getattr(layer, name) for name in names))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("kernel_size", "strides", "padding", "dilation_rate", "data_format")
        sizes = {"channels": self.shape[0] // self.positions, "filters": self.shape[1]}
        return {**{name: getattr(self, name) for name in names}, **sizes}

    def matrix_of(self, layer: Any) -> np.ndarray:
        """Return the layer's kernel, of shape (N, M)."""
        return ops.convert_to_numpy(layer.kernel).reshape(self.shape)

    def set_matrix(self, layer: Any, matrix: np.ndarray) -> None:
        """Give a layer another kernel."""
        layer.kernel.assign(matrix.reshape(layer.kernel.shape))

    def tt_product(self, layer: TTLayer, inputs: Any, reverse: bool, training: bool | None) -> Any:
        """Convolve the layer's inputs with the TT matrix of a layer of `tt_layer`.

        There are as many channels between as the rank where the rows end, which is the cheapest.

        Raises:
            ValueError: If a mode of the columns comes before one of the rows.
        """
        rows, columns = self.shape
        end = max((k for k, mode in enumerate(layer.input_modes, 1) if mode > 1), default=1)
        if math.prod(layer.output_modes[:end]) > 1:
            raise ValueError(
                "Expected the modes of the rows before those of the columns. Received: "
                f"input_modes={layer.input_modes}, output_modes={layer.output_modes}"
            )
        cores = layer.cores_in_use(training)
        left = chained_cores(cores[:end])[:rows]
        right = ops.reshape(chained_cores(cores[end:]), (left.shape[1], -1))[:, :columns]
        return self.product(inputs, left, right)

    def product(self, inputs: Any, left: Any, right: Any, reverse: bool = False) -> Any:
        """Convolve the layer's inputs with a kernel that has two factors."""
        return self.from_rows(ops.matmul(self.to_rows(self._convolved(inputs, left)), right))

    def group_sums(self, inputs: Any, size: int) -> Any:
        """Return the sums of the rows of the inputs over groups, as one convolution."""
        groups = -(-self.shape[0] // size)
        matrix = np.tile(np.eye(size, dtype="float32"), (groups, 1))[: self.shape[0]]
        return self.to_rows(self._convolved(inputs, ops.cast(matrix, inputs.dtype)))

    def to_rows(self, outputs: Any) -> Any:
        """Return outputs with the channels as the last axis."""
        return outputs if self._channels_last else ops.moveaxis(outputs, 1, -1)

    def from_rows(self, rows: Any) -> Any:
        """Return a tensor of `to_rows` with the axes of the layer's output again."""
        return rows if self._channels_last else ops.moveaxis(rows, -1, 1)

    @property
    def _channels_last(self) -> bool:
        return self.data_format == "channels_last"

    def _convolved(self, inputs: Any, matrix: Any) -> Any:
        """Convolve with a matrix of shape (N, any number of filters)."""
        padding = self.padding
        if padding == "causal":
            before = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            widths = [[0, 0], [before, 0], [0, 0]]
            order = (0, 1, 2) if self._channels_last else (0, 2, 1)
            inputs = ops.pad(inputs, [widths[axis] for axis in order])
            padding = "valid"
        channels = self.shape[0] // self.positions
        return ops.conv(
            inputs,
            ops.reshape(matrix, (*self.kernel_size, channels, matrix.shape[1])),
            strides=list(self.strides),
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
