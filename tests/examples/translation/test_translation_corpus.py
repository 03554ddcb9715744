import pytest

from examples.translation.corpus import load_corpus
from tests.examples.translation import toy


def test_lines_of_both_languages_are_paired(tmp_path):
    toy.write(tmp_path, train=20)
    corpus = load_corpus(tmp_path)
    assert (corpus.train.sources, corpus.train.targets) == toy.sentences(20, 0)
    assert (corpus.valid.sources, corpus.valid.targets) == toy.sentences(50, 1)
    assert (corpus.test.sources, corpus.test.targets) == toy.sentences(50, 2)


def test_errors_name_unreadable_files(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"Multi30k.* Received: .*nowhere, which is not a folder"
    ):
        load_corpus(tmp_path / "nowhere")
    toy.write(tmp_path, train=20)
    path = tmp_path / "val.de"
    lines = path.read_text(encoding="utf-8")
    path.write_text(lines + "eins\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"as many lines in .*val\.en .* Received: 50 and 51"):
        load_corpus(tmp_path)
    path.write_text("\n" * 50)
    with pytest.raises(ValueError, match=r"Expected words in .*val\.de"):
        load_corpus(tmp_path)
    path.write_bytes(b"f\xfcnf\n")
    with pytest.raises(ValueError, match=r"val\.de to be text in UTF-8. Received: byte 0xfc"):
        load_corpus(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"Expected a file val\.de in "):
        load_corpus(tmp_path)
