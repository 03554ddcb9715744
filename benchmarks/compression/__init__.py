"""Trained models compressed: what they lose, and what others make of them."""
