import numpy as np
import pytest

from examples.fine_tuning.tasks import SENTENCE_TASKS, load_rows, scores
from tests.examples.fine_tuning.toy import write_rows


@pytest.mark.parametrize("task", SENTENCE_TASKS)
def test_files_of_every_task(task, tmp_path):
    rows = load_rows(task, write_rows(tmp_path, task, train=20), "train")
    assert {len(column) for column in rows.sentences} == {20}
    assert len(rows.sentences) == len(SENTENCE_TASKS[task].sentences)
    assert set(rows.labels.tolist()) == ({0, 0.5, 1} if task == "stsb" else {0, 1})
    assert rows.labels.dtype == ("float32" if task == "stsb" else "int32")


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("sst2", ["accuracy"]),
        ("mrpc", ["accuracy", "f1"]),
        ("stsb", ["spearman"]),
        ("cola", ["matthews"]),
        ("rte", ["accuracy"]),
    ],
)
def test_perfect_outputs_of_every_task(task, names, tmp_path):
    rows = load_rows(task, write_rows(tmp_path, task), "dev")
    outputs = rows.labels[:, None] if task == "stsb" else np.eye(2)[rows.labels]
    assert scores(task, rows, outputs) == pytest.approx(dict.fromkeys(names, 1.0))


def test_quotation_marks_are_part_of_a_sentence(tmp_path):
    (tmp_path / "dev.tsv").write_text('sentence\tlabel\n" he said\t1\nof "it\t0\n')
    rows = load_rows("sst2", tmp_path, "dev")
    assert rows.sentences == (['" he said', 'of "it'],)
    assert rows.labels.tolist() == [1, 0]


def test_rows_at_places(tmp_path):
    rows = load_rows("mrpc", write_rows(tmp_path, "mrpc"), "dev")
    chosen = rows.chosen(np.array([3, 1]))
    assert chosen.sentences[1] == [rows.sentences[1][3], rows.sentences[1][1]]
    assert chosen.labels.tolist() == [rows.labels[3], rows.labels[1]]


@pytest.mark.parametrize("task", ["cola", "rte"])
def test_missing_data_are_named_with_their_source(task, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"GLUE's .* \(gluebenchmark\.com/tasks\)"):
        load_rows(task, tmp_path, "train")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        load_rows(task, tmp_path / "none", "train")


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("sst2", "text\tlabel\na\t1\n", "the columns sentence and label"),
        ("sst2", "", "Received: \\[\\]"),
        ("sst2", "sentence\tlabel\n", "Expected rows in"),
        ("sst2", "sentence\tlabel\na\n", "row 1 with 1"),
        ("sst2", "sentence\tlabel\na\t1\nb\t2\n", "'2' in row 2"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\t5.5\n", "labels 0 to 5.0"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\tnan\n", "'nan' in row 1"),
        ("rte", "sentence1\tsentence2\tlabel\na\tb\tyes\n", "'entailment'"),
    ],
    ids=["column", "empty", "no rows", "short", "class", "range", "nan", "word"],
)
def test_damaged_files_are_refused(task, text, message, tmp_path):
    (tmp_path / "train.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_rows(task, tmp_path, "train")
