import importlib
import importlib.util
import warnings
from types import ModuleType

_HELP = 'This needs the package `{package}`. Install it with `pip install "dart-keras[{extra}]"`.'


def import_extra(module: str, package: str, extra: str = "deployment") -> ModuleType:
    """Import a module of an extra, or say how to install it.

    Args:
        module: The module's name.
        package: The package that has it.
        extra: The extra of dart-keras that the package belongs to.

    Raises:
        ImportError: If the package, or one that it needs, is not installed.
    """
    try:
        # Some packages add filters of warnings when they are imported.
        with warnings.catch_warnings():
            return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(_HELP.format(package=package, extra=extra)) from error


def require(module: str, package: str, extra: str = "deployment") -> None:
    """Check that a package is installed that another process is about to import.

    Args:
        module: As for `import_extra`.
        package: As for `import_extra`.
        extra: As for `import_extra`.

    Raises:
        ImportError: If the package is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise ImportError(_HELP.format(package=package, extra=extra))
