"""Decompositions that look at the weights alone and give every layer the same rank."""

import keras

from dart_keras.layers import TTDense


def plain_svd(model: keras.Model, parameters: int) -> keras.Model:
    """The kernel of each hidden layer as the two factors of its truncated SVD.

    Args:
        model: A Sequential model of `Dense` layers, the last of which stays.
        parameters: How many the result may have.
    """
    modes = [((layer.kernel.shape[0], 1), (1, layer.units)) for layer in model.layers[:-1]]
    return _at_one_rank(model, parameters, modes)


def tt_svd(model: keras.Model, parameters: int) -> keras.Model:
    """The kernel of each hidden layer as a tensor train of two cores of balanced modes.

    Args:
        model: A Sequential model of `Dense` layers, the last of which stays.
        parameters: How many the result may have.
    """
    return _at_one_rank(model, parameters, [(None, None)] * len(model.layers[:-1]))


def _at_one_rank(model: keras.Model, parameters: int, modes: list) -> keras.Model:
    *hidden, last = model.layers
    # Cores of two are as large as the rank says; at rank 1 there is nothing else in them.
    each = [_layer(*pair, 1) for pair in zip(hidden, modes, strict=True)]
    biases = sum(layer.units for layer in hidden)
    of_a_rank = sum(layer.count_params() for layer in each) - biases
    rank = max(1, (parameters - biases - last.count_params()) // of_a_rank)
    trains = [_layer(*pair, rank) for pair in zip(hidden, modes, strict=True)]
    copied = last.__class__.from_config(last.get_config())
    result = keras.Sequential([keras.Input(model.input_shape[1:]), *trains, copied])
    copied.set_weights(last.get_weights())
    return result


def _layer(layer: keras.layers.Dense, modes: tuple, rank: int) -> TTDense:
    inputs, outputs = modes
    return TTDense.from_dense(layer, ranks=rank, input_modes=inputs, output_modes=outputs)
