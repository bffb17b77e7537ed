"""A job on the board: it runs on its own, and is queried, followed and cancelled by its number."""
