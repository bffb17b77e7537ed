"""One file a command. Arguments in, records out; no logic. A command is imported when it is used."""

import contextlib
import sys
import traceback
from importlib import import_module
from typing import NoReturn

import click

from pipeline.commands.stopping import Stopped, Stopping, left_running
from pipeline.commands.streams import degrade

COMMANDS = {
    "run": "the whole flow: load, compress, convert, deploy, measure, compare, report",
    "load": "read the model and the data, and check that they fit each other",
    "compress": "make the model smaller, pass by pass",
    "convert": "make the files that boards run, and compare each with its source",
    "deploy": "put the files, the agent and the runtimes on the board",
    "measure": "measure latency, memory, energy and accuracy on the board",
    "compare": "judge the latest run by the plan's limits",
    "report": "show the latest run, and write its pages",
    "boards": "list, check and trust boards; start and stop an emulated one",
    "audit": "how much of a .tflite or .onnx file is integer, and what runs it",
    "selftest": "how often the verdict on latency is wrong on a board",
    "jobs": "what a board is measuring, and for whom; follow or cancel it",
    "clean": "remove old runs, and what no other run or recent work needs",
    "doctor": "what this machine can and cannot do, and how to fix it",
}
"""In the order of --help; the module is `pipeline.commands.<name>`, its click command `command`."""

USAGE, FAILED = 2, 5


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"pipeline.commands.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))  # importing none of them


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgepress")
def cli() -> None:
    """Make a trained model small, put it on the board that will run it, and get numbers that can be trusted.

    \b
    Exit codes: 0 pass, 1 regressed or a limit broken, 2 wrong usage or plan, 3 inconclusive,
    4 board trouble, 5 a stage failed, 6 invalid measurement.
    """  # noqa: D301 - \b keeps click from filling the lines


def main() -> NoReturn:
    """Run the `edgepress` command: every error becomes a sentence, a hint and an exit code; 1 comes from a verdict alone."""
    stopping = Stopping()
    degrade()
    try:
        code = cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:  # an answer was "no", or the input ended
        _tell("Stopped: nothing was changed.")
        code = USAGE
    except Stopped as stopped:
        _tell("\n".join(["\nStopped. Nothing was left half-written.", *left_running()]))
        stopping.over()
        code = 128 + stopped.number
    except OSError as error:
        from pipeline.errors import OS_HINTS

        _tell(f"edgepress: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        _tell(f"  what to do: {OS_HINTS.get(error.errno or 0, 'Run again; report it if it happens twice.')}")
        code = FAILED
    except Exception as error:  # noqa: BLE001 - the last one to catch it
        from pipeline.errors import EdgepressError

        if isinstance(error, EdgepressError):
            _tell(f"edgepress: {error.message}")
            _tell(f"  what to do: {error.hint}")
            code = error.exit_code
        else:
            traceback.print_exc()
            _tell("edgepress: this is a fault of edgepress itself; please report the lines above.")
            code = FAILED
    sys.exit(code)


def _tell(text: str) -> None:
    """Say it on stderr. What comes from a board or a model's file must not command the terminal; a reader that has gone away is ignored."""
    from pipeline.safe_text import clean_lines

    with contextlib.suppress(OSError):
        click.echo(clean_lines(text), err=True)
