import json

import keras
import numpy as np
import pytest

from examples.language_model import convert
from examples.language_model.corpus import load_corpus
from examples.language_model.evaluation import contexts, next_word_perplexity
from tests.examples.language_model.device_fixtures import tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory)


def arguments(data, model, *more):
    return ["--data-dir", str(data), "--model", str(model), *more]


def test_both_files_predict_as_keras_does(run, tmp_path, capsys):
    sizes = ["--words", "300", "--tflm-words", "60", "--windows", "40"]
    assert convert.main(arguments(*run, "--folder", str(tmp_path), *sizes)) == 0
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert [(r["runtime"], r["words"]) for r in results] == [("litert", 300), ("tflm", 60)]
    model, corpus = keras.models.load_model(run[1]), load_corpus("ptb", run[0])
    for result in results:
        folder = tmp_path / result["target"]
        assert result["flash_bytes"] == (folder / "model.tflite").stat().st_size
        # Expected perplexity: by hand, from the whole Keras model.
        padding = corpus.vocabulary.words.index("<eos>")
        losses = []
        for place in range(result["words"]):
            before = corpus.test[max(0, place - 16) : place]
            window = np.concatenate([np.full(16 - len(before), padding, "int32"), before])
            losses.append((window, corpus.test[place]))
        logits = model.predict(np.array([w for w, _ in losses]), verbose=0)[:, -1]
        shares = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
        labels = [label for _, label in losses]
        expected = np.exp(-np.mean(np.log(shares[np.arange(len(labels)), labels])))
        assert result["perplexity_keras"] == pytest.approx(expected, rel=1e-4)
        assert abs(result["difference_percent"]) < 3
        assert result["microseconds"] > 0
    assert results[0]["arena_bytes"] is None
    assert results[1]["arena_bytes"] > 1000
    assert (tmp_path / "microcontroller" / "model.cc").exists()
    assert (tmp_path / "vocabulary.txt").read_text().splitlines() == corpus.vocabulary.words
    assert "tflm" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_known_before(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(convert, "convert_for", None)
    (tmp_path / "file").write_bytes(b"")
    assert convert.main(arguments(*run, "--folder", str(tmp_path / "file" / "out"))) == 1
    assert "Cannot save to the folder: Not a directory" in capsys.readouterr().err


def test_contexts_are_the_words_before_each_word():
    rows, labels = contexts(np.arange(1, 6, dtype="int32"), 3, 4, 0)
    assert rows.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]]
    assert labels.tolist() == [1, 2, 3, 4]


def test_perplexity_of_equal_logits_is_the_number_of_words():
    rows, labels = contexts(np.arange(700, dtype="int32") % 7, 2, 1000, 0)
    assert len(labels) == 700
    result = next_word_perplexity(lambda rows: np.zeros((len(rows), 7), "float32"), rows, labels)
    assert result == pytest.approx(7, rel=1e-4)


def test_errors_take_one_line(run, tmp_path, capsys):
    assert convert.main(arguments(run[0], tmp_path / "none.keras")) == 1
    assert convert.main(arguments(tmp_path / "none", run[1])) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("convert.py: error: Expected") for line in lines)
