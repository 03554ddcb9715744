"""Embeddings that compute the same as their int8 versions on a device."""

from collections.abc import Sequence
from typing import Any

import keras

from dart_keras.layers.planning import count_rows
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import set_mask
from dart_keras.quantization.lookups import TableLookup, TTLookup
from dart_keras.quantization.products import TTProducts
from dart_keras.quantization.quantized_layer import is_exporting
from dart_keras.quantization.ranges import ActivationQuantizer

Shape = Sequence[int | None]


@keras.saving.register_keras_serializable("dart_keras")
class QuantizedEmbedding(keras.layers.Wrapper):
    """An embedding that computes the same as its int8 version on a device.

    Its table or cores, the results of each product of a TT matrix and its outputs are rounded as in
    the file. Gradients ignore the rounding.

    Args:
        layer: A TT layer that is a table, such as a `TTEmbedding`, or an `Embedding`.
        target: The device, as for `dart_keras.deployment.convert`.
        lookup_shape: The shape of the ids that it looks up; None where it looks up none.
        reverse_shape: The shape of what a `TTEmbedding` is given with `reverse=True`; None where
            it never is.
    """

    def __init__(
        self,
        layer: Any,
        target: str,
        lookup_shape: Shape | None = None,
        reverse_shape: Shape | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(layer, **kwargs)
        self.target = target
        self.lookup_shape = lookup_shape
        self.reverse_shape = reverse_shape
        # As in TTEmbedding: float ids must not be rounded to half precision.
        self.autocast = False

    # As of the layer.
    is_table = True

    @property
    def input_dim(self) -> int:
        """Size of the vocabulary."""
        return self.layer.input_dim

    def build(self, input_shape: Any = None) -> None:
        """Create the layer's weights and the ranges."""
        if not self.layer.built:
            self.layer.build(input_shape)
        is_tt = isinstance(self.layer, TTLayer)
        self.quantizers: list[ActivationQuantizer] = []
        if self.lookup_shape is not None:
            self._lookup: Any = TTLookup(self, self.lookup_shape) if is_tt else TableLookup(self)
            self.quantizers += self._lookup.quantizers
            if not self._lookup.gives_range:
                self._rows = ActivationQuantizer(self, "rows")
                self.quantizers.append(self._rows)
        if self.reverse_shape is not None:
            vocabulary, width = self.layer.input_dim, self.layer.output_dim
            rows = count_rows(self.reverse_shape[1:]) // width
            self._products = TTProducts(self, self.reverse_shape, rows, vocabulary, reverse=True)
            self._logits = ActivationQuantizer(self, "logits")
            self.quantizers += [*self._products.quantizers, self._logits]
        self.built = True

    def call(self, inputs: Any, reverse: bool = False, training: bool | None = None) -> Any:
        """Return embeddings of ids, or logits over the vocabulary, as the device computes them."""
        final = is_exporting()
        if reverse:
            return self._logits(self._products(inputs, training, final), training, final)
        rows = self._lookup(inputs, training, final)
        if not self._lookup.gives_range:
            rows = self._rows(rows, training, final)
        if self.layer.mask_zero:
            set_mask(rows, keras.ops.not_equal(inputs, 0))
        return rows

    def compute_output_spec(
        self, inputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return the output spec of the wrapped layer."""
        return self.layer.compute_output_spec(inputs, **({"reverse": True} if reverse else {}))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        shapes = {"lookup_shape": self.lookup_shape, "reverse_shape": self.reverse_shape}
        return {**super().get_config(), "target": self.target, **shapes}
