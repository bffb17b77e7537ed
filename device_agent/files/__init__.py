"""The files in the agent's folder on the board, how they get there, and how they are verified."""
