"""The parts of a transformer's block (Vaswani et al. 2017), with normalization in front of each.

KerasHub's blocks are not used because they make their projections themselves, which leaves no place
for tensor trains.
"""

import math
from typing import Any

import keras
from keras import ops

from examples.transformer.matrices import Projection

# Added to the scores of what is not to be seen; -1e9 would be too much for half precision.
HIDDEN = -1e4


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
    """A stream plus what its places attend to.

    Args:
        x: (batch, length, width).
        mask: What is added to the scores, 0 or `HIDDEN`: of a shape that broadcasts to
            (batch, heads, length, length of what is attended to).
        heads: How many attention heads, which share the width.
        projection: Makes the projections.
        dropout: The share of numbers left out of what is added.
        name: What the names of the layers begin with.
        memory: What is attended to, (batch, another length, width); `None` for the stream itself.
        last: How many of the last places go on, the others being only looked at; `None` for all.
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
    """A stream plus two layers of each of its places; arguments as for `attend`."""
    normalized = keras.layers.LayerNormalization(name=f"{name}_feed_forward_norm")(x)
    # Not GELU, which TensorFlow Lite Micro does not have.
    hidden = projection(normalized, inner, f"{name}_expand", "relu")
    return x + keras.layers.Dropout(dropout)(projection(hidden, x.shape[-1], f"{name}_contract"))


def _attention(query: Any, key: Any, value: Any, mask: Any, heads: int) -> Any:
    """Every place's mean of the values that its mask lets it see.

    Written in matrix products: what `ops.dot_product_attention` makes of its mask does not run on
    TensorFlow Lite Micro.
    """
    width = query.shape[-1] // heads

    def split(x: Any, order: tuple[int, ...]) -> Any:
        return ops.transpose(_reshape(x, heads, width), order)

    scores = ops.matmul(split(query, (0, 2, 1, 3)), split(key, (0, 2, 3, 1)))
    shares = ops.softmax(scores / math.sqrt(width) + ops.cast(mask, scores.dtype))
    outputs = ops.matmul(shares, split(value, (0, 2, 1, 3)))
    return _reshape(ops.transpose(outputs, (0, 2, 1, 3)), heads * width)


def _reshape(x: Any, *shape: int) -> Any:
    # Where the length is not known an operation cannot be told it; a layer finds it out, in further
    # operations that a model for a device can do without.
    if x.shape[1] is None:
        return keras.layers.Reshape((-1, *shape))(x)
    return ops.reshape(x, (-1, x.shape[1], *shape))
