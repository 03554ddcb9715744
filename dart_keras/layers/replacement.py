"""How a TT layer stands for a Keras layer with a dense matrix: hooks that other rooms read.

`from_dense` needs them, and so does `dart_keras.compression.compress`, which makes TT layers of the
Keras layers that some class `replaces`. Nothing else in the library names the class.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from dart_keras.layers.padding import pad_matrix
from dart_keras.layers.resizing import Resizing, resize
from dart_keras.tensor_train.modes import complete_modes
from dart_keras.tensor_train.ranks import Ranks
from dart_keras.tensor_train.tt_matrix import TTMatrix


class DenseReplacement:
    """The hooks of a TT layer class that tell of the Keras layers it stands for.

    The defaults are those of layers such as `keras.layers.Dense`: `kernel` is the matrix once its
    axes but the last are flattened, `bias` has an element for each column, and columns are the last
    axis of the output. A class overrides what is different. Every class needs `build_like`; a table
    needs `dense_matrix` beside it and none of the others.

    Attributes:
        replaces: The Keras layer classes that it stands for. `compress` replaces these by it, and
            their subclasses that do not override `call`. A class that names one here takes its
            place in `compress`; subclasses of it have to name it again.
        is_table: Whether it looks up rows of its matrix by ids.
        folds_batch_norm: Whether the last axis of the Keras layer's output holds the columns of the
            matrix, so that a `BatchNormalization` after it can be folded into its weights.
    """

    replaces: ClassVar[tuple[Any, ...]] = ()
    is_table: ClassVar[bool] = False
    folds_batch_norm: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        replaces = vars(cls).get("replaces", ())
        if replaces and getattr(cls.build_like, "__isabstractmethod__", False):
            raise TypeError(
                "Expected a class that names Keras layers it `replaces` to define `build_like`. "
                f"Received: {cls.__name__}"
            )
        REPLACEMENTS.update(dict.fromkeys(replaces, cls))

    @classmethod
    def check_replaceable(cls, layer: Any) -> None:
        """Raise a ValueError unless a layer can be replaced: "Expected ... Received: ..."."""
        if not cls.replaces:
            raise ValueError(
                "Expected a class that names the Keras layers it `replaces`. "
                f"Received: {cls.__name__}, which names none"
            )
        if not isinstance(layer, cls.replaces) or not layer.built:
            names = " or ".join(f"`{kind.__name__}`" for kind in cls.replaces)
            raise ValueError(f"Expected a built {names}. Received: {layer!r}")
        if layer.quantization_mode is not None:
            # Its weights are codes.
            raise ValueError(
                "Expected a layer with float weights. "
                f"Received: {layer!r}, quantized to {layer.quantization_mode!r}"
            )

    @classmethod
    def dense_matrix(cls, layer: Any) -> np.ndarray:
        """Return the matrix of a Keras layer, of shape (N, M)."""
        kernel = ops.convert_to_numpy(layer.kernel)
        return kernel.reshape(-1, kernel.shape[-1])

    @classmethod
    def dense_bias(cls, layer: Any) -> np.ndarray | None:
        """Return the bias of a Keras layer, of shape (M,).

        `None` if it has no bias, or one that has not an element for each column of the matrix.
        """
        return None if layer.bias is None else ops.convert_to_numpy(layer.bias)

    @classmethod
    def input_rows(cls, layer: Any, inputs: np.ndarray) -> np.ndarray:
        """Return what a Keras layer multiplies by its matrix when it is given inputs.

        Args:
            layer: The layer.
            inputs: Array with the axes of its input.

        Returns:
            Array of shape (rows, N).
        """
        return inputs.reshape(-1, inputs.shape[-1])

    @classmethod
    def output_rows(cls, layer: Any, outputs: np.ndarray) -> np.ndarray:
        """Return the rows of products that are in the outputs of a Keras layer.

        Args:
            layer: The layer.
            outputs: Array with the axes of its output, before its activation.

        Returns:
            Array of shape (rows, M), in the order of `input_rows`.
        """
        return outputs.reshape(-1, outputs.shape[-1])

    @classmethod
    def dense_like(cls, layer: Any, matrix: np.ndarray, bias: np.ndarray) -> Any:
        """Return a Keras layer of the same class and config with other weights.

        Args:
            layer: The layer. It is left as it is.
            matrix: Array of shape (N, M).
            bias: Array of shape (M,). The layer itself may have none.
        """
        new = type(layer).from_config({**layer.get_config(), "use_bias": True})
        new.build(layer.get_build_config()["input_shape"])
        new.set_weights([matrix.reshape(layer.kernel.shape), bias])
        return new

    @classmethod
    @abstractmethod
    def build_like(
        cls,
        layer: Any,
        ranks: Ranks,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        rank_regularizer: Any = None,
        column_bias: bool = False,
    ) -> Self:
        """Return a built TT layer that does with inputs what a Keras layer does.

        It has the name, dtype, activation and bias of the Keras layer, and cores that the caller
        replaces.

        Args:
            layer: The Keras layer, one that `check_replaceable` accepts.
            ranks: Ranks of the cores.
            input_modes: Modes n_1...n_d of the rows.
            output_modes: Modes m_1...m_d of the columns.
            rank_regularizer: Rank regularizer for training on.
            column_bias: Whether it needs a bias with an element for each column, even where the
                Keras layer has none.
        """

    @classmethod
    def from_dense(
        cls,
        layer: Any,
        ranks: Ranks | None = None,
        tolerance: float | None = None,
        input_modes: Sequence[int] | None = None,
        output_modes: Sequence[int] | None = None,
        rank_regularizer: Any = None,
    ) -> Self:
        """Return a TT layer with the weights of a trained Keras layer, by TT-SVD.

        A regularizer or constraint of the dense matrix has no meaning for cores and is not taken
        over.

        Args:
            layer: A built Keras layer of one of the classes that this one `replaces`: a `Dense` for
                `TTDense`, an `EinsumDense` for `TTEinsumDense`, and for `TTEmbedding` an
                `Embedding` or a `ReversibleEmbedding` with tied weights. It is left as it is.
            ranks: The largest ranks; `None` for no limit.
            tolerance: In place of `ranks`, the largest relative Frobenius error of the matrix.
            input_modes: Modes of the rows of the matrix; `None` to choose them.
            output_modes: Modes of its columns; `None` to choose them.
            rank_regularizer: Rank regularizer for training on.

        Returns:
            A built layer of the same name, activation, bias and dtype.

        Raises:
            ValueError: If the layer is not one of these, its weights are more than one matrix, or
                modes or ranks are not valid.

        Example:
            >>> from dart_keras.layers import TTDense
            >>> dense = keras.layers.Dense(32)
            >>> dense.build((None, 16))
            >>> TTDense.from_dense(dense, ranks=4).ranks
            (1, 4, 1)
        """
        cls.check_replaceable(layer)
        matrix = cls.dense_matrix(layer)
        n, m = matrix.shape
        modes = complete_modes(n, m, input_modes, output_modes)
        tt: Any = cls.build_like(layer, 1, *modes, rank_regularizer)
        padded = pad_matrix(matrix, (math.prod(modes[0]), math.prod(modes[1])))
        cores = TTMatrix.from_dense(padded, *modes, ranks, tolerance).cores
        resize([Resizing(tt, cores)])
        return tt


# By Keras layer class the TT layer class that stands for it.
REPLACEMENTS: dict[Any, type[DenseReplacement]] = {}


def replacement_for(layer: keras.Layer) -> type[DenseReplacement] | None:
    """Return the TT layer class that stands for a Keras layer, `None` if there is none."""
    for kind, replacement in REPLACEMENTS.items():
        # A subclass that calls itself in another way is another layer.
        if isinstance(layer, kind) and type(layer).call is kind.call:
            return replacement
    return None


def looks_up_rows(layer: Any) -> bool:
    """Return whether a layer looks up rows by ids: an embedding of Keras, or a TT layer's."""
    return isinstance(layer, keras.layers.Embedding) or getattr(layer, "is_table", False)
