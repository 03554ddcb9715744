"""What a finished run is worth: perplexities, sizes, ranks."""

import json
from pathlib import Path
from typing import Any

import keras

import dart_keras as dk
from examples.language_model.corpus import Corpus
from examples.language_model.evaluation import perplexity
from examples.language_model.settings import Settings
from examples.language_model.training import Outcome

RESULTS = "results.json"


def write_results(
    settings: Settings, outcome: Outcome, corpus: Corpus, folder: Path
) -> dict[str, Any]:
    """Measure the model that a run ended with, and write `results.json` into its folder.

    Returns:
        What the file holds: the settings; the perplexities of the validation and the test text;
        how many numbers the table, which is embedding and head, the projections and the model
        have; the ranks by layer; the cuts; the logs of every epoch.
    """
    results = {
        "settings": settings.to_json(),
        "valid_perplexity": perplexity(outcome.model, corpus.valid),
        "test_perplexity": perplexity(outcome.model, corpus.test),
        **sizes_of(outcome.model),
        "cuts": outcome.cuts,
        "history": outcome.history,
    }
    (folder / RESULTS).write_text(json.dumps(results, indent=1) + "\n")
    return results


def sizes_of(model: keras.Model) -> dict[str, Any]:
    """Print what a model costs layer by layer, and add it up.

    Returns:
        How many numbers the table, which is embedding and head, the blocks and the model have, and
        the ranks by layer.
    """
    costs = dk.summary(model)

    def count(kind: str) -> int:
        return sum(layer.parameters for layer in costs.layers if kind in layer.name)

    return {
        "table_parameters": count("table"),
        "block_parameters": count("block"),
        "parameters": costs.parameters,
        "ranks": {layer.name: layer.ranks for layer in costs.layers if layer.ranks},
    }
