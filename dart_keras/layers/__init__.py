from dart_keras.layers.tt_dense import TTDense
from dart_keras.layers.tt_einsum_dense import TTEinsumDense
from dart_keras.layers.tt_embedding import TTEmbedding
from dart_keras.layers.tt_kernel_layer import TTKernelLayer
from dart_keras.layers.tt_layer import TTLayer

__all__ = ["TTDense", "TTEinsumDense", "TTEmbedding", "TTKernelLayer", "TTLayer"]


def __dir__() -> list[str]:
    return __all__
