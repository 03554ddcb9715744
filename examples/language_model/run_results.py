"""Results of a finished run: perplexities, sizes, ranks."""

import json
import re
from pathlib import Path
from typing import Any

import keras

import dart_keras as dk
from examples.language_model.checkpoint import read_state
from examples.language_model.checkpoint_callbacks import BEST
from examples.language_model.corpus import Corpus
from examples.language_model.evaluation import perplexity
from examples.language_model.settings import Settings
from examples.language_model.training import Outcome

RESULTS = "results.json"
# Names of the table's layers, and of the layers of any block.
_TABLE, _BLOCK = r"table(_|$)", r"[a-z]+_\d+_"


def write_results(
    settings: Settings, outcome: Outcome, corpus: Corpus, folder: Path
) -> dict[str, Any]:
    """Measure the final model of a run, and write `results.json` into its folder.

    Returns:
        The content of the file: the settings; the perplexities of the validation and test text at
        the end and, as `best_...`, after the epoch with the best validation perplexity; the
        parameters of the table (embedding and head), the blocks and the model; the ranks by
        layer; the truncations; the logs of every epoch.
    """
    at_end = _perplexities(outcome.model, corpus)
    results = {
        "settings": settings.to_json(),
        **at_end,
        **_best(outcome, corpus, folder, at_end),
        **sizes_of(outcome.model),
        "cuts": outcome.cuts,
        "history": outcome.history,
    }
    (folder / RESULTS).write_text(json.dumps(results, indent=1) + "\n")
    return results


def _perplexities(model: keras.Model, corpus: Corpus) -> dict[str, float]:
    return {
        "valid_perplexity": perplexity(model, corpus.valid),
        "test_perplexity": perplexity(model, corpus.test),
    }


def _best(
    outcome: Outcome, corpus: Corpus, folder: Path, at_end: dict[str, float]
) -> dict[str, Any]:
    epoch, last = read_state(folder / BEST)["epoch"], len(outcome.history)
    cut = outcome.cuts[-1]["epoch"] if outcome.cuts else 0
    if cut < epoch < last:
        found = _perplexities(keras.models.load_model(folder / BEST, compile=False), corpus)
    else:
        # After a truncation at the end, the last model is the only truncated one.
        epoch, found = last, at_end
    return {"best_epoch": epoch, **{f"best_{name}": value for name, value in found.items()}}


def sizes_of(model: keras.Model) -> dict[str, Any]:
    """Print the cost of a model layer by layer, and return its size.

    Returns:
        The parameters of the table (embedding and head), the blocks and the model, and the ranks by
        layer.
    """
    costs = dk.summary(model)

    def count(names: str) -> int:
        return sum(layer.parameters for layer in costs.layers if re.match(names, layer.name))

    return {
        "table_parameters": count(_TABLE),
        "block_parameters": count(_BLOCK),
        "parameters": costs.parameters,
        "ranks": {layer.name: layer.ranks for layer in costs.layers if layer.ranks},
    }
