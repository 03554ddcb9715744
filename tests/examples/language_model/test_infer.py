import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from examples.language_model import infer, train
from examples.language_model.evaluation import perplexity
from examples.language_model.sampling import make_sampler, sample
from examples.language_model.trained_model import TrainedModel
from examples.language_model.vocabulary import Vocabulary
from tests.examples.language_model.device_fixtures import BUDGET, tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory)


def arguments(data, model, *more):
    return ["--dataset", "ptb", "--data-dir", str(data), "--model", str(model), *more]


def fails(capsys, *args):
    assert infer.main(arguments(*args)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_perplexity_latency_and_sample_are_printed(run, capsys):
    prompt = ["--prompt", "the dog meows", "--words", "12", "--top-k", "3"]
    assert infer.main(arguments(*run, *prompt)) == 0
    lines = capsys.readouterr().out.splitlines()
    perplexities = re.findall(r"the (\w+) text: (.*)", "\n".join(lines))
    shown = {part: float(value) for part, value in perplexities}
    model, corpus = keras.models.load_model(run[1]), TrainedModel.read(run[1]).corpus("ptb", run[0])
    assert shown["test"] == pytest.approx(perplexity(model, corpus.test), abs=0.006)
    # Of the 25 words, few can follow one another.
    assert 1 < shown["validation"] < 15
    assert any(line.startswith("Latency of one word: ") for line in lines)
    # "meows" is not in the vocabulary.
    assert "the dog <unk>" in lines[4]


def test_next_word_model_has_the_weights_of_the_model(run):
    trained = TrainedModel.read(run[1])
    saved, last = keras.models.load_model(run[1]), trained.model(last_only=True)
    assert [w.shape for w in saved.weights] == [w.shape for w in last.weights]
    # It was truncated to the budget, with different ranks.
    tt_layers = [layer for layer in saved.layers if hasattr(layer, "ranks")]
    assert len({layer.ranks[1] for layer in tt_layers}) > 2
    assert sum(np.prod(core.shape) for layer in tt_layers for core in layer.cores) <= BUDGET
    windows = np.random.default_rng(0).integers(0, len(trained.vocabulary), (5, trained.length))
    expected = saved.predict(windows, verbose=0)
    assert np.allclose(last.predict(windows, verbose=0), expected[:, -1], atol=1e-5)
    assert np.allclose(trained.model().predict(windows, verbose=0), expected, atol=1e-5)


def test_samples_depend_on_their_seed_and_top_k(run):
    trained = TrainedModel.read(run[1])
    model, vocabulary = trained.model(last_only=True), trained.vocabulary

    def text(**how):
        return sample(model, vocabulary, make_sampler(**how), "my sister", 20)

    texts = [text(seed=1), text(seed=1), text(seed=2), text(seed=2, temperature=0.1, top_p=0.9)]
    assert texts[0] == texts[1] != texts[2] != texts[3]
    assert all(len(each.replace("\n", " . ").split()) == 22 for each in texts)
    # The likeliest words, one by one from the windows before them.
    ids = [*vocabulary.encode(["<eos>"] * trained.length + ["my", "sister"])]
    for _ in range(20):
        logits = model.predict_on_batch(np.array([ids[-trained.length :]], "int32"))
        ids.append(int(np.argmax(logits)))
    likeliest = " ".join(vocabulary.decode(ids[trained.length :])).replace(" <eos>", "\n")
    assert text(seed=0, top_k=1) == likeliest


def test_unknown_word_in_a_prompt_without_unk_is_refused(run):
    model = TrainedModel.read(run[1]).model(last_only=True)
    words = [f"word{i}" for i in range(10)]
    with pytest.raises(ValueError, match="'tree'"):
        sample(model, Vocabulary([*words, "<eos>"]), make_sampler(0), "word1 tree", 2)


def test_jax_predicts_the_same(run):
    command = [sys.executable, "-m", "examples.language_model.infer", *arguments(*run)]
    results = {}
    for backend in ("tensorflow", "jax"):
        if backend == "jax":
            pytest.importorskip("jax", reason="The backend is not installed.")
        result = subprocess.run(
            [*command, "--words", "8", "--top-k", "1"],
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        assert backend in result.stdout
        results[backend] = [line for line in result.stdout.splitlines() if "Latency" not in line][
            1:
        ]
    assert results["tensorflow"] == results["jax"]


def test_missing_or_unreadable_corpus_is_refused(run, tmp_path, capsys):
    assert "is not a folder" in fails(capsys, tmp_path / "none", run[1])
    data = tmp_path / "data"
    shutil.copytree(run[0], data)
    (data / "ptb.test.txt").write_text("")
    assert "empty file" in fails(capsys, data, run[1])
    (data / "ptb.test.txt").write_bytes(b"the \xff\xfe dog")
    assert "UTF-8" in fails(capsys, data, run[1])
    (data / "ptb.test.txt").unlink()
    assert "ptb.test.txt" in fails(capsys, data, run[1])
    # Training has the same errors.
    assert train.main(["--dataset", "ptb", "--data-dir", str(data)]) == 1
    assert "error: Expected a file ptb.test.txt" in capsys.readouterr().err


def test_data_set_with_other_words_is_refused(run, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(run[0], data)
    with (data / "ptb.train.txt").open("a") as file:
        file.write(" a tree \n")
    assert "that differ from word" in fails(capsys, data, run[1])


def test_files_that_train_did_not_write_are_refused(run, tmp_path, capsys):
    data, path = run
    assert "does not exist" in fails(capsys, data, tmp_path / "none.keras")
    other = tmp_path / "other.keras"
    other.write_bytes(b"")
    assert "train.py" in fails(capsys, data, other)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(other)
    assert "vocabulary.json" in fails(capsys, data, other)

    def rewrite(change):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                if name == "training.json":
                    state = json.loads(content)
                    change(state)
                    content = json.dumps(state)
                new.writestr(name, content)

    rewrite(lambda state: state.pop("settings"))
    assert "settings" in fails(capsys, data, other)
    rewrite(lambda state: state["settings"]["architecture"].update(size="huge"))
    assert "huge" in fails(capsys, data, other)
    for change in ({"size": "small"}, {"layers": "dense"}, {"layers": "low-rank"}):
        rewrite(lambda state, change=change: state["settings"]["architecture"].update(change))
        assert "another architecture" in fails(capsys, data, other)


@pytest.mark.parametrize("wrong", [["--words", "0"], ["--temperature", "0"], ["--top-p", "2"]])
def test_arguments_out_of_range_are_refused(run, wrong, capsys):
    with pytest.raises(SystemExit) as error:
        infer.main(arguments(*run, *wrong))
    assert error.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_top_k_above_the_vocabulary_size_is_refused(run, capsys):
    assert "--top-k" in fails(capsys, *run, "--top-k", "1000")
