"""A job request and its number."""

import hashlib
import socket
from typing import NamedTuple

from device_agent import wire
from targets.folders import user


class Cooling(NamedTuple):
    """Before each launch and pair, the board cools down to near the temperature at the job's start."""

    band_mc: int  # this much above it is cool enough
    limit_ns: int  # for all waiting in one job; 0: it does not wait
    from_mc: int | None = None  # use this start temperature, of an earlier job


NO_COOLING = Cooling(0, 0)


def submission(
    launches: tuple[wire.Launch, ...],
    label: str,
    pairs: tuple[wire.Pair, ...] = (),
    cooling: Cooling = NO_COOLING,
    agent_sha256: str = "",
) -> wire.Submit:
    """Return the job of these launches and pairs. The same job of the same owner in the same agent has the same number, so
    submitting it twice does not start it twice.
    """
    owner = f"{user()}@{socket.gethostname()}, {label}"
    timeout_ns = cooling.limit_ns + sum(launch.timeout_ns for launch in launches)
    timeout_ns += sum(pair.a.timeout_ns + pair.b.timeout_ns for pair in pairs)
    unnamed = wire.Submit("0" * 32, owner, timeout_ns, launches, pairs, *cooling)
    job_id = hashlib.sha256(wire.encode(unnamed) + agent_sha256.encode()).hexdigest()[:32]
    return wire.Submit(job_id, owner, timeout_ns, launches, pairs, *cooling)
