from pathlib import Path

import click

from pipeline import units
from pipeline.commands.common import json_option, plan_argument, quiet_option, run_until, say, show_json


@click.command("deploy")
@plan_argument
@json_option
@quiet_option
def command(plan: Path, *, as_json: bool, quiet: bool) -> None:
    """Put the files of PLAN, the agent and the runtimes on its board; what is there already is not sent again."""
    deployment = run_until(plan, "deploy", quiet=quiet).deployment
    if as_json:
        show_json(deployment)
        return
    board = deployment.board
    say(f"{deployment.target} at {deployment.address}: {board.model}, {board.cpu}, {board.os}, Python {board.python}")
    say(
        f"agent        {_sent(deployment.agent_sent_bytes)}, first answer after {units.seconds(deployment.first_answer_s)}"
    )
    for runtime in deployment.runtimes:
        say(f"{runtime.name:<16} {_sent(runtime.sent_bytes)}: {', '.join(runtime.packages)}")
    for file in deployment.files:
        say(f"{file.artifact.format:<7} {file.artifact.sha256[:12]} {_sent(file.sent_bytes)}")


def _sent(sent_bytes: int) -> str:
    return f"sent {units.size(sent_bytes)}" if sent_bytes else "was there already"
