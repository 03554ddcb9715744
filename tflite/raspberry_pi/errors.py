class RefusedError(Exception):
    """What was expected and what was received instead, for the user to read."""
