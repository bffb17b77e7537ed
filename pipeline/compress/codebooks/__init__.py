"""A few levels for many weights: the formulas, and the container that they are packed into."""
