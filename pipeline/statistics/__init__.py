"""The tests and intervals that verdicts rest on, each with its source."""
