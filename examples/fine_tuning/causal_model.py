"""Pretrained causal language models of KerasHub as plain Keras models, and their tokenizers."""

from typing import Any

import keras
import keras_hub


@keras.saving.register_keras_serializable("dart_keras_examples")
class TiedLlamaBackbone(keras_hub.models.LlamaBackbone):
    """A Llama whose output layer is its embedding, as its config says.

    KerasHub leaves that out of the config, so that a copy made of it would have another layer.
    """

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tie_word_embeddings": True}


def build_language_model(preset: str | None, precision: str = "float32") -> keras.Model:
    """Return a pretrained language model.

    Args:
        preset: Name or folder of a preset that `keras_hub.models.CausalLM` can load.
        precision: Its dtype policy.

    Returns:
        The model, from a dict of `token_ids` and `padding_mask`, both int32 of shape (windows,
        length), to logits of shape (windows, length, vocabulary).

    Raises:
        ValueError: If there is no such preset.
    """
    found = _from_preset(keras_hub.models.CausalLM, preset, preprocessor=None, dtype=precision)
    llama = keras_hub.models.LlamaBackbone
    if isinstance(found.backbone, llama) and found.backbone.tie_word_embeddings:
        config = {**found.backbone.get_config(), "tie_word_embeddings": True}
        tied = TiedLlamaBackbone.from_config(config)
        tied.set_weights(found.backbone.get_weights())
        found = type(found)(tied)
    # Without KerasHub's own ways to train it and to generate text.
    return keras.Model(found.input, found.output, name="language_model")


def tokenizer_of(preset: str | None) -> Any:
    """Return the tokenizer of a preset, from a list of texts to tokens of each.

    Raises:
        ValueError: If there is no such preset.
    """
    return _from_preset(keras_hub.tokenizers.Tokenizer, preset)


def _from_preset(kind: Any, preset: str | None, **options: Any) -> Any:
    try:
        return kind.from_preset(preset, **options)
    except ValueError as error:
        raise ValueError(
            "Expected --preset to be a folder or name of a causal language model that KerasHub "
            f"can load. Received: {preset!r}"
        ) from error
