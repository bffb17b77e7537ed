"""For all tests: nothing of the user's own folders is read or written."""

import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("edgepress", deadline=None)  # a busy machine may take its time over an example
settings.load_profile("edgepress")


def pytest_addoption(parser):
    parser.addoption("--whole", action="store_true", help="run what is marked whole, and faults at their whole count")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--whole"):
        for item in items:
            if item.get_closest_marker("whole"):
                item.add_marker(pytest.mark.skip(reason="only with --whole (make test-slow)"))


@pytest.fixture(scope="session")
def share(request):
    """share(quick, whole): how often a fault is injected in this run."""
    whole_run = request.config.getoption("--whole")
    return lambda quick, whole: whole if whole_run else quick


@pytest.fixture(scope="session", autouse=True)
def own_signals():
    """As in the foreground: a shell starts what runs in its background with SIGINT ignored, nohup with SIGHUP, and each process
    that a test starts would ignore them, too.
    """
    defaults = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    ignored = [number for number in defaults if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, defaults[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory):
    """Wheels, `local` and `virtual` boards and boards.toml of the tests, one set a worker: a board measures one job at a time."""
    base = tmp_path_factory.mktemp("home")
    (base / "machine").mkdir()
    before = {name: os.environ.get(name) for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "EDGEPRESS_LOCK_FOLDER")}
    os.environ["XDG_CACHE_HOME"] = str(base / "cache")
    os.environ["XDG_CONFIG_HOME"] = str(base / "config")
    os.environ["EDGEPRESS_LOCK_FOLDER"] = str(base / "machine")  # others test on this machine at the same time
    yield base
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture(scope="session")
def sshd_target():
    """A real sshd on the loopback, as the virtual board starts it."""
    from pathlib import Path

    from targets import inventory
    from targets.virtual.loopback import find_sshd, loopback_sshd

    if find_sshd() is None:
        pytest.skip("no sshd on this machine (scripts/debian_packages installs it where it may)")
    with loopback_sshd(inventory.find("virtual", Path())) as target:
        yield target
