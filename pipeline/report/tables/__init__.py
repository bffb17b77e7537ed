"""The tables of a report, a file each: a run in, a Table of the view out."""
