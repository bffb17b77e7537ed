"""Measurements of edgepress itself: README.md lists them, measure_all.py runs them, figures.py renders what they found."""
