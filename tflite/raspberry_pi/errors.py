class RefusedError(Exception):
    """An error for the user, of the form "Expected ... Received: ..."."""
