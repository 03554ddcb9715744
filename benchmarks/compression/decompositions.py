"""Decompositions by the weights alone, with the same rank for every layer."""

import keras

from dart_keras.layers import TTDense


def plain_svd(model: keras.Model, parameters: int) -> keras.Model:
    """Factorize the kernel of each hidden layer by truncated SVD.

    Args:
        model: Sequential model of `Dense` layers; the last one is kept.
        parameters: Maximum number of parameters of the result.
    """
    modes = [((layer.kernel.shape[0], 1), (1, layer.units)) for layer in model.layers[:-1]]
    return _at_one_rank(model, parameters, modes)


def tt_svd(model: keras.Model, parameters: int) -> keras.Model:
    """Factorize the kernel of each hidden layer as a TT matrix of two cores with balanced modes.

    Args:
        model: Sequential model of `Dense` layers; the last one is kept.
        parameters: Maximum number of parameters of the result.
    """
    return _at_one_rank(model, parameters, [(None, None)] * len(model.layers[:-1]))


def _at_one_rank(model: keras.Model, parameters: int, modes: list) -> keras.Model:
    *hidden, last = model.layers
    # The size of two cores is proportional to the rank, so rank 1 gives the size per rank.
    each = [_layer(*pair, 1) for pair in zip(hidden, modes, strict=True)]
    biases = sum(layer.units for layer in hidden)
    of_a_rank = sum(layer.count_params() for layer in each) - biases
    rank = max(1, (parameters - biases - last.count_params()) // of_a_rank)
    layers = [_layer(*pair, rank) for pair in zip(hidden, modes, strict=True)]
    copied = last.__class__.from_config(last.get_config())
    result = keras.Sequential([keras.Input(model.input_shape[1:]), *layers, copied])
    copied.set_weights(last.get_weights())
    return result


def _layer(layer: keras.layers.Dense, modes: tuple, rank: int) -> TTDense:
    inputs, outputs = modes
    return TTDense.from_dense(layer, ranks=rank, input_modes=inputs, output_modes=outputs)
