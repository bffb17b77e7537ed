from pathlib import Path

import click

from pipeline.commands.common import json_option, say, say_aside, show_json
from pipeline.doctor import examine


@click.command("doctor")
@click.argument("board", required=False)
@json_option
def command(board: str | None, *, as_json: bool) -> int:
    """What this machine, and BOARD if one is named, can and cannot do, and how to fix it.

    Exit code 0 if the base and the board work, 5 if they do not.
    """
    findings = examine(board, Path(), say_aside)
    if as_json:
        show_json(findings)
    else:
        for finding in findings:
            say(f"{'ok ' if finding.ok else '-- '} {finding.what:<22} {finding.found}")
            if finding.remedy:
                say(f"{'':<26} what to do: {finding.remedy}")
    return 5 if any(finding.needed and not finding.ok for finding in findings) else 0
