"""CPUs that the board has not are said before anything but the agent is sent there."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from device_agent.record import replace
from pipeline import deploy, selftest
from pipeline import plan as plans
from pipeline.deploy import architecture, processors
from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.plan_tables import MeasureTable, ModelTable, Tables
from tests.support.commands import edgepress
from tests.support.machines import BOOKWORM


def plan(**measure):
    tables = Tables(model=ModelTable(path="m.onnx"), measure=msgspec.convert(measure, MeasureTable))
    return Plan(path=Path("edge.toml"), sha256="", tables=tables)


@pytest.mark.parametrize(
    ("cpus", "measure", "says"),
    [
        ((0, 1, 2, 3), {"cpus": [5]}, "has no CPU 5: a program may use 0-3 there"),
        ((0, 2, 3, 7), {"cpus": [1, 2, 4095]}, "has no CPU 1, 4095: a program may use 0, 2-3, 7 there"),
        ((2, 3), {"threads": 3}, "3 threads on a board with 2 CPUs"),
        ((2, 3), {"threads": [1, 4]}, "4 threads on a board with 2 CPUs"),
        ((0, 1, 2, 3), {"cpus": [1, 1], "threads": 2}, "2 threads on 1 CPU"),
        ((2, 3), {"cpus": [2, 3], "threads": 2}, None),
        ((0,), {}, None),
    ],
)
def test_the_cpus_of_a_plan(cpus, measure, says):
    machine = replace(BOOKWORM, cpu_count=len(cpus), cpus=cpus)
    if says is None:
        processors.check(plan(**measure), machine)
        return
    assert processors.are_asked_for(plan(**measure))
    with pytest.raises(PlanError, match=says):
        processors.check(plan(**measure), machine)


def test_it_is_said_before_the_model_is_looked_at(tmp_path):
    """The first stage makes .edgepress."""
    (tmp_path / "m.tflite").write_bytes(Path(selftest.__file__).with_suffix(".tflite").read_bytes())
    (tmp_path / "edge.toml").write_text('[model]\npath = "m.tflite"\n[measure]\ncpus = [4095]\n')
    done = edgepress("run", tmp_path / "edge.toml")
    assert done.returncode == 2
    assert "measure.cpus: the board has no CPU 4095" in done.stderr
    assert not (tmp_path / ".edgepress").exists()


def test_one_knock_asks_a_board_for_all(tmp_path, monkeypatch):
    """CPUs, runtimes, meters and the processor, over one connection: each logs in anew, which takes a small board seconds."""
    opened = []
    session = SimpleNamespace(meters=lambda *_: (), note="", machine=BOOKWORM)

    def open_session(target, _say):
        opened.append(target.name)
        return contextlib.nullcontext(session)

    monkeypatch.setattr(deploy, "open_session", open_session)
    monkeypatch.setattr(architecture, "open_session", open_session)
    (tmp_path / "boards.toml").write_text(
        '[pi]\nhost = "192.0.2.3"\nuser = "pi"\nkey = "k"\n[pi.meters.ina226]\naddress = 64\n'
    )
    (tmp_path / "edge.toml").write_text(
        '[model]\npath = "m.onnx"\n[board]\nname = "pi"\n[measure]\nthreads = 2\nruntimes = ["onnxruntime"]\n'
    )
    the_plan = plans.read(tmp_path / "edge.toml")
    machine = deploy.preflight(the_plan, None)
    assert deploy.processor_of(the_plan, None, machine).arch == BOOKWORM.arch
    assert opened == ["pi"]
