"""Only the agent that was installed is run: what was damaged, changed or added is replaced, and never imported."""

import os

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, bundle, pythons, sha256, sleep_model

EVIL = "import pathlib; pathlib.Path({mark!r}).write_text('ran')\n"
OLDEST, NEWEST = min(pythons(), key=lambda each: int(each[2:])), max(pythons(), key=lambda each: int(each[2:]))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    told = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))  # as a disk does that rots


def compiled(folder, name):
    (path,) = (folder / "device_agent" / "__pycache__").glob(f"{name}.*.pyc")
    return path


def with_text(source, text):
    """What would run: an import from __future__ stays in front of it."""
    future = "from __future__ import annotations\n"
    assert future in source.read_text()
    return source.read_text().replace(future, future + text, 1)


def plant_compiled(folder, text):
    """Other code under the name of a module: with the header that says it was made of the very source that is there."""
    import py_compile

    path, source = compiled(folder, "wire"), folder / "device_agent" / "wire.py"
    header = path.read_bytes()[:16]
    other = folder / "evil.py"
    other.write_text(with_text(source, text))
    py_compile.compile(str(other), cfile=str(other) + "c", doraise=True)
    path.write_bytes(header + (folder / "evil.pyc").read_bytes()[16:])
    other.unlink()
    (folder / "evil.pyc").unlink()


DAMAGES = {
    "a source flipped": lambda folder, text: flip(folder / "device_agent/bench/launches.py"),
    "a .pyc flipped": lambda folder, text: flip(compiled(folder, "wire")),
    "a source changed": lambda folder, text: (folder / "device_agent" / "wire.py").write_text(
        with_text(folder / "device_agent" / "wire.py", text)
    ),
    "a .pyc of other code": plant_compiled,
    "a source removed": lambda folder, text: (folder / "device_agent/files/layout.py").unlink(),
    "a .pyc removed": lambda folder, text: compiled(folder, "channel").unlink(),
    "a module of Python's own name added": lambda folder, text: (folder / "glob.py").write_text(text),
    "a package in front of a module": lambda folder, text: [
        (folder / "device_agent" / "wire").mkdir(),
        (folder / "device_agent" / "wire" / "__init__.py").write_text(text),
    ],
    "a link to a package": lambda folder, text: (folder / "device_agent" / "wire").symlink_to("/usr/lib"),
    "the seal removed": lambda folder, text: next(folder.glob(".sealed-*")).unlink(),
    "the seal cut": lambda folder, text: next(folder.glob(".sealed-*")).write_text(""),
    "nothing left": lambda folder, text: [next(folder.glob(".sealed-*")).unlink(), (folder / "device_agent").rename(folder.parent / "x")],
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_as_it_was_installed_is_replaced_and_not_run(start, tmp_path, damage):
    start().end()
    folder, mark = tmp_path / "edge" / "agents" / sha256(bundle()), tmp_path / "mark"
    DAMAGES[damage](folder, EVIL.format(mark=str(mark)))
    agent = start()
    assert agent.boot_word == "NEED DAMAGED"
    assert isinstance(agent.ask(wire.Observe()), wire.Conditions)
    launched, ended = agent.run(replace(LAUNCH, model_sha256=agent.store(sleep_model())))
    assert (type(launched), ended.state) == (wire.Launched, wire.FINISHED)
    assert agent.end() == 0
    assert not mark.exists()
    again = start()
    assert again.boot_word == "HAVE"
    assert list((tmp_path / "edge" / "tmp").glob("boot-*")) == []


@pytest.mark.parametrize("version", sorted({OLDEST, NEWEST}))
def test_what_runs_leaves_the_agent_as_it_is(start, version):
    """Nothing of it is compiled later, which would be a file that nobody has sealed."""
    agent = start(python=pythons()[version])
    agent.run(replace(LAUNCH, model_sha256=agent.store(sleep_model())))
    for request in (wire.Jobs(), wire.Meters(()), wire.Tune(0, while_used=False)):
        assert not isinstance(agent.ask(request), wire.Failure)
    agent.end()
    assert start(python=pythons()[version]).boot_word == "HAVE"


@pytest.mark.skipif(OLDEST == NEWEST, reason="needs two versions of Python")
def test_another_python_compiles_anew_and_is_not_called_damaged(start):
    start(python=pythons()[OLDEST]).end()
    assert start(python=pythons()[NEWEST]).boot_word == "NEED"
    assert start(python=pythons()[NEWEST]).boot_word == "HAVE"


def test_one_that_runs_goes_on_when_its_agent_is_replaced(start, tmp_path):
    running = start()
    folder = tmp_path / "edge" / "agents" / running.hello.agent_sha256
    (folder / "glob.py").write_text("raise SystemExit")
    assert start().boot_word == "NEED DAMAGED"
    launched, _ = running.run(replace(LAUNCH, model_sha256=running.store(sleep_model())))  # it imports more of itself
    assert isinstance(launched, wire.Launched)
