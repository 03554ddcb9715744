import pytest

from dart_keras.utils.optional_imports import import_extra, require


@pytest.mark.parametrize("extra", ["deployment", "plots"])
def test_a_missing_package_comes_with_the_way_to_install_it(extra):
    for function in (import_extra, require):
        with pytest.raises(ImportError, match=rf'`no-such`.*pip install "dart-keras\[{extra}\]"'):
            function("no_such_module", "no-such", extra)


def test_a_present_one_is_loaded():
    assert import_extra("json", "json").loads("1") == 1
    require("json", "json")
