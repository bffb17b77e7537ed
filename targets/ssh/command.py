"""The one command line that a board's login shell is given."""

import re
import shlex
from collections.abc import Sequence

# ~ and ~user are the login shell's to expand: sh, bash, zsh, csh, tcsh, fish and busybox do, where it is not in quotes.
HOME = re.compile(r"~[A-Za-z0-9._-]*(?=/)")


def command_line(argv: Sequence[str]) -> str:
    """All quoted; but a program's path may begin in a home folder of the board."""
    program, *arguments = argv
    home = HOME.match(program)
    if home is None:
        return shlex.join(argv)
    return " ".join([home[0] + "/" + shlex.quote(program[home.end() + 1 :]), *map(shlex.quote, arguments)])
