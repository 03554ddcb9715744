"""Translation with a trained model."""

from collections.abc import Sequence
from typing import Any

import keras
import keras_hub
import numpy as np
from keras import ops

from examples.translation.subwords import END, PADDING, START, Subwords

_BATCH = 50
_NEVER = -1e9


def translate(
    model: keras.Model, subwords: Subwords, sentences: Sequence[str], beams: int = 1
) -> list[str]:
    """Translate sentences.

    Args:
        model: A model of `examples.translation.model.build_model`.
        subwords: Its subwords.
        sentences: English sentences.
        beams: Number of beams; 1 is greedy search.

    Returns:
        The German translations.

    Raises:
        ValueError: If a sentence is too long for the model.
    """
    limit = model.get_layer("source_positions").input_dim
    ids = subwords.encode(sentences)
    for sentence, words in zip(sentences, ids, strict=True):
        if len(words) >= limit:
            raise ValueError(
                f"Expected sentences of at most {limit - 1} subwords. Received: {len(words)} in "
                f"{sentence!r}"
            )
    translations: list[list[int]] = [[] for _ in ids]
    # Sorted by length, because a batch takes as long as its longest sentence.
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    parts = _parts(model)
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        longest = max(len(ids[i]) for i in chosen)
        source = np.full((len(chosen), longest + 1), PADDING, "int32")
        for row, i in zip(source, chosen, strict=True):
            row[: len(ids[i]) + 1] = [START, *ids[i]]
        # In Multi30k, no translation of more than ten subwords is twice as long as its source.
        decoded = _decode(parts, source, min(limit, 2 * longest + 10), beams)
        for row, i in zip(decoded, chosen, strict=True):
            translations[i] = _until_end(row)
    return subwords.decode(translations)


def _parts(model: keras.Model) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Return encoder, decoder and head, so that the head runs only on the last position."""
    source, target = model.inputs
    encoded, decoded = (model.get_layer(name).output for name in ("encoded", "decoded"))
    return (
        keras.Model(source, encoded),
        keras.Model([source, target, encoded], decoded),
        keras.Model(decoded, model.output),
    )


def _decode(
    parts: tuple[keras.Model, keras.Model, keras.Model], source: np.ndarray, length: int, beams: int
) -> np.ndarray:
    """Return ids (sentences, length) of translations from `START` to `END`; ignore the rest."""
    encoder, decoder, head = parts

    def next_logits(target: Any, cache: Any, index: Any) -> Any:
        source, encoded = cache
        decoded = decoder([source, target, encoded])
        logits = head(ops.take(decoded, [index - 1], axis=1))[:, 0]
        words = ops.arange(logits.shape[-1])
        logits = ops.where(words < END, _NEVER, logits)
        # After the end, padding has probability 1, so it does not change a beam's score.
        finished = ops.any(ops.equal(target, END), axis=1, keepdims=True)
        padding = ops.where(words == PADDING, 0.0, _NEVER)
        return ops.where(finished, padding, logits), None, cache

    sampler = (
        keras_hub.samplers.GreedySampler()
        if beams == 1
        else keras_hub.samplers.BeamSampler(num_beams=beams)
    )
    prompt = np.full((len(source), length), PADDING, "int32")
    prompt[:, 0] = START
    decoded = sampler(
        next_logits,
        ops.convert_to_tensor(prompt),
        cache=(ops.convert_to_tensor(source), encoder(source)),
        index=1,
        stop_token_ids=(END,),
    )
    return ops.convert_to_numpy(decoded)


def _until_end(ids: np.ndarray) -> list[int]:
    words = ids[1:].tolist()
    return words[: words.index(END)] if END in words else words
