"""A run that is stopped, at any moment, leaves nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from textwrap import dedent

import msgspec
import pytest

from pipeline.commands.stopping import SAME_S
from targets.folders import cache_folder
from tests.support.commands import EDGEPRESS
from tests.support.processes import eventually, leftovers, processes_with

MOMENTS = ("load", "compress", "convert", "deploy", "measure")

pytestmark = pytest.mark.frameworks


def test_a_second_ctrl_c_does_not_break_the_tidying_up(plan, tmp_path):
    plan.write_text(plan.read_text() + '[board]\nname = "virtual"\n')
    process = subprocess.Popen(
        [EDGEPRESS, "run", plan], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not process.stderr.readline().startswith("load "):
        assert process.poll() is None
    time.sleep(1)
    first_s = time.monotonic()
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    together = (
        time.monotonic() - first_s < SAME_S / 2
    )  # on a busy machine they may be further apart, and end it at once
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not processes_with(str(plan.parent))
    assert not together or not list((plan.parent / ".edgepress" / "tmp").iterdir())


def test_ctrl_c_while_the_interpreter_ends_keeps_the_exit_code():
    code = """
        import os, signal
        from pipeline import commands

        class Late:  # removed with the modules, after Python has given the signals their default actions back
            def __del__(self, kill=os.kill, pid=os.getpid()):
                kill(pid, signal.SIGINT)

        late = Late()

        def interrupted(**_):
            os.kill(os.getpid(), signal.SIGINT)

        commands.cli = interrupted
        commands.main()
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (130, False), done.stderr


@pytest.mark.parametrize(
    ("moment", "kind"),
    [
        *[(moment, signal.SIGINT) for moment in MOMENTS],
        ("compress", signal.SIGTERM),
        *[pytest.param(moment, signal.SIGTERM, marks=pytest.mark.whole) for moment in MOMENTS if moment != "compress"],
    ],
)
def test_stopped_at_any_moment_it_leaves_nothing_behind(plan, moment, kind, tmp_path):
    """The stage before has ended and its line is out: then Ctrl-C, in the middle of the next one."""
    plan.write_text(plan.read_text() + '[board]\nname = "virtual"\n')
    stages = ["start", "load", "compress", "convert", "deploy", "measure"]
    before = stages[stages.index(moment) - 1]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    wheels = cache_folder() / "wheels"
    if moment == "measure" and wheels.exists():  # else the download takes longer than the test is patient
        shutil.copytree(wheels, tmp_path / "cache" / "edgepress" / "wheels")
    process = subprocess.Popen(
        [EDGEPRESS, "run", plan],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
    )
    while before != "start":
        line = process.stderr.readline()
        assert line, f"it ended before {moment}"
        if line.startswith(f"{before} "):
            break
    time.sleep(1.0 if moment in {"load", "measure"} else 0.5)
    process.send_signal(kind)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + kind, said
    if kind == signal.SIGINT:
        assert "Stopped." in said
    board = tmp_path / "cache" / "edgepress" / "virtual-board"
    assert eventually(lambda: not processes_with(str(plan.parent)) and not leftovers(board))
    assert not processes_with(str(tmp_path))  # its virtual sshd among them
    store = plan.parent / ".edgepress"
    assert not list((store / "tmp").glob("*"))  # it may not even be there yet
    assert not list((store / "runs").glob("*"))
    for answer in (store / "answers").glob("*"):
        msgspec.json.decode(answer.read_bytes())
    assert not list((tmp_path / "cache" / "edgepress").rglob(".download-*"))
