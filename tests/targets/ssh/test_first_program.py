"""How soon the first program of a connection starts."""

import math
import time

from targets.ssh import SshLink
from tests.support.own_sshd import own_sshd
from tests.support.timing import TRIES


def test_nobody_waits_for_a_delayed_acknowledgement(tmp_path):
    """It is 40 ms at least, each time: one quicker start proves it, also on a busy machine."""
    took_s = [math.inf]
    with own_sshd(tmp_path / "sshd") as target:
        while min(took_s) >= 0.035 and len(took_s) <= TRIES:
            link = SshLink(target)
            began = time.monotonic()
            link.start(["true"])
            took_s.append(time.monotonic() - began)
            link.close()
    assert min(took_s) < 0.035
