"""A board that is this machine: its shell talks before the agent does, or the user stops while the agent is installed."""

import sys
from pathlib import Path

import pytest

from targets import errors, open_session
from targets.conversation import Conversation
from targets.inventory import Target
from targets.local import LocalLink
from targets.session import Session
from tests.support.processes import eventually, leftovers
from tests.support.sessions import MODEL, SHA


class NoisyLink(LocalLink):
    """A login shell that talks before it starts what it was asked to, and ends its last line early."""

    def start(self, argv):
        return super().start(["sh", "-c", 'echo "Welcome!"; printf "last login: never"; exec "$0" "$@"', *argv])


def test_noise_before_the_agent(tmp_path):
    with Session(lambda _: NoisyLink(), sys.executable, str(tmp_path / "board")) as session:
        session.put(MODEL, SHA)
        assert session.have((SHA,), ()).blobs == (SHA,)


def test_shell_that_never_stops_talking(tmp_path):
    class Babble(LocalLink):
        def start(self, argv):
            return super().start(["yes", "welcome"])

    with pytest.raises(errors.NotTheAgent, match="no agent answered"):
        Session(lambda _: Babble(), "python3", str(tmp_path))


@pytest.mark.parametrize("kind", ["local", "virtual"])
def test_ctrl_c_while_the_agent_is_installed_leaves_no_half_of_it(kind, tmp_path, monkeypatch):
    """Both kill what runs on the board when the connection ends."""

    def interrupted(*_):
        installing = eventually(lambda: list((tmp_path / "board" / "tmp").glob("boot-*")))
        raise KeyboardInterrupt("while it installs" if installing else "too late")

    monkeypatch.setattr(Conversation, "_skip_to_boot_failure_or_agent", interrupted)
    target = Target(name="board", kind=kind, host="127.0.0.1", root=str(tmp_path / "board"), python=sys.executable)
    with pytest.raises(KeyboardInterrupt, match="while it installs"), open_session(target):
        pass
    assert not leftovers(tmp_path / "board")
    assert len(list(Path(tmp_path, "board", "agents").iterdir())) == 1
