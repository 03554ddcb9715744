import pytest

from dart_keras.utils.optional_imports import load, require


def test_a_missing_package_comes_with_the_way_to_install_it():
    for function in (load, require):
        with pytest.raises(ImportError, match=r'`no-such`.*pip install "dart-keras\[deployment\]"'):
            function("no_such_module", "no-such")


def test_a_present_one_is_loaded():
    assert load("json", "json").loads("1") == 1
    require("json", "json")
