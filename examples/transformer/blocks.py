"""Parts of a transformer block (Vaswani et al. 2017) with pre-normalization.

KerasHub's blocks are not used, because they create their own projections, which leaves no place for
TT layers.
"""

import math
from typing import Any

import keras
from keras import ops

from examples.transformer.matrices import Projection

# Added to masked attention scores; -1e9 would overflow in half precision.
MASKED = -1e4


def attend(
    x: Any,
    mask: Any,
    heads: int,
    projection: Projection,
    dropout: float,
    name: str,
    memory: Any = None,
    last: int | None = None,
) -> Any:
    """Return a residual stream plus its attention output.

    Args:
        x: The stream, (batch, length, width).
        mask: Added to the scores, 0 or `MASKED`, of a shape that broadcasts to
            (batch, heads, length, memory length).
        heads: Number of attention heads, which share the width.
        projection: Makes the projections.
        dropout: Dropout rate of the output.
        name: Prefix of the layer names.
        memory: The sequence to attend to, (batch, memory length, width); `None` for the stream.
        last: Number of last positions to return; `None` for all.
    """
    width = x.shape[-1]
    normalized = keras.layers.LayerNormalization(name=f"{name}_attention_norm")(x)
    memory = normalized if memory is None else memory
    if last is not None:
        x, normalized, mask = x[:, -last:], normalized[:, -last:], mask[..., -last:, :]
    query, key, value = (
        projection(inputs, width, f"{name}_{part}")
        for inputs, part in ((normalized, "query"), (memory, "key"), (memory, "value"))
    )
    attended = _attention(query, key, value, mask, heads)
    return x + keras.layers.Dropout(dropout)(projection(attended, width, f"{name}_attention"))


def feed_forward(x: Any, inner: int, projection: Projection, dropout: float, name: str) -> Any:
    """Return a stream plus its feed-forward output; arguments as for `attend`."""
    normalized = keras.layers.LayerNormalization(name=f"{name}_feed_forward_norm")(x)
    # Not GELU, which TensorFlow Lite Micro lacks.
    hidden = projection(normalized, inner, f"{name}_expand", "relu")
    return x + keras.layers.Dropout(dropout)(projection(hidden, x.shape[-1], f"{name}_contract"))


def _attention(query: Any, key: Any, value: Any, mask: Any, heads: int) -> Any:
    """Return the attention-weighted mean of the values at every position.

    Written in matrix products, because `ops.dot_product_attention` handles its mask with operators
    that TensorFlow Lite Micro lacks.
    """
    width = query.shape[-1] // heads

    def split(x: Any, order: tuple[int, ...]) -> Any:
        return ops.transpose(_reshape(x, heads, width), order)

    scores = ops.matmul(split(query, (0, 2, 1, 3)), split(key, (0, 2, 3, 1)))
    weights = ops.softmax(scores / math.sqrt(width) + ops.cast(mask, scores.dtype))
    outputs = ops.matmul(weights, split(value, (0, 2, 1, 3)))
    return _reshape(ops.transpose(outputs, (0, 2, 1, 3)), heads * width)


def _reshape(x: Any, *shape: int) -> Any:
    # With an unknown length, a layer finds it out at run time. A model for a device has a fixed
    # length and needs no such operations.
    if x.shape[1] is None:
        return keras.layers.Reshape((-1, *shape))(x)
    return ops.reshape(x, (-1, x.shape[1], *shape))
