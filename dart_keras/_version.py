from importlib.metadata import PackageNotFoundError, version

try:
    # Written at installation, from the tags of the repository.
    __version__ = version("dart-keras")
except PackageNotFoundError:  # A source tree that was not installed.
    __version__ = "unknown"
