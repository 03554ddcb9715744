"""Situations that real users were in: models, files, data and habits from public reports.

`python -m benchmarks.field` runs each situation in a process of its own and prints a table. A
situation is good if it works, or if it ends with a message of this package that says what to do.
"""
