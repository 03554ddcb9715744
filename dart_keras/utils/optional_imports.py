import importlib
import importlib.util
from types import ModuleType

_HELP = (
    "Deployment needs the package `{package}`. "
    'Install it with `pip install "dart-keras[deployment]"`.'
)


def load(module: str, package: str) -> ModuleType:
    """Imports a module of the `deployment` extra, or says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(_HELP.format(package=package)) from error


def require(module: str, package: str) -> None:
    """Says how to install a package that another process is about to import."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(_HELP.format(package=package))
