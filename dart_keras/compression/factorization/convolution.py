import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from dart_keras.compression.factorization.moments import Moments
from dart_keras.compression.factorization.tucker import KernelError, rank_losses, tucker2
from dart_keras.utils.argument_checks import is_integer

ConvolutionRanks = tuple[int | None, int | None]
# Options are at most this many steps apart on each side.
_STEPS = 16

# What the middle and the last of the small convolutions take over from the layer.
_GEOMETRY = ("strides", "padding", "dilation_rate")
_ENDING = (
    "activation",
    "bias_initializer",
    "bias_regularizer",
    "bias_constraint",
    "activity_regularizer",
)


class ConvolutionOption(NamedTuple):
    """A factorization of a convolution.

    Attributes:
        ranks: (r_in, r_out), `None` where a side is whole.
        parameters: How many parameters the layer then has.
        error: With moments the share of the outputs' variance that is lost; without, the squared
            error of the kernel, relative to its squared Frobenius norm.
    """

    ranks: ConvolutionRanks
    parameters: int
    error: float


def reason_to_keep(layer: keras.Layer) -> str | None:
    """Why a layer cannot become smaller convolutions, or `None` if it can.

    Args:
        layer: Any Keras layer.

    Returns:
        A phrase for a report, such as "has groups=2".

    Example:
        >>> layer = keras.layers.Conv2D(8, 3, groups=2)
        >>> layer.build((None, 6, 6, 4))
        >>> reason_to_keep(layer)
        'has groups=2'
    """
    if not isinstance(layer, keras.layers.Conv2D):
        return "is no `keras.layers.Conv2D`"
    if not layer.built:
        return "is not built"
    if layer.groups != 1:
        return f"has groups={layer.groups}"
    if layer.data_format != "channels_last":
        return f"has data_format={layer.data_format!r}"
    if layer.quantization_mode is not None:
        return f"is quantized to {layer.quantization_mode!r}"
    if not np.all(np.isfinite(ops.convert_to_numpy(layer.kernel))):
        return "has NaN or infinite weights"
    return None


def patch_rows(layer: keras.layers.Conv2D, inputs: Any) -> np.ndarray:
    """Return the patches that a convolution multiplies by its kernel, as rows for `Moments`.

    Args:
        layer: A built `Conv2D`.
        inputs: Array of shape (batch, height, width, c_in).

    Returns:
        Array of shape (batch * output height * output width, k_h * k_w * c_in). Its product with
        the kernel as a matrix is the layer's output without bias and activation.

    Raises:
        ValueError: If the layer is one that `reason_to_keep` names a reason for.

    Example:
        >>> layer = keras.layers.Conv2D(8, 3, use_bias=False)
        >>> x = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
        >>> y = ops.convert_to_numpy(layer(x)).reshape(-1, 8)
        >>> kernel = ops.convert_to_numpy(layer.kernel).reshape(-1, 8)
        >>> bool(np.allclose(patch_rows(layer, x) @ kernel, y, atol=1e-4))
        True
    """
    _check(layer)
    patches = ops.image.extract_patches(
        inputs,
        layer.kernel_size,
        strides=layer.strides,
        dilation_rate=layer.dilation_rate,
        padding=layer.padding,
        data_format="channels_last",
    )
    return ops.convert_to_numpy(patches).reshape(-1, patches.shape[-1])


def factorize_convolution(
    layer: keras.layers.Conv2D, ranks: ConvolutionRanks, moments: Moments | None = None
) -> keras.Sequential:
    """Up to three smaller convolutions in the place of one, its Tucker-2 factorization.

    A 1 x 1 convolution to r_in channels, one with the layer's kernel size, strides, padding and
    dilation to r_out channels, and a 1 x 1 convolution to the outputs, with bias and activation
    (Kim et al. 2016, "Compression of deep convolutional neural networks for fast and low power
    mobile applications", section 3). Where a rank is `None`, that 1 x 1 convolution is missing. A
    1 x 1 convolution itself takes one rank, r_out.

    With moments the outputs, not the weights, are to keep little error, and the bias follows from
    the means. A regularizer or constraint of the kernel has no meaning for its factors and is not
    taken over.

    Args:
        layer: A built `Conv2D` with float weights, `groups=1` and channels last. It is left as it
            is.
        ranks: (r_in, r_out), at least one of them a positive integer. Ranks above what the kernel
            allows are clipped.
        moments: Of `patch_rows` of what the layer sees in the compressed model, and of the original
            layer's outputs before its activation, as rows; `None` to keep to the weights.

    Returns:
        A built model of the layer's name, for inputs of any height and width.

    Raises:
        ValueError: If the layer is one that `reason_to_keep` names a reason for, or the ranks or
            the moments do not fit to it.

    Example:
        >>> layer = keras.layers.Conv2D(64, 3, padding="same", activation="relu")
        >>> layer.build((None, 8, 8, 64))
        >>> small = factorize_convolution(layer, (16, 24))
        >>> layer.count_params(), small.count_params()
        (36928, 6080)
        >>> [tuple(part.kernel.shape) for part in small.layers]
        [(1, 1, 64, 16), (3, 3, 16, 24), (1, 1, 24, 64)]
    """
    _check(layer)
    input_rank, output_rank = _checked_ranks(layer, ranks)
    kernel = _kernel(layer)
    factors = tucker2(KernelError(kernel, moments), input_rank, output_rank)
    bias = ops.convert_to_numpy(layer.bias) if layer.use_bias else None
    if moments is not None:
        matrix = factors.to_dense().reshape(-1, layer.filters)
        bias = moments.target_mean - moments.input_mean @ matrix

    core = factors.core.reshape(*layer.kernel_size, *factors.core.shape[1:])
    sides = (factors.input_factor, factors.output_factor)
    first, last = (side if side is None else side[None, None] for side in sides)
    parts = [part for part in (first, core, last) if part is not None]
    layers = [
        keras.layers.Conv2D(
            part.shape[-1],
            part.shape[:2],
            data_format=layer.data_format,
            use_bias=part is parts[-1] and bias is not None,
            kernel_initializer=layer.kernel_initializer,
            name=f"{layer.name}_{k}",
            dtype=layer.dtype_policy,
            trainable=layer.trainable,
            **(_attributes(layer, _GEOMETRY) if part is core else {}),
            **(_attributes(layer, _ENDING) if part is parts[-1] else {}),
        )
        for k, part in enumerate(parts)
    ]
    inputs = keras.Input((None, None, kernel.shape[1]), dtype=layer.compute_dtype)
    model = keras.Sequential([inputs, *layers], name=layer.name)
    for each, part in zip(layers, parts, strict=True):
        each.kernel.assign(part)
    if bias is not None:
        layers[-1].bias.assign(bias)
    return model


def convolution_options(
    layer: keras.layers.Conv2D, moments: Moments | None = None
) -> list[ConvolutionOption]:
    """Return what a convolution costs and loses at different ranks, to allocate a budget by.

    Args:
        layer: A built `Conv2D` with float weights, `groups=1` and channels last.
        moments: As for `factorize_convolution`.

    Returns:
        Factorizations of more and more parameters and less error; the last one is the layer as it
        is, with ranks (None, None) and no error. `factorize_convolution` ends at these errors or
        below.

    Raises:
        ValueError: If the layer is one that `reason_to_keep` names a reason for, or the moments do
            not fit to it.

    Example:
        >>> layer = keras.layers.Conv2D(16, 3)
        >>> layer.build((None, 8, 8, 16))
        >>> convolution_options(layer)[-1]
        ConvolutionOption(ranks=(None, None), parameters=2320, error=0.0)
    """
    _check(layer)
    kernel = _kernel(layer)
    places, channels, filters = kernel.shape
    error = KernelError(kernel, moments)
    norm = float(np.sum(error.fitted**2)) or 1.0
    input_ranks = _candidates(channels) if places > 1 else [channels]
    if layer.strides[0] == 1 < layer.strides[1]:
        # With a single channel TensorFlow 2.21 computes outputs one column wide wrongly, by oneDNN
        # on processors with AVX-512.
        input_ranks = [rank for rank in input_ranks if rank > 1] or [channels]
    found = [((None, None), layer.count_params(), 0.0)]
    for input_rank, losses in zip(input_ranks, rank_losses(error, input_ranks), strict=True):
        sides = (None,) if input_rank == channels else (input_rank,)
        for output_rank in _candidates(len(losses)):
            ranks = (*sides, None if output_rank == filters else output_rank)
            if ranks != (None, None):
                lost = float(losses[output_rank - 1]) / norm
                found.append((ranks, _parameters(layer, ranks, moments is not None), lost))
    # What costs more than another factorization has to lose less.
    options: list[ConvolutionOption] = []
    for each in sorted(found, key=lambda each: each[1:]):
        if each[1] <= found[0][1] and (not options or each[2] < options[-1].error):
            options.append(ConvolutionOption(*each))
    return options


def _candidates(dimension: int) -> list[int]:
    step = math.ceil(dimension / _STEPS)
    return [*range(step, dimension, step), dimension]


def _parameters(layer: keras.layers.Conv2D, ranks: ConvolutionRanks, shifted: bool) -> int:
    *places, channels, filters = layer.kernel.shape
    inside, outside = ranks[0] or channels, ranks[1] or filters
    middle = math.prod(places) * inside * outside
    sides = (ranks[0] is not None) * channels * inside + (ranks[1] is not None) * outside * filters
    return middle + sides + filters * (layer.use_bias or shifted)


def _check(layer: keras.Layer) -> None:
    if (reason := reason_to_keep(layer)) is not None:
        raise ValueError(
            "Expected a built `keras.layers.Conv2D` with finite float weights, groups=1 and "
            f"data_format='channels_last'. Received: layer {layer.name!r}, which {reason}"
        )


def _checked_ranks(layer: keras.layers.Conv2D, ranks: ConvolutionRanks) -> ConvolutionRanks:
    places, channels, filters = _kernel(layer).shape
    sides = tuple(ranks) if isinstance(ranks, Sequence) else ()
    fits = len(sides) == 2 and all(r is None or (is_integer(r) and r > 0) for r in sides)
    if not fits or sides == (None, None) or (places == 1 and sides[0] is not None):
        raise ValueError(
            "Expected `ranks` (r_in, r_out) of positive integers or None, not both None, and r_in "
            f"None for a 1 x 1 convolution. Received: ranks={ranks!r}"
        )
    input_rank = sides[0] if sides[0] is None else min(sides[0], channels)
    widest = min(filters, places * (input_rank or channels))
    return input_rank, sides[1] if sides[1] is None else min(sides[1], widest)


def _kernel(layer: keras.layers.Conv2D) -> np.ndarray:
    kernel = np.asarray(ops.convert_to_numpy(layer.kernel), np.float64)
    return kernel.reshape(-1, *kernel.shape[2:])


def _attributes(layer: keras.layers.Conv2D, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in names}
