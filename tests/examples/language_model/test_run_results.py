import json
from dataclasses import replace

import pytest

from examples.language_model.checkpoint import write_checkpoint
from examples.language_model.checkpoint_callbacks import BEST
from examples.language_model.evaluation import perplexity
from examples.language_model.model import build_model
from examples.language_model.run_results import RESULTS, write_results
from examples.language_model.training import Outcome, compile_model
from tests.examples.language_model.test_checkpoint_callbacks import SETTINGS
from tests.examples.language_model.texts import small_corpus


@pytest.mark.parametrize(
    ("cuts", "epoch"),
    [([], 1), ([{"epoch": 1}], 2)],
    ids=["model of an earlier epoch", "no model from before the truncation"],
)
def test_best_model_differs_from_the_last(tmp_path, cuts, epoch):
    corpus = small_corpus(tmp_path / "texts")
    architecture = replace(SETTINGS.architecture, vocabulary=len(corpus.vocabulary))
    best, last = (build_model(architecture) for _ in range(2))
    compile_model(best, SETTINGS, steps=1)
    write_checkpoint(tmp_path / BEST, best, corpus.vocabulary, {"epoch": 1})
    history = [{"val_perplexity": value} for value in (50.0, 60.0)]
    results = write_results(SETTINGS, Outcome(last, history, cuts), corpus, tmp_path)
    assert json.loads((tmp_path / RESULTS).read_text())["best_epoch"] == epoch
    of_each = [perplexity(model, corpus.test) for model in (best, last)]
    assert of_each[0] != pytest.approx(of_each[1], rel=1e-3)
    assert results["test_perplexity"] == pytest.approx(of_each[1], rel=1e-5)
    assert results["best_test_perplexity"] == pytest.approx(of_each[epoch - 1], rel=1e-5)
