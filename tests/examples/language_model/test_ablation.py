import csv
import sys
from dataclasses import replace

import numpy as np
import pytest

from examples.language_model import ablation
from examples.language_model.arguments import run_parser, settings_from
from tests.examples.language_model.texts import write_texts

RUN = [
    "--dataset",
    "ptb",
    "--size",
    "tiny",
    "--epochs",
    "2",
    "--batch",
    "4",
    "--strength",
    "0.02",
]
RANKS = ["--embedding-rank", "8", "--projection-rank", "8", "--threshold", "0.5"]


@pytest.fixture
def base(tmp_path):
    arguments = [*RUN, *RANKS, "--data-dir", str(tmp_path)]
    return settings_from(run_parser(None, "x").parse_args(arguments), vocabulary=60)


@pytest.mark.parametrize("study", ["phases", "strength", "threshold", "dense-equivalent", "seeds"])
def test_runs_of_a_study_differ_and_include_the_base(base, study):
    runs = ablation.STUDIES[study](base, None)
    assert len({ablation._name(settings) for settings in runs.values()}) == len(runs)
    assert base in runs.values()


def test_dense_equivalent_does_not_depend_on_the_truncation(base):
    other = replace(base, strength=0.5, selection="budget", parameters=100, cut_epoch=2)
    dense, others = (ablation.seeds(each, None)["dense_1"] for each in (base, other))
    assert dense == others
    assert (dense.architecture.layers, dense.seed) == ("dense", 1)
    assert ablation.dense_comparison(base, None)["dense"] == replace(dense, seed=base.seed)


def test_what_would_fail_after_a_study_fails_before(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ablation, "load_corpus", None)
    (tmp_path / "file").write_bytes(b"")
    results = ["--data-dir", str(tmp_path), "--results", str(tmp_path / "file" / "results")]
    assert ablation.main([*RUN, *results]) == 1
    assert "Cannot save to the folder: Not a directory" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert ablation.main([*RUN, *results[:3], str(tmp_path / "results")]) == 1
    assert 'pip install "dart-keras[plots]"' in capsys.readouterr().err


def test_sweep_writes_results_and_does_not_repeat_runs(tmp_path, monkeypatch):
    texts = write_texts(tmp_path / "texts", lines=60)
    studies = {
        "strength": lambda base, _: {
            "a": base,
            "b_1": replace(base, strength=0.0, seed=1),
            "b_2": replace(base, strength=0.0, seed=2),
        }
    }
    monkeypatch.setattr(ablation, "STUDIES", studies)
    arguments = [
        *(*RUN, *RANKS, "--data-dir", str(texts), "--folder", str(tmp_path / "runs")),
        *("--study", "strength", "--results", str(tmp_path / "results")),
    ]
    ablation.main(arguments)
    table = tmp_path / "results" / "strength.csv"
    rows = list(csv.DictReader(table.open()))
    assert [(row["run"], row["strength"]) for row in rows] == [
        ("a", "0.02"),
        ("b_1", "0.0"),
        ("b_2", "0.0"),
    ]
    assert all(1 < float(row["test_perplexity"]) < 60 for row in rows)
    assert all(row["cut_epoch"] == "1" for row in rows)
    assert (tmp_path / "results" / "strength.png").stat().st_size > 10_000

    _, *seeds = [float(row["test_perplexity"]) for row in rows]
    a, b = csv.DictReader((tmp_path / "results" / "strength_means.csv").open())
    assert (a["run"], a["runs"], a["test_perplexity_deviation"]) == ("a", "1", "0.00")
    assert (b["run"], b["runs"]) == ("b", "2")
    assert float(b["test_perplexity_mean"]) == pytest.approx(np.mean(seeds), abs=0.01)
    assert float(b["test_perplexity_deviation"]) == pytest.approx(np.std(seeds, ddof=1), abs=0.02)

    before = table.read_text()
    monkeypatch.setattr(ablation, "train", None)
    ablation.main(arguments)
    assert table.read_text() == before
