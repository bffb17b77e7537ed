"""The agent's parts in the process of the tests: a channel over real pipes, without an agent behind it."""

import fcntl
import os
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.channel import Channel, Refused


class Host:
    """The other ends of the agent's pipes. A pipe holds all that is sent here, so no second thread is needed."""

    def __init__(self) -> None:
        (agent_in, self.out), (self.into, agent_out) = os.pipe(), os.pipe()
        for descriptor in (self.out, agent_out):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(self.into, False)
        self.ends = [agent_in, agent_out, self.into]
        self.channel = Channel(agent_in, agent_out)

    def send(self, data: bytes) -> None:
        """All that there is: then the input ends."""
        assert os.write(self.out, data) == len(data)
        self.close_out()

    def close_out(self) -> None:
        if self.out >= 0:
            os.close(self.out)
        self.out = -1

    def said(self) -> bytes:
        try:
            return os.read(self.into, 1 << 20)
        except BlockingIOError:
            return b""

    def records(self) -> list:
        return [wire.decode(line) for line in self.said().splitlines()]

    def close(self) -> None:
        self.close_out()
        for descriptor in self.ends:
            os.close(descriptor)


def refused(call, *arguments) -> tuple[str, str, str]:
    with pytest.raises(Refused) as told:
        call(*arguments)
    return told.value.error, told.value.message, told.value.errno


def is_held(place) -> bool:
    """Whether somebody uses blobs and sites."""
    folder = os.open(Path(place.root, "blobs"), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False
