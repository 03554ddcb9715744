from dart_keras.layers.tt_dense import TTDense
from dart_keras.layers.tt_einsum_dense import TTEinsumDense
from dart_keras.layers.tt_embedding import TTEmbedding

__all__ = ["TTDense", "TTEinsumDense", "TTEmbedding"]


def __dir__() -> list[str]:
    return __all__
