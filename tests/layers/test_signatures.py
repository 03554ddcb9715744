"""Every layer takes what its twins in Keras take."""

import inspect

import keras
import pytest

from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding

LEFT_OUT = {
    # Of the matrix as a whole.
    *("kernel_regularizer", "kernel_constraint"),
    *("embeddings_regularizer", "embeddings_constraint", "weights"),
    # Another way to make layers small.
    *("lora_rank", "lora_alpha", "quantization_config", "gptq_unpacked_column_size"),
    # A table in another form.
    *("tie_weights", "reverse_dtype", "logit_soft_cap"),
}
RENAMED = {"kernel_initializer": "core_initializer"}
ADDED = {"ranks", "input_modes", "output_modes", "rank_regularizer"}
KERNEL = {"core_initializer", "contraction"}


@pytest.mark.parametrize(
    ("layer", "twin", "added"),
    [
        (TTDense, keras.layers.Dense, KERNEL),
        # Its twin takes this one with those that every layer has.
        (TTEinsumDense, keras.layers.EinsumDense, {*KERNEL, "activity_regularizer"}),
        (TTEmbedding, keras.layers.Embedding, set()),
        (TTEmbedding, keras.layers.ReversibleEmbedding, set()),
    ],
)
def test_arguments_and_defaults_are_those_of_the_twin(layer, twin, added):
    ours, theirs = (inspect.signature(each).parameters for each in (layer, twin))
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


def test_from_dense_takes_the_same_everywhere():
    dense, *others = (
        list(inspect.signature(layer.from_dense).parameters.items())[1:]
        for layer in (TTDense, TTEinsumDense, TTEmbedding)
    )
    assert all(other == dense for other in others)
