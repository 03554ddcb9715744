import numpy as np
import pytest

from examples.language_model.corpus import END_OF_LINE, load_corpus
from examples.language_model.vocabulary import Vocabulary
from tests.examples.language_model.texts import write_texts


def write(folder, train="a b a\nc a\n", valid="a c\n", test="b\n", name="ptb.{}.txt"):
    for part, text in (("train", train), ("valid", valid), ("test", test)):
        path = folder / name.format(part)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_ids_are_ordered_by_frequency_and_lines_end_with_a_word(tmp_path):
    corpus = load_corpus("ptb", write(tmp_path))
    assert corpus.vocabulary.words == ["a", END_OF_LINE, "b", "c"]
    assert corpus.vocabulary.decode(corpus.train) == ["a", "b", "a", END_OF_LINE, "c", "a", "<eos>"]
    assert corpus.vocabulary.decode(corpus.test) == ["b", "<eos>"]
    assert corpus.train.dtype == np.int32


@pytest.mark.parametrize("name", ["wiki.{}.tokens", "{}.txt"])
@pytest.mark.parametrize("dataset", ["wikitext2", "wikitext103"])
def test_wikitext_files_under_either_name(tmp_path, dataset, name):
    corpus = load_corpus(dataset, write(tmp_path, name=name))
    assert len(corpus.vocabulary) == 4


def test_empty_lines_are_ends_of_lines(tmp_path):
    corpus = load_corpus("wikitext2", write(tmp_path, train=" \n a b c \n \n", name="{}.txt"))
    assert corpus.vocabulary.decode(corpus.train) == ["<eos>", "a", "b", "c", "<eos>", "<eos>"]


def test_unknown_word_becomes_unk(tmp_path):
    corpus = load_corpus("ptb", write(tmp_path, train="a <unk>\n", valid="new\n", test="a\n"))
    assert corpus.vocabulary.decode(corpus.valid) == ["<unk>", "<eos>"]


def test_unknown_word_without_unk_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"it has no '<unk>'.* Received: 'new' in line 2"):
        load_corpus("ptb", write(tmp_path, valid="a\na new\n"))


def test_given_vocabulary(tmp_path):
    vocabulary = Vocabulary(["<eos>", "<unk>", "a"])
    corpus = load_corpus("ptb", write(tmp_path), vocabulary)
    assert corpus.train.tolist() == [2, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("text", ["", "\n\n", "  \n"])
def test_empty_file_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match=r"Expected words in .*ptb.test.txt.*an empty file"):
        load_corpus("ptb", write(tmp_path, test=text))


def test_file_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ptb.train.txt to be text in UTF-8.*byte 0xff"):
        load_corpus("ptb", write(tmp_path, train=b"a b\n\xff\xfe"))


def test_missing_folder_and_missing_file_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="to be a folder with Mikolov's"):
        load_corpus("ptb", tmp_path / "nowhere")
    write(tmp_path)
    (tmp_path / "ptb.valid.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"a file ptb.valid.txt in .*'ptb.test.txt'"):
        load_corpus("ptb", tmp_path)


def test_made_up_texts_have_all_words(tmp_path):
    corpus = load_corpus("ptb", write_texts(tmp_path / "texts", words=7))
    assert len(corpus.vocabulary) == 9
