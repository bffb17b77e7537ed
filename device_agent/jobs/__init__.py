"""A job on the board: it runs on its own, and is asked for, followed and cancelled by its number."""
