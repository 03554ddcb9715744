"""Other implementations, given the same cores as our layers and so computing the same function."""
