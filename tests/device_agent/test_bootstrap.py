"""The bootstrap and the agent under every Python, and everything that can go wrong before the hello."""

import ast
import io
import json
import resource
import shutil
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.support.agent_process import (
    BOOT_MARK,
    BOOTSTRAP,
    LAUNCH,
    Agent,
    Pipes,
    bundle,
    pythons,
    sha256,
    sleep_model,
    wait_until,
)
from tests.support.bootstrapped import boot, request

ALL = [f"3.{minor}" for minor in range(8, 14)]


def failure(pipes: Pipes) -> str:
    """The error that was told; the process must have failed too."""
    last = pipes.read_to_end().strip().splitlines()[-1]
    assert last.startswith(BOOT_MARK + b"FAIL "), last
    assert pipes.process.wait(10) == 1
    told = json.loads(last[len(BOOT_MARK + b"FAIL ") :])
    assert sorted(told) == ["error", "message"]
    return told["error"]


def leftovers(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for folder in ("tmp", "agents") for path in (root / folder).glob("*"))


@pytest.mark.parametrize("version", ALL)
def test_every_python_installs_starts_and_measures(version, start, tmp_path):
    if version not in pythons():
        pytest.skip(f"Python {version} is not on this machine")
    root = tmp_path / "edge"
    agent = start(root, python=pythons()[version])
    assert agent.boot_word == "NEED"
    assert agent.hello.protocol == wire.PROTOCOL
    assert agent.hello.agent_sha256 == sha256(bundle())
    assert agent.hello.machine.python.startswith(version + ".")
    model = agent.store(sleep_model())
    launched, finished = agent.run(replace(LAUNCH, model_sha256=model))
    assert isinstance(launched, wire.Launched), launched
    assert finished.state == wire.FINISHED
    assert min(launched.latency_ns) >= 300_000
    assert agent.end() == 0

    again = start(root, python=pythons()[version])
    assert again.boot_word == "HAVE"
    assert again.ask(wire.Have((model, "0" * 64), ())) == wire.Present((model,), ())
    assert again.end() == 0
    assert leftovers(root) == [f"agents/{sha256(bundle())}"]


@pytest.mark.parametrize("version", ["3.6", "3.7"])
def test_old_python_is_told(version, tmp_path):
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    if not found:
        pytest.skip(f"Python {version} is not on this machine")
    assert failure(boot(request(tmp_path, b"x"), python=str(found[0]))) == "old_python"
    assert list(tmp_path.iterdir()) == []


def test_home_is_expanded(start, tmp_path):
    agent = start("~/edge", env={"HOME": str(tmp_path)})
    assert agent.end() == 0
    assert leftovers(tmp_path / "edge") == [f"agents/{sha256(bundle())}"]


def test_nobody_s_home_makes_no_folder_of_that_name():
    assert failure(boot(request("~nobody-at-all/edge", b"x"))) == "no_home"
    assert not Path("~nobody-at-all").exists()


def test_installed_files_are_those_of_the_bundle(start, tmp_path):
    start().end()
    folder = tmp_path / "edge" / "agents" / sha256(bundle())
    with zipfile.ZipFile(io.BytesIO(bundle())) as archive:
        for name in archive.namelist():
            assert (folder / name).read_bytes() == archive.read(name)


def test_other_bytes_than_announced(tmp_path):
    pipes = boot(request(tmp_path, bundle(), "a" * 64) + bundle())
    assert failure(pipes) == "bad_upload"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("sent", [0, 1, 5000])
def test_the_host_goes_away_in_the_middle(sent, tmp_path):
    pipes = boot(request(tmp_path, bundle()) + bundle()[:sent])
    pipes.process.stdin.close()
    assert failure(pipes) == "bad_upload"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a//b", "..", "a/", "a\\b", ".hidden/x"])
def test_unsafe_names(name, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", "print('started')")
        archive.writestr(name, "evil")
    data = buffer.getvalue()
    assert failure(boot(request(tmp_path / "edge", data) + data)) == "bad_upload"
    assert leftovers(tmp_path / "edge") == []
    assert not list(tmp_path.rglob("*evil*"))


def test_no_zip(tmp_path):
    assert failure(boot(request(tmp_path, b"junk") + b"junk")) == "bad_upload"
    assert leftovers(tmp_path) == []


def test_bad_request(tmp_path):
    assert failure(boot(b"hello\n")) == "internal"


def test_not_writable(tmp_path):
    (tmp_path / "file").write_text("")
    assert failure(boot(request(tmp_path / "file" / "edge", b"x"))) == "not_writable"


def test_no_space_is_told(tmp_path):
    """A limit on the size of files stands for the full disk here: EFBIG in place of ENOSPC, on the same path."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    pipes = boot(request(tmp_path, bundle()) + bundle(), preexec_fn=limit)
    assert failure(pipes) == "no_space"
    assert leftovers(tmp_path) == []


def test_many_hosts_install_at_once(tmp_path):
    racers = [Pipes([sys.executable, "-I", "-S", "-c", BOOTSTRAP]) for _ in range(6)]
    for racer in racers:
        racer.write(request(tmp_path, bundle()))
    for racer in racers:
        while not (line := racer.read_line()).startswith(BOOT_MARK):
            pass
        if line.endswith(b"NEED"):
            racer.write(bundle())
    for racer in racers:
        while racer.read_line() != wire.MARK:
            pass
        assert isinstance(wire.decode(racer.read_line()), wire.Hello)
    for racer in racers:
        assert racer.end() == 0
        racer.kill()
    assert leftovers(tmp_path) == [f"agents/{sha256(bundle())}"]


def test_what_a_login_shell_prints_does_not_matter(tmp_path):
    shell = shutil.which("sh")
    assert shell
    words = 'printf "Welcome, no newline"; exec "$@"'

    class Noisy(Agent):
        def __init__(self):
            Pipes.__init__(self, [shell, "-c", words, "sh", sys.executable, "-I", "-S", "-c", BOOTSTRAP])

    agent = Noisy()
    agent.write(request(tmp_path, bundle()) + bundle())
    while agent.read_line() != wire.MARK:
        pass
    assert isinstance(agent.receive(), wire.Hello)
    agent.kill()


def test_what_dead_agents_left_is_collected_and_what_live_ones_have_is_not(start, tmp_path):
    living = start()
    assert isinstance(living.submit(replace(LAUNCH, model_sha256=living.store(sleep_model(hang=True)))), wire.Accepted)
    wait_until(lambda: list((tmp_path / "edge" / "tmp").iterdir()))
    (work,) = (tmp_path / "edge" / "tmp").iterdir()
    for name in ("boot-dead", "agent-dead"):
        (work.parent / name / "deep").mkdir(parents=True)
    (work.parent / ("put-" + "a" * 64)).write_text("")
    start().end()
    assert list(work.parent.iterdir()) == [work]
    assert living.ask(wire.Cancel(living.last_job)).state == wire.CANCELLED
    assert living.end() == 0
    assert list(work.parent.iterdir()) == []


def test_what_is_not_read_back_as_it_was_written_is_not_run(tmp_path):
    """As of a disk that fails: also the first time."""
    text = BOOTSTRAP.replace("sync(os.path.dirname(agent))", 'open(agent + "/added.py", "w").close()')
    assert text != BOOTSTRAP
    data = bundle()
    pipes = Pipes([sys.executable, "-I", "-S", "-c", text])
    pipes.write(request(tmp_path / "edge", data) + data)
    assert failure(pipes) == "bad_upload"


def test_it_is_small_and_parses_on_old_python():
    ast.parse(BOOTSTRAP, feature_version=(3, 6))
    assert len([line for line in BOOTSTRAP.splitlines() if line]) <= 185
    assert len(zlib.compress(BOOTSTRAP.encode(), 9)) < 4000  # what each connection sends


def test_nothing_but_the_wire_is_on_standard_output(tmp_path):
    agent = Agent(tmp_path)
    first, second = (Path(f"/proc/{agent.process.pid}/fd/{number}").readlink() for number in (1, 2))
    assert first == second  # what writes to 1 writes to stderr
    agent.kill()
