import json

import numpy as np
import pytest

from tests.tflite.raspberry_pi.conftest import ROWS

LABELS = [f"label {index}" for index in range(8)]


def test_best_classes_of_each_row(kit, saved, tmp_path):
    folder, artifact = saved("dense")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    command = ["classify", folder / "model.tflite", folder / "rows.npy", "--top", 2]
    command += ["--labels", tmp_path / "labels.txt"]
    rows = json.loads(kit(*command, "--json").out)["rows"]
    scores = artifact.predict(ROWS)
    assert len(rows) == len(scores)
    for row, expected in zip(rows, scores, strict=True):
        best = np.argsort(-expected, kind="stable")[:2]
        assert row == [
            {"class": int(k), "score": float(expected[k]), "label": LABELS[k]} for k in best
        ]
    first = rows[0][0]
    text = kit(*command).out
    assert text.startswith(f"0: {first['label']} {first['score']:.4g}, ")
    assert len(text.splitlines()) == 20


def test_top_above_the_number_of_classes_gives_all(kit, saved):
    folder, _ = saved("ids", "float32")
    done = kit("classify", folder / "model.tflite", folder / "rows.npy", "--top", 9, "--json")
    for row in json.loads(done.out)["rows"]:
        assert sorted(k["class"] for k in row) == [0, 1, 2, 3]
        assert all("label" not in k for k in row)


def test_labels_must_match_the_number_of_classes(kit, saved, tmp_path):
    folder, _ = saved("dense")
    labels = tmp_path / "labels.txt"
    command = ["classify", folder / "model.tflite", folder / "rows.npy", "--labels", labels]
    done = kit(*command)
    assert done.code == 1
    assert "labels.txt" in done.err
    labels.write_text("one\ntwo\n")
    done = kit(*command)
    assert done.code == 1
    assert done.err == f"Expected a label for each of 8 classes. Received: {labels} with 2\n"
    labels.write_bytes(b"\xff" * 8)
    done = kit(*command)
    assert done.code == 1
    assert done.err.startswith("Expected a text file in UTF-8. Received: ")


def test_model_that_is_no_classifier_is_refused(kit, saved):
    folder, _ = saved("pairs")
    done = kit("classify", folder / "model.tflite", folder / "rows.npz")
    assert done.code == 1
    assert "one output, of shape (classes,). Received: [(3,), (2,)]" in done.err


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_a_single_sigmoid_tells_two_classes(kit, saved, tmp_path, quantization):
    folder, artifact = saved("sigmoid", quantization)
    (tmp_path / "labels.txt").write_text("no\nyes\n")
    command = ["classify", folder / "model.tflite", folder / "rows.npy", "--json"]
    rows = json.loads(kit(*command, "--labels", tmp_path / "labels.txt").out)["rows"]
    for row, [probability] in zip(rows, artifact.predict(ROWS), strict=True):
        scores = {each["label"]: each["score"] for each in row}
        assert scores == pytest.approx({"yes": probability, "no": 1 - probability}, abs=1e-6)
        assert row[0]["label"] == ("yes" if probability > 0.5 else "no")


def test_a_single_output_beyond_probabilities_is_refused(kit, saved):
    folder, _ = saved("regression", "float32")
    done = kit("classify", folder / "model.tflite", folder / "rows.npy")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Expected a single output to be the probability of class 1")
