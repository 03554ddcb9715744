"""Text that a model makes up."""

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
    """A way to choose the next word.

    Args:
        seed: The same one chooses the same words.
        temperature: What logits are divided by; below 1, likely words become likelier.
        top_k: Among how many of the likeliest words to choose; `None` for all.
        top_p: Among how many of them, by the share of the probability that they have together.
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
    """Goes on with a text.

    Args:
        model: From int32 (batch, length) to the logits (batch, vocabulary) of the next word.
        vocabulary: Its words.
        sampler: As `make_sampler` makes it.
        prompt: Words and spaces between them.
        count: How many words to add.

    Returns:
        The prompt and the words behind it.

    Raises:
        ValueError: If a word is not known and the vocabulary has no `<unk>`.
    """
    try:
        ids = vocabulary.encode(prompt.split())
    except KeyError as error:
        raise ValueError(
            f"Expected words of the vocabulary of {len(vocabulary):,} words in the prompt. "
            f"Received: {error.args[0]!r}"
        ) from error
    length = model.input_shape[1]
    # A text begins behind the end of a line.
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

        # Else word by word, which takes ten times as long. On JAX, KerasHub compiles the loop.
        run = tf.function(run)
    made = ops.convert_to_numpy(run(ops.convert_to_tensor(words)))
    return " ".join(vocabulary.decode(made[0, length:])).replace(f" {END_OF_LINE}", "\n")
