"""What lies in the agent's folder on the board, how it gets there, and how it is known to be whole."""
