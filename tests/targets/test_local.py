"""A board that is this machine, whose shell talks before the agent does."""

import pytest

from targets import errors
from targets.local import LocalLink
from targets.session import Session
from tests.support.sessions import MODEL, SHA


class NoisyLink(LocalLink):
    """A login shell that talks before it starts what it was asked to, and ends its last line early."""

    def start(self, argv):
        return super().start(["sh", "-c", 'echo "Welcome!"; printf "last login: never"; exec "$0" "$@"', *argv])


def test_noise_before_the_agent(tmp_path):
    import sys

    with Session(lambda _: NoisyLink(), sys.executable, str(tmp_path / "board")) as session:
        session.put(MODEL, SHA)
        assert session.have((SHA,), ()).blobs == (SHA,)


def test_shell_that_never_stops_talking(tmp_path):
    class Babble(LocalLink):
        def start(self, argv):
            return super().start(["yes", "welcome"])

    with pytest.raises(errors.NotTheAgent, match="no agent answered"):
        Session(lambda _: Babble(), "python3", str(tmp_path))
