import pytest

from dart_keras.cli.file_access import check_inputs, check_outputs, write


def test_inputs_are_files_or_folders_that_exist(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    check_inputs(tmp_path / "file", tmp_path, None)
    with pytest.raises(FileNotFoundError, match="none"):
        check_inputs(tmp_path / "file", tmp_path / "none")


def test_outputs_are_files_that_can_be_written(tmp_path):
    check_outputs(tmp_path / "new" / "file", None)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder is a folder"):
        check_outputs(tmp_path / "folder")


def test_what_is_written_is_said(tmp_path, capsys):
    write(tmp_path / "new" / "file", bytes(1234))
    assert (tmp_path / "new" / "file").read_bytes() == bytes(1234)
    assert capsys.readouterr().out == f"wrote {tmp_path / 'new' / 'file'} (1,234 bytes)\n"
