import pytest

from tests.examples.fine_tuning.toy import write_preset, write_rows


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    return str(write_preset(tmp_path_factory.mktemp("preset")))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("sst2"), "sst2")
