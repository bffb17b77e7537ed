"""The command line of a benchmark."""

import argparse


def parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser whose `--help` shows the script's docstring as it stands."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
