"""Rows with labels that are certain, for models that nobody here made."""
