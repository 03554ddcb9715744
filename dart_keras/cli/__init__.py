"""The shell command `dart-keras`.

TensorFlow takes seconds to start, and its log cannot be turned off afterwards. So no module here
imports what starts it, before the command line is read: `dart-keras --help` answers at once.
"""
