"""A file for each form of a report. A renderer shows the words of the view its own way and adds none."""
