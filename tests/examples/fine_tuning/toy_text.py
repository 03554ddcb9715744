"""A tiny GPT-2 with random weights, and a text that it can learn at once."""

from pathlib import Path

import keras
import keras_hub
import numpy as np

_WORDS = ["red", "blue", "tall", "old", "cold"]


def write_causal_preset(folder: Path) -> Path:
    """Write a preset of one block, whose tokens are single characters and "old"."""
    keras.utils.set_random_seed(0)
    letters = sorted(set("".join(_WORDS)))
    tokens = ["<|endoftext|>", *letters, "Ġ", "Ċ", "ol", "old"]
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=len(tokens),
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        dropout=0.1,
        max_sequence_length=32,
    )
    for variable in backbone.trainable_variables:
        # Larger than at the start of a training, so that the outputs depend on the inputs.
        if "bias" not in variable.path and "layer_norm" not in variable.path:
            variable.assign(10 * variable)
    backbone.save_to_preset(str(folder))
    tokenizer = keras_hub.models.GPT2Tokenizer(
        vocabulary={token: at for at, token in enumerate(tokens)}, merges=["o l", "ol d"]
    )
    tokenizer.save_to_preset(str(folder))
    return folder


def write_text(folder: Path, lines: int = 60) -> Path:
    """Write `train.txt` and, of a quarter as many lines, `dev.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", lines), ("dev", lines // 4)):
        rng = np.random.default_rng(count)
        text = "".join(" ".join(rng.choice(_WORDS, 5)) + "\n" for _ in range(count))
        (folder / f"{part}.txt").write_text(text)
    return folder
