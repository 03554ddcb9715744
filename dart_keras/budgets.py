"""Limits of what a model may take, for `compress` and `RankDiscretization` alike."""

from dataclasses import dataclass

from dart_keras.devices import DEVICES, find_device, find_file_device
from dart_keras.utils.argument_checks import check_share, is_integer, is_number

__all__ = [
    "ArenaBytes",
    "Budget",
    "FlashBytes",
    "LossIncrease",
    "Microseconds",
    "ModelBudget",
    "MultiplyAdds",
    "Parameters",
    "RelativeError",
]


@dataclass(frozen=True, repr=False)
class _Count:
    n: int

    def __post_init__(self) -> None:
        if not is_integer(self.n) or self.n < 1:
            name = type(self).__name__
            raise ValueError(
                f"Expected `n` of `{name}` to be a positive integer. Received: n={self.n!r}"
            )
        object.__setattr__(self, "n", int(self.n))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n:_})"


@dataclass(frozen=True, repr=False)
class Parameters(_Count):
    """A limit of parameters.

    In `dart_keras.compression.compress` it holds for the whole model, in
    `dart_keras.callbacks.RankDiscretization` for the cores of the TT layers that it truncates.

    Attributes:
        n: The most parameters, at least 1.

    Raises:
        ValueError: If `n` is not a positive integer.

    Example:
        >>> Parameters(100_000)
        Parameters(100_000)
    """


@dataclass(frozen=True, repr=False)
class MultiplyAdds(_Count):
    """A limit of multiply-adds, each a multiplication and an addition.

    In `dart_keras.compression.compress` it holds for the whole model and one row of its inputs: for
    products of matrices, convolutions and attention, in recurrent layers as often as there are
    steps. Multiplications element by element, as of a normalization, do not count. In
    `dart_keras.callbacks.RankDiscretization` it holds for the contractions of the TT layers that it
    truncates, added up, with one row of inputs for each layer.

    Attributes:
        n: The most multiply-adds, at least 1.

    Raises:
        ValueError: If `n` is not a positive integer.

    Example:
        >>> MultiplyAdds(2_000_000).n
        2000000
    """


@dataclass(frozen=True, repr=False)
class _OfFile(_Count):
    quantization: str = "int8"
    target: str = "microcontroller"

    def __post_init__(self) -> None:
        super().__post_init__()
        find_file_device(self.target, self.quantization)

    def __repr__(self) -> str:
        options = f"quantization={self.quantization!r}, target={self.target!r}"
        return f"{type(self).__name__}({self.n:_}, {options})"


@dataclass(frozen=True, repr=False)
class FlashBytes(_OfFile):
    """A limit of bytes of the `.tflite` file that `dart_keras.deployment.convert` makes of a model.

    The file is made and measured.

    Attributes:
        n: The most bytes of the file, at least 1.
        quantization: The quantization of the file, as for `convert`.
        target: The device that the file is for, as for `convert`.

    Raises:
        ValueError: If `n` is not a positive integer, or the target does not run the quantization.

    Example:
        >>> FlashBytes(50_000, target="raspberry-pi")
        FlashBytes(50_000, quantization='int8', target='raspberry-pi')
    """


@dataclass(frozen=True, repr=False)
class ArenaBytes(_OfFile):
    """A limit of bytes of working memory (arena) of a model's file on TensorFlow Lite Micro.

    The file is made and run.

    Attributes:
        n: The most bytes of the arena, at least 1.
        quantization: The quantization of the file, as for `convert`.
        target: The device that the file is for, as for `convert`: one with an arena.

    Raises:
        ValueError: If `n` is not a positive integer, the target does not run the quantization, or
            its files have no arena.

    Example:
        >>> ArenaBytes(16_384).quantization
        'int8'
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not find_device(self.target).has_arena:
            arenas = tuple(device.name for device in DEVICES.values() if device.has_arena)
            raise ValueError(
                f"Expected `target` to be one of {arenas} for a budget of arena. "
                f"Received: target={self.target!r}"
            )


@dataclass(frozen=True, repr=False)
class Microseconds(_OfFile):
    """A limit of the estimated time of the TT layers in one inference on a device.

    For `dart_keras.callbacks.RankDiscretization` alone. It holds for the contractions and lookups
    of the TT layers that it truncates, added up, with one row of inputs or one id for each layer,
    in the order that `dart_keras.deployment.convert` takes. Other layers, biases and activations
    are not counted.

    The time comes from the device's `dart_keras.devices.CostModel`, which ranks plans and is no
    forecast: measure the file on the device, and give another limit if it takes too long there.
    For single int8 layers on an x86 processor, whose kernels the constants were fitted to, it is
    0.6 to 1.1 times the time measured on TensorFlow Lite Micro and 0.4 to 1.2 times that on LiteRT,
    in float32 there 0.2 to 0.4 times. No chip was measured.

    Attributes:
        n: The most microseconds, an integer of at least 1.
        quantization: The quantization of the file, which the target must run. The estimate is that
            of int8 for all of them.
        target: The device that the file is for, as for `convert`.

    Raises:
        ValueError: If `n` is not a positive integer, there is no estimate for the target because it
            runs no files, or the target does not run the quantization.

    Example:
        >>> Microseconds(200)
        Microseconds(200, quantization='int8', target='microcontroller')
    """


@dataclass(frozen=True)
class RelativeError:
    """A limit of the relative error that each layer may have by itself.

    In `dart_keras.compression.compress` it is the error of the layer's outputs on the calibration
    data, a root of mean squares, or without data the Frobenius error of its matrix. In
    `dart_keras.callbacks.RankDiscretization` it is the Frobenius error of its TT matrix: the
    tolerance is divided evenly among the bonds, so that it holds for any matrix (Oseledets 2011,
    "Tensor-train decomposition", corollary 2.4).

    Attributes:
        tolerance: The largest relative error, between 0 and 1.

    Raises:
        ValueError: If `tolerance` is not between 0 and 1.

    Example:
        >>> RelativeError(0.1)
        RelativeError(tolerance=0.1)
    """

    tolerance: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "tolerance", check_share("tolerance", self.tolerance))


@dataclass(frozen=True)
class LossIncrease:
    """A limit of the validation loss, relative to that of the model with larger ranks.

    For `dart_keras.callbacks.RankDiscretization`, in a `fit` with validation data. The ranks are
    the smallest with which the loss is at most `1 + share` times the least validation loss until
    then. Penalties do not count. For `dart_keras.compression.compress`, which trains nothing, give
    a size or `RelativeError`.

    Attributes:
        share: How much the loss may rise, above 0: 0.01 for one percent.

    Raises:
        ValueError: If `share` is not above 0.

    Example:
        >>> LossIncrease(0.01)
        LossIncrease(share=0.01)
    """

    share: float

    def __post_init__(self) -> None:
        if not is_number(self.share) or self.share <= 0:
            raise ValueError(
                f"Expected `share` of `LossIncrease` above 0. Received: share={self.share!r}"
            )
        object.__setattr__(self, "share", float(self.share))

    def limit_for(self, loss: float) -> float:
        """Return the largest loss that is allowed beside a loss.

        Args:
            loss: The loss of the larger model, which may be negative.
        """
        return loss + self.share * abs(loss)


ModelBudget = Parameters | MultiplyAdds | FlashBytes | ArenaBytes | RelativeError
"""The kinds of budgets that `dart_keras.compression.compress` takes."""

Budget = ModelBudget | Microseconds | LossIncrease
"""All kinds of budgets, as `dart_keras.callbacks.RankDiscretization` takes them."""


def __dir__() -> list[str]:
    return __all__
