"""The command line for a board's login shell."""

import re
import shlex
from collections.abc import Sequence

# The login shell expands ~ and ~user: sh, bash, zsh, csh, tcsh, fish and busybox do, outside quotes.
HOME = re.compile(r"~[A-Za-z0-9._-]*(?=/)")


def command_line(argv: Sequence[str]) -> str:
    """Quote everything, but let the program's path begin with a home folder on the board."""
    program, *arguments = argv
    home = HOME.match(program)
    if home is None:
        return shlex.join(argv)
    return " ".join([home[0] + "/" + shlex.quote(program[home.end() + 1 :]), *map(shlex.quote, arguments)])
