"""A tiny BERT with random weights, and rows that a model can learn at once."""

from pathlib import Path

import keras
import keras_hub
import numpy as np

from examples.fine_tuning.settings import Settings

GOOD, BAD = ["good", "fine", "great"], ["bad", "poor", "dull"]
_OTHERS = ["a", "film", "the", "was", "one", "it"]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_preset(folder: Path) -> Path:
    """Write a preset of two blocks."""
    keras.utils.set_random_seed(0)
    words = [*_SPECIAL, *GOOD, *BAD, *_OTHERS]
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(words),
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=32,
    )
    backbone.save_to_preset(str(folder))
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=words, lowercase=True)
    tokenizer.save_to_preset(str(folder))
    return folder


def write_rows(folder: Path, task: str, train: int = 160, dev: int = 32) -> Path:
    """Write `train.tsv` and `dev.tsv` of a task."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("dev", dev)):
        rng = np.random.default_rng(count)
        rows = [_row(task, rng) for _ in range(count)]
        header = [] if task == "cola" else [_HEADERS.get(task, "sentence\tlabel")]
        (folder / f"{part}.tsv").write_text("\n".join([*header, *rows]) + "\n")
    return folder


_HEADERS = {
    "mrpc": "sentence1\tsentence2\tlabel",
    "stsb": "index\tsentence1\tsentence2\tscore",
    "rte": "index\tsentence1\tsentence2\tlabel",
}


def _row(task: str, rng: np.random.Generator) -> str:
    labels = [int(each) for each in rng.integers(2, size=2)]
    first, second = (_sentence(rng, label) for label in labels)
    # Not whether both sentences are of one kind, which a tiny model does not learn so fast.
    return {
        "sst2": f"{first}\t{labels[0]}",
        "cola": f"gj04\t{labels[0]}\t\t{first}",
        "mrpc": f"{first}\t{second}\t{labels[0]}",
        "stsb": f"0\t{first}\t{second}\t{2.5 * sum(labels)}",
        "rte": f"0\t{first}\t{second}\t{'not_' * labels[0]}entailment",
    }[task]


def _sentence(rng: np.random.Generator, label: int) -> str:
    words = [*rng.choice(_OTHERS, rng.integers(2, 6)), rng.choice(GOOD if label else BAD)]
    return " ".join(rng.permutation(words))


def toy_settings(preset, **changes):
    """Return settings of a run on such a preset."""
    values = {
        "task": "sst2",
        "preset": preset,
        "method": "TTLoRA",
        "rank": 4,
        "alpha": None,
        "layers": ("query", "value"),
        "learning_rate": 1e-3,
        "epochs": 1,
        "batch": 8,
        "length": 16,
        "precision": "float32",
        "limit": None,
        "seed": 0,
        "parameters": None,
        "loss_increase": None,
    }
    return Settings(**{**values, **changes})
