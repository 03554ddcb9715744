"""The shell command `dart-keras`.

It stands beside `dart_keras` and not inside, because importing anything from inside starts
TensorFlow: `dart-keras --help` would take seconds, and TensorFlow's log could no longer be turned
off. So nothing here is imported before the command line is read, but the standard library.
"""
