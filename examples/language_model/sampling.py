"""Text samples from a model."""

from typing import Any

import keras
import keras_hub
import numpy as np
from keras import ops

from examples.language_model.corpus import END_OF_LINE
from examples.language_model.vocabulary import Vocabulary


def make_sampler(
    seed: int, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> keras_hub.samplers.Sampler:
    """Return a sampler of the next word.

    Args:
        seed: Random seed; the same seed gives the same words.
        temperature: Divisor of the logits; below 1, likely words become likelier.
        top_k: Number of the likeliest words to sample from; `None` for all.
        top_p: Total probability of the likeliest words to sample from; `None` for all.
    """
    if top_p is not None:
        return keras_hub.samplers.TopPSampler(top_p, top_k, seed, temperature=temperature)
    if top_k is not None:
        return keras_hub.samplers.TopKSampler(top_k, seed, temperature=temperature)
    return keras_hub.samplers.RandomSampler(seed, temperature=temperature)


def sample(
    model: keras.Model,
    vocabulary: Vocabulary,
    sampler: keras_hub.samplers.Sampler,
    prompt: str,
    count: int,
) -> str:
    """Continue a text.

    Args:
        model: From int32 (batch, length) to the logits (batch, vocabulary) of the next word.
        vocabulary: Words of the model.
        sampler: A sampler of `make_sampler`.
        prompt: Words separated by spaces.
        count: Number of words to add.

    Returns:
        The prompt followed by the new words.

    Raises:
        ValueError: If the prompt has a word that is not in the vocabulary, which has no `<unk>`.
    """
    try:
        ids = vocabulary.encode(prompt.split())
    except KeyError as error:
        raise ValueError(
            f"Expected only words of the model's vocabulary ({len(vocabulary):,} words) in the "
            f"prompt. Received: {error.args[0]!r}"
        ) from error
    length = model.input_shape[1]
    # A text starts after the end of a line.
    before = np.resize(vocabulary.encode([END_OF_LINE]), length)
    start = length + len(ids)
    words = np.concatenate([before, ids, np.zeros(count, "int32")])[None]

    def next_word(words: Any, cache: Any, index: Any) -> tuple[Any, None, Any]:
        window = ops.slice(words, (0, index - length), (1, length))
        return model(window, training=False), None, cache

    def run(words: Any) -> Any:
        return sampler(next_word, words, index=start, model=model)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Ten times as fast as one call per word. On JAX, KerasHub compiles the loop itself.
        run = tf.function(run)
    made = ops.convert_to_numpy(run(ops.convert_to_tensor(words)))
    return " ".join(vocabulary.decode(made[0, length:])).replace(f" {END_OF_LINE}", "\n")
