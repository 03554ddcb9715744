"""Translating with a trained model."""

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
        model: As `examples.translation.model.build_model` makes it.
        subwords: What its sentences are made of.
        sentences: In English.
        beams: How many beginnings of a translation to follow at once; 1 to take the likeliest
            subword each time.

    Returns:
        The sentences in German.

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
    # By length, because a batch takes as long as its longest sentence.
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    parts = _parts(model)
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        longest = max(len(ids[i]) for i in chosen)
        source = np.full((len(chosen), longest + 1), PADDING, "int32")
        for row, i in zip(source, chosen, strict=True):
            row[: len(ids[i]) + 1] = [START, *ids[i]]
        # Of Multi30k's translations, none of more than ten subwords is twice as long.
        decoded = _decode(parts, source, min(limit, 2 * longest + 10), beams)
        for row, i in zip(decoded, chosen, strict=True):
            translations[i] = _until_end(row)
    return subwords.decode(translations)


def _parts(model: keras.Model) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Encoder, decoder and head, which a step of decoding need not all run over the whole rows."""
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
    """Ids (sentences, length) of translations, each from `START` to `END` and anything after it."""
    encoder, decoder, head = parts

    def next_logits(target: Any, cache: Any, index: Any) -> Any:
        source, encoded = cache
        decoded = decoder([source, target, encoded])
        logits = head(ops.take(decoded, [index - 1], axis=1))[:, 0]
        words = ops.arange(logits.shape[-1])
        logits = ops.where(words < END, _NEVER, logits)
        # What comes after the end is certain, so that it costs a finished beam nothing.
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
