"""Results that a board can have measured, and what is said of those that it cannot."""

import pytest

from device_agent import wire as w
from device_agent.record import replace
from targets import errors, plausible
from targets.submission import submission
from tests.support.launched import CLEAN
from tests.support.launched import PAIR as PAIRED
from tests.support.scripted_board import HELLO
from tests.support.sessions import launch

S = 10**9
GIB = 1 << 30
MACHINE = w.Machine(**{**HELLO, "memory_bytes": 4 * GIB})
LAUNCH = launch(timed_min_runs=50, timed_max_runs=50)
METER = (w.MeterUse("ina219", ()),)
HINT = "The results of this job were discarded. Restart the board and measure again; report it if it happens twice."


def result(**changes):
    return replace(CLEAN, **changes)


def says(record, words, asked=LAUNCH, machine=MACHINE, passed_s=60.0):
    """`words`: what is wrong; "": nothing is. `asked` None: it is another's job."""
    pairs, launches = ((asked,), ()) if isinstance(asked, w.Pair) else ((), (asked,))
    request = submission(launches, "test", pairs) if asked else None
    it = plausible.Results("pi", machine, request, plausible.now_s() - passed_s)
    if not words:
        return it.check(record)
    with pytest.raises(errors.Implausible) as caught:
        it.check(record)
    assert caught.value.message == f"pi reports {words}"
    assert caught.value.hint == HINT
    return None


WHOLE = S  # of CLEAN


def between(name, value, least, most):
    must = f"it must be {least}" if least == most else f"it must lie between {least} and {most}"
    return f"{name} = {value} in launch 1: {must}"


def trace(t_ns=(10, 20), power_uw=(1, 2), energy_uj=(), meter="ina219"):
    return w.PowerTrace(meter, "", "measured", None, None, 1, 0, t_ns, power_uw, energy_uj, 0, 0, 0, "")


# A pair: each side runs 10 times in each of two blocks.
SIDE = launch(mode="turns", timed_max_runs=20)
PAIR = w.Pair(SIDE, SIDE, "AB", ("ABBA",), 1, 10, 10)
TIMES = result(latency_ns=(100,) * 20)
BLOCKS = tuple(
    replace(block, cycle=0, start_ns=5000 * at, end_ns=5000 * at + 1000) for at, block in enumerate(PAIRED.blocks)
)
GOOD = replace(PAIRED, a=TIMES, b=TIMES, blocks=BLOCKS)
