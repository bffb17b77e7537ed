"""A terminal or a file that cannot hold a character loses that character, and no verdict."""

import io
import json
import os
import subprocess

import msgspec
import pytest

from pipeline.commands.streams import json_for
from pipeline.store import Store
from tests.support.commands import EDGEPRESS, edgepress
from tests.support.sample_run import board, measurement, run_of, whole_run


@pytest.fixture
def plan(tmp_path):
    """A plan with a run, as `report` finds it."""
    path = tmp_path / "edge.toml"
    path.write_text('[model]\npath = "m.tflite"\n')
    return keep(path, whole_run())


def keep(path, run):
    store = Store(path.parent / ".edgepress")
    from datetime import UTC, datetime

    run_id = store.next_run_id(datetime.now(UTC))
    store.keep_run(run_id, msgspec.json.encode(msgspec.structs.replace(run, run_id=run_id, plan_path=str(path))))
    store.close()
    return path


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_report_in_any_encoding(plan, encoding):
    said = subprocess.run(
        [EDGEPRESS, "report", plan], capture_output=True, check=False, env=os.environ | {"PYTHONIOENCODING": encoding}
    )
    assert said.returncode == 0, said.stderr
    text = said.stdout.decode(encoding)
    assert "page: " in text
    assert ("─" in text) == (encoding == "utf-8")
    assert encoding == "utf-8" or "-----" in text
    assert text.count("?") < 60  # a doubted number has one; no line consists of them
    page = (plan.parent / text.split("page: ")[1].strip()).read_bytes()
    page.decode("utf-8")


def test_the_exit_code_stays_that_of_the_verdict(plan, tmp_path):
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C", "TERM": "dumb"}
    for folder in ("/dev/full", os.devnull):
        with open(folder, "w") as out:  # noqa: PTH123 - no file to be made
            done = subprocess.run(
                [EDGEPRESS, "report", plan], stdout=out, stderr=subprocess.PIPE, text=True, check=False, env=ascii_only
            )
        assert done.returncode == 0, done.stderr
        assert ("could not be written" in done.stderr) == (folder == "/dev/full")
    for shell in (f"{EDGEPRESS} report {plan} | head -1", f"{EDGEPRESS} report {plan} >&- 2>&-"):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_json_loses_nothing(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text('[model]\npath = "m.tflite"\n')
    keep(path, run_of((measurement(),), facts=board(model="Plätzchen 板 😀")))
    said = edgepress("report", path, "--json", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert said.returncode == 0, said.stderr
    assert said.stdout.isascii()
    assert json.loads(said.stdout)["deployment"]["board"]["model"] == "Plätzchen 板 😀"


def test_json_for():
    text = '"é 😀 \\n"'
    ascii_stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert json.loads(json_for(text, ascii_stream)) == json.loads(text)
    assert json_for(text, ascii_stream) == '"\\u00e9 \\ud83d\\ude00 \\n"'
    assert json_for(text, io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) == text
    assert json_for(text, None) == text
