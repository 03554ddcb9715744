"""Every layer has the arguments of its Keras equivalents."""

import inspect

import keras
import pytest

from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding

LEFT_OUT = {
    # Of the matrix as a whole.
    *("kernel_regularizer", "kernel_constraint"),
    *("embeddings_regularizer", "embeddings_constraint", "weights"),
    # Another method to compress layers.
    *("lora_rank", "lora_alpha", "quantization_config", "gptq_unpacked_column_size"),
    # A table in another format.
    *("tie_weights", "reverse_dtype", "logit_soft_cap"),
}
RENAMED = {"kernel_initializer": "core_initializer"}
ADDED = {"ranks", "input_modes", "output_modes", "rank_regularizer"}
KERNEL = {"core_initializer", "contraction"}


@pytest.mark.parametrize(
    ("layer", "keras_layer", "added"),
    [
        (TTDense, keras.layers.Dense, KERNEL),
        # The Keras layer takes this as one of every layer's arguments.
        (TTEinsumDense, keras.layers.EinsumDense, {*KERNEL, "activity_regularizer"}),
        (TTEmbedding, keras.layers.Embedding, set()),
        (TTEmbedding, keras.layers.ReversibleEmbedding, set()),
    ],
)
def test_arguments_and_defaults_match_the_keras_layer(layer, keras_layer, added):
    ours, theirs = (inspect.signature(each).parameters for each in (layer, keras_layer))
    for name, parameter in theirs.items():
        if name not in LEFT_OUT:
            assert ours[RENAMED.get(name, name)].default == parameter.default, name
    assert set(ours) - set(theirs) == ADDED | added
    required = [
        name
        for name, parameter in theirs.items()
        if parameter.default is parameter.empty and parameter.kind != parameter.VAR_KEYWORD
    ]
    assert list(ours)[: len(required)] == required


def test_from_dense_has_the_same_arguments_everywhere():
    dense, *others = (
        list(inspect.signature(layer.from_dense).parameters.items())[1:]
        for layer in (TTDense, TTEinsumDense, TTEmbedding)
    )
    assert all(other == dense for other in others)
