"""The kinds of tasks, a file for each."""
