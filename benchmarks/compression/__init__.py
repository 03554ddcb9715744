"""Compression of trained models by this library and by others."""
