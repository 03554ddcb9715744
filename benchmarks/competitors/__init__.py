"""The other libraries, given the same cores as the layer of this one and so the same function."""
