"""What a board says of a job, and cannot be: each contradiction is named, and nothing that an agent says is one."""

import sys

import pytest

from device_agent import wire as w
from device_agent.record import replace
from targets import errors, plausible
from targets.local import LocalLink
from targets.session import Session
from tests.support.sessions import MODEL, SHA, launch

S = 10**9
PAIR = w.Pair(
    a=launch(mode="turns", timed_max_runs=40), b=launch(mode="turns", timed_max_runs=40), starts="AB", cycles=("ABBA", "BAAB"),
    block_min_ns=10**6, block_min_runs=3, block_max_runs=10,
)  # fmt: skip


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """(request, what a real agent said of it): a launch, one for the meters, a pair."""
    folder = tmp_path_factory.mktemp("board")
    (folder / "trace").write_text("".join(f"{t / 100} 2.5\n" for t in range(3000)))
    meters = (w.MeterUse("replay", (("path", str(folder / "trace")),)),)
    launches = (launch(), launch(mode="energy", meters=meters, idle_ns=2 * 10**8, timed_min_ns=10**8))
    with Session(lambda _: LocalLink(), sys.executable, str(folder / "root")) as session:
        session.put(MODEL, SHA)
        job_id = session.submit(launches, "test", (PAIR,))
        said = list(session.follow(job_id))
        request = session._submitted[job_id]
        machine = session.machine
        session.forget(job_id)
    results = [record for record in said if not isinstance(record, w.Event)]
    assert [type(each) for each in results] == [w.Launched, w.Launched, w.Paired], results
    return request, said, machine


def checked(real, at, change):
    """The job again, with its result number `at` changed."""
    request, said, machine = real
    job = plausible.Results("the board pi", machine, request, plausible.now_s() - 60)
    seen = -1
    for record in said:
        seen += not isinstance(record, w.Event)
        job.check(change(record) if seen == at and not isinstance(record, w.Event) else record)


def test_what_an_agent_says_is_plausible(real):
    checked(real, 0, lambda record: record)


def later(conditions, by_ns):
    return replace(conditions, t_ns=conditions.t_ns + by_ns)


def memory(**changes):
    return lambda it: replace(it, memory=(*it.memory[:-1], replace(it.memory[-1], **changes)))


LAUNCH = {
    "a clock that goes back": (lambda it: replace(it, after=later(it.before, -1)), "after.t_ns"),
    "a cold start shorter than its parts": (lambda it: replace(it, cold_start_ns=it.import_ns), "cold_start_ns"),
    "a cold start of none": (lambda it: replace(it, cold_start_ns=0), "cold_start_ns"),
    "a cold start longer than the launch": (lambda it: replace(it, cold_start_ns=10**12), "cold_start_ns"),
    "an import longer than the launch": (lambda it: replace(it, import_ns=10**12), "cold_start_ns"),
    "times longer than the launch": (lambda it: replace(it, latency_ns=tuple(60 * S for _ in it.latency_ns)), "sum of warmup_ns and latency_ns"),
    "one time longer than the launch": (lambda it: replace(it, latency_ns=(*it.latency_ns[1:], 600 * S)), "sum of warmup_ns and latency_ns"),
    "a warm-up longer than the launch": (lambda it: replace(it, warmup_ns=(600 * S,)), "sum of warmup_ns and latency_ns"),
    "waiting counted for longer": (lambda it: replace(it, counted_ns=10**12), "counted_ns"),
    "no times": (lambda it: replace(it, latency_ns=()), "number of latency_ns"),
    "fewer times than asked": (lambda it: replace(it, latency_ns=it.latency_ns[:4]), "number of latency_ns = 4"),
    "more times than asked": (lambda it: replace(it, latency_ns=(60,) * 501), "number of latency_ns = 501"),
    "answers that nobody asked for": (lambda it: replace(it, outputs_sha256=("a" * 64,)), "outputs_sha256"),
    "operators that nobody asked for": (lambda it: replace(it, operators=(w.Operator("", "", "", 1, 1),)), "operators = 1"),
    "energy that nobody asked for": (lambda it: replace(it, energy=w.EnergyWindow(1, 0, 1, 0, (), (), ())), "energy"),
    "a trace that nobody asked for": (lambda it: replace(it, power=(trace((), ()),)), "power = replay"),
    "more memory than there is": (memory(resident_bytes=1 << 49), "memory.resident_bytes"),
    "more anonymous memory than there is": (memory(anonymous_bytes=1 << 49), "memory.anonymous_bytes"),
    "a peak below what was resident": (lambda it: replace(memory(resident_bytes=1 << 30)(it), peak_bytes=1 << 20), "peak_bytes"),
    "a peak of more than there is": (lambda it: replace(it, peak_bytes=1 << 49), "peak_bytes"),
    "a peak of the job of more than there is": (lambda it: replace(it, job_peak_bytes=1 << 49), "job_peak_bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", LAUNCH)
def test_a_launch_that_can_not_be(case, real):
    change, named = LAUNCH[case]
    with pytest.raises(errors.Implausible, match=named) as refused:
        checked(real, 0, change)
    assert refused.value.exit_code == 4
    assert refused.value.message.startswith("the board pi reports ")
    assert "launch" in refused.value.message


def trace(t_ns, power_uw, **changes):
    fields = {"meter": "replay", "rail": "", "quality": "measured", "gain_ppm": None, "offset_uw": None, "period_ns": 1, "delay_ns": 0,
              "t_ns": t_ns, "power_uw": power_uw, "energy_uj": (), "failed": 0, "missed": 0, "reading_ns": 0, "note": ""}  # fmt: skip
    return w.PowerTrace(**{**fields, **changes})


def power(**changes):
    return lambda it: replace(it, power=(replace(it.power[0], **changes),))


def window(**changes):
    return lambda it: replace(it, energy=replace(it.energy, **changes))


ENERGY = {
    "no window": (lambda it: replace(it, energy=None), "energy = missing"),
    "no trace": (lambda it: replace(it, power=()), "power = nothing"),
    "another meter": (power(meter="rapl"), "power = rapl"),
    "more values than times": (power(t_ns=()), "power of replay"),
    "two kinds of values": (lambda it: power(energy_uj=it.power[0].power_uw)(it), "power of replay"),
    "times that go back": (lambda it: power(t_ns=it.power[0].t_ns[::-1])(it), "power of replay, t_ns"),
    "a reading of before": (lambda it: power(t_ns=(0, *it.power[0].t_ns[1:]))(it), "power of replay, t_ns = 0"),
    "a reading of after": (lambda it: power(t_ns=(*it.power[0].t_ns[:-1], 2**61))(it), "power of replay, t_ns"),
    "no inference": (window(runs=0), "energy.runs"),
    "an end before its start": (lambda it: window(end_ns=it.energy.start_ns - 1)(it), "energy.idle, end"),
    "idle in the middle": (lambda it: window(idle=it.energy.idle[::-1])(it), "energy.idle"),
    "idle of another day": (lambda it: window(idle=((0, 1), it.energy.idle[1]))(it), "energy.idle, start = 0"),
    "times in a launch for the meters": (lambda it: replace(it, latency_ns=(60,)), "number of latency_ns = 1"),
}


@pytest.mark.parametrize("case", ENERGY)
def test_a_launch_for_the_meters_that_can_not_be(case, real):
    change, named = ENERGY[case]
    with pytest.raises(errors.Implausible, match=f"{named}.* launch 2"):
        checked(real, 1, change)


def blocks(change):
    return lambda it: replace(it, blocks=tuple(change(list(it.blocks))))


def every(**changes):
    return blocks(lambda found: [replace(block, **changes) for block in found])


def side(name, **changes):
    return lambda it: replace(it, **{name: replace(getattr(it, name), **changes)})


PAIRS = {
    "a block less": (blocks(lambda found: found[:-1]), "number of latency_ns"),
    "a cycle less": (blocks(lambda found: found[:4]), "number of latency_ns"),
    "no blocks": (blocks(lambda _: []), "number of latency_ns"),
    "one side only": (every(side="A"), "number of latency_ns"),
    "the sides changed": (blocks(lambda found: [replace(one, side="AB"[one.side == "A"]) for one in found]), "number of latency_ns|blocks|block"),
    "another cycle": (every(cycle=0), "blocks = ABBABAAB"),
    "fewer runs": (every(runs=1), "number of latency_ns"),
    "more runs": (every(runs=11), "number of latency_ns"),
    "blocks of no time": (blocks(lambda found: [replace(one, end_ns=one.start_ns) for one in found]), "sum of latency_ns of a block"),
    "blocks at once": (blocks(lambda found: [replace(one, start_ns=found[0].start_ns) for one in found]), "blocks, start"),
    "blocks of another day": (blocks(lambda found: [replace(one, start_ns=0) for one in found]), "blocks, start = 0"),
    "no times": (side("a", latency_ns=()), "number of latency_ns"),
    "times longer than their block": (lambda it: side("b", latency_ns=tuple(30 * time for time in it.b.latency_ns))(it), "pair 3, side B"),
    "a clock that goes back": (lambda it: side("b", after=later(it.b.before, -1))(it), "after.t_ns"),
    "idle that was not": (lambda it: replace(it, idle=((0, 1),)), "idle, start"),
    "a trace that nobody asked for": (lambda it: replace(it, power=(trace((), ()),)), "power = replay"),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRS)
def test_a_pair_that_can_not_be(case, real):
    change, named = PAIRS[case]
    with pytest.raises(errors.Implausible, match=named):
        checked(real, 2, change)


def test_runs_that_nobody_asked_for_though_the_times_fit(real):
    request, _, _ = real
    few = replace(request.pairs[0], block_max_runs=2, block_min_runs=1)
    other = (replace(request, pairs=(few,)), *real[1:])
    with pytest.raises(errors.Implausible, match="runs of a block"):
        checked(other, 0, lambda record: record)


def test_launches_come_one_after_the_other(real):
    """The clock of the board, from one launch to the next."""
    _request, said, machine = real
    job = plausible.Results("the board pi", machine, None, 0.0)
    first = next(record for record in said if isinstance(record, w.Launched))
    job.check(first)
    with pytest.raises(errors.Implausible, match=r"before\.t_ns = \d+ in launch 1"):
        job.check(first)


def test_a_launch_does_not_last_longer_than_this_machine_has_waited(real):
    century = 60 * 365 * 86_400 * S

    def aged(it):
        return replace(it, before=replace(it.before, t_ns=0), after=replace(it.after, t_ns=century))

    with pytest.raises(errors.Implausible, match=r"after\.t_ns - before\.t_ns = \d+ in launch 1"):
        checked(real, 0, aged)


def test_of_anothers_job_only_what_a_result_says_of_itself(real):
    _, said, machine = real
    job = plausible.Results("the board pi", machine, None, 0.0)
    for record in said:
        job.check(record)
    first = next(record for record in said if isinstance(record, w.Launched))
    with pytest.raises(errors.Implausible, match=r"after\.t_ns"):
        job.check(replace(first, after=later(first.before, -1)))
