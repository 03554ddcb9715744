"""Both commands on a made-up language, from text files to BLEU."""

import json

import pytest

from examples.language_model.architecture import Architecture
from examples.language_model.checkpoint import write_checkpoint
from examples.language_model.vocabulary import Vocabulary
from examples.translation import evaluate, train
from examples.translation.model import build_model
from tests.examples.translation import toy


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    data = tmp_path_factory.mktemp("translation")
    toy.write(data)
    return data


def command(data, run, **options):
    options = {
        "data-dir": data,
        "folder": run,
        "size": "tiny",
        "subwords": 60,
        "epochs": 4,
        "batch": 8,
        "learning-rate": 0.003,
        "dropout": 0,
        **options,
    }
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def results_of(data, model, beams):
    output = model.with_suffix(".json")
    options = {"data-dir": data, "model": model, "beams": beams, "output": output}
    assert evaluate.main([w for name, v in options.items() for w in (f"--{name}", str(v))]) == 0
    return json.loads(output.read_text())


def test_model_learns_the_language(data, tmp_path, capsys):
    assert train.main(command(data, tmp_path, layers="dense")) == 0
    for beams in (1, 3):
        results = results_of(data, tmp_path / "best.keras", beams)
        assert results["bleu"] > 90
        assert f"BLEU {results['bleu']:.2f} (nrefs:1|case:mixed|" in capsys.readouterr().out
        assert results["ranks"] == {}


def test_an_output_that_cannot_be_written_is_known_before(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "load_model", None)
    (tmp_path / "file").write_bytes(b"")
    options = {"data-dir": data, "model": tmp_path, "output": tmp_path / "file" / "bleu.json"}
    assert evaluate.main([w for name, v in options.items() for w in (f"--{name}", str(v))]) == 1
    assert "Cannot save to the folder: Not a directory" in capsys.readouterr().err


def test_model_is_truncated_and_other_settings_are_refused_in_its_folder(data, tmp_path, capsys):
    toy.write(tmp_path / "data", train=600)
    options = {
        "layers": "tt",
        "data-dir": tmp_path / "data",
        "epochs": 2,
        "embedding-rank": 16,
        "projection-rank": 16,
        "parameters": 12_000,
    }
    assert train.main(command(data, tmp_path / "run", **options)) == 0
    assert "Ranks truncated after 1 epochs" in capsys.readouterr().out
    results = results_of(data, tmp_path / "run" / "last.keras", 2)
    assert results["settings"]["parameters"] == 12_000
    assert 0 < results["table_parameters"] < 12_000 < results["parameters"] < 18_000
    # Neither count has the two position tables and two normalizations.
    others = 2 * 64 * 32 + 2 * 2 * 32
    counted = results["table_parameters"] + results["block_parameters"]
    assert counted == results["parameters"] - others
    assert {"table_1", "encoder_1_query", "decoder_1_source_key"} < set(results["ranks"])

    last = tmp_path / "run" / "last.keras"
    written = last.read_bytes()
    options["learning-rate"] = 0.1
    assert train.main(command(data, tmp_path / "run", **options)) == 1
    assert "Received: learning_rate=0.1 where the run has 0.003" in capsys.readouterr().err
    assert last.read_bytes() == written


def test_user_errors_take_one_line(data, tmp_path, capsys):
    assert train.main(command(data, tmp_path / "run", batch=1000)) == 1
    assert "at least one batch of 1000 rows" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    model = str(tmp_path / "none.keras")
    assert evaluate.main(["--data-dir", str(data), "--model", model]) == 1
    assert "none.keras, which does not exist" in capsys.readouterr().err


def test_file_of_another_model_is_refused(tmp_path):
    model = build_model(Architecture("tiny", "dense", 10))
    write_checkpoint(tmp_path / "other.keras", model, Vocabulary(["a"]), {"epoch": 1})
    with pytest.raises(ValueError, match=r"that `examples\.translation\.train` wrote"):
        evaluate.load_model(tmp_path / "other.keras")
