import pytest

from dart_keras.utils.optional_imports import load, require


@pytest.mark.parametrize("extra", ["deployment", "plots"])
def test_a_missing_package_comes_with_the_way_to_install_it(extra):
    for function in (load, require):
        with pytest.raises(ImportError, match=rf'`no-such`.*pip install "dart-keras\[{extra}\]"'):
            function("no_such_module", "no-such", extra)


def test_a_present_one_is_loaded():
    assert load("json", "json").loads("1") == 1
    require("json", "json")
