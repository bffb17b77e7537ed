"""What a result can be, to the last digit, and how what can not be is told: records that are written by hand."""

import time

import pytest

from device_agent import wire as w
from device_agent.record import replace
from targets import errors, plausible
from targets.submission import submission
from tests.support.launched import CLEAN, LATER
from tests.support.launched import PAIR as PAIRED
from tests.support.scripted_board import HELLO
from tests.support.sessions import launch

S = 10**9
GIB = 1 << 30
MACHINE = w.Machine(**{**HELLO, "memory_bytes": 4 * GIB})
LAUNCH = launch(timed_min_runs=50, timed_max_runs=50)
METER = (w.MeterUse("ina219", ()),)
HINT = "No number of this job is used. Restart the board and measure again; report it if it happens twice."


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
    assert caught.value.message == f"pi says {words}"
    assert caught.value.hint == HINT
    return None


WHOLE = S  # of CLEAN
STEP = CLEAN.memory[0]
BEFORE, BUSY_US = (
    CLEAN.before,
    2 * S // 1000 + 10_000_000,
)  # of one of MACHINE's four CPUs: twice the time, and ten seconds
MOST = 9 * GIB  # twice the memory, and one


def between(name, value, least, most):
    must = f"it must be {least}" if least == most else f"it must lie between {least} and {most}"
    return f"{name} = {value} in launch 1: {must}"


BOUNDS = {
    "cold start, least": (
        result(cold_start_ns=9, import_ns=2, load_ns=3, first_ns=4), result(cold_start_ns=8, import_ns=2, load_ns=3, first_ns=4),
        between("cold_start_ns", 8, 9, WHOLE)),
    "cold start, most": (
        result(cold_start_ns=WHOLE - 5_100_000), result(cold_start_ns=WHOLE + 1), between("cold_start_ns", WHOLE + 1, 3, WHOLE)),
    "times": (
        result(cold_start_ns=10, latency_ns=(2,) * 50, warmup_ns=(WHOLE - 1000, 890)),
        result(cold_start_ns=10, latency_ns=(2,) * 50, warmup_ns=(WHOLE - 1000, 891)),
        between("the sum of warmup_ns and latency_ns", WHOLE - 9, 0, WHOLE - 10)),
    "counted": (result(counted_ns=WHOLE), result(counted_ns=WHOLE + 1), between("counted_ns", WHOLE + 1, 0, WHOLE)),
    "times, least": (result(), result(latency_ns=(9,) * 49), between("the number of latency_ns", 49, 50, 50)),
    "times, most": (result(), result(latency_ns=(9,) * 51), between("the number of latency_ns", 51, 50, 50)),
    "job_peak_bytes": (result(job_peak_bytes=MOST), result(job_peak_bytes=MOST + 1), between("job_peak_bytes", MOST + 1, 0, MOST)),
    "peak_bytes, most": (result(peak_bytes=MOST), result(peak_bytes=MOST + 1), between("peak_bytes", MOST + 1, 1 * 0 - (64 << 20), MOST)),
    "peak_bytes, least": (
        result(memory=(STEP, replace(STEP, resident_bytes=2_000_000_000), STEP), peak_bytes=1_900_000_000 - (64 << 20)),
        result(memory=(STEP, replace(STEP, resident_bytes=2_000_000_000), STEP), peak_bytes=1_900_000_000 - (64 << 20) - 1),
        between("peak_bytes", 1_900_000_000 - (64 << 20) - 1, 1_900_000_000 - (64 << 20), MOST)),
    "no peak": (result(peak_bytes=None, memory=(replace(STEP, resident_bytes=None, anonymous_bytes=None, file_bytes=None, private_dirty_bytes=None),)),
                result(after=replace(LATER, t_ns=-1)), "after.t_ns = -1 in launch 1: before.t_ns is 0: its clock went back"),
    "operators": (result(), result(operators=(w.Operator("a", "b", "", 1, 1),)), "operators = 1 in launch 1: nobody asked for them"),
    "outputs": (result(), result(outputs_sha256="c" * 64), "outputs_sha256 = 'cccccccccccc' in launch 1: the mode is time"),
    "energy": (result(), result(energy=w.EnergyWindow(1, 5, 6, 0, (), (), ())), "energy = there in launch 1: the mode is time"),
    **{
        f"memory.{name}": (
            result(memory=(STEP, replace(STEP, **{name: MOST})), peak_bytes=MOST),
            result(memory=(STEP, replace(STEP, **{name: MOST + 1})), peak_bytes=MOST),
            between(f"memory.{name}", MOST + 1, 0, MOST))
        for name in ("resident_bytes",)
    },
    **{
        f"memory.{name} of {resident} resident": (
            result(memory=(STEP, replace(STEP, resident_bytes=resident, **{name: most})), peak_bytes=MOST),
            result(memory=(STEP, replace(STEP, resident_bytes=resident, **{name: most + 1})), peak_bytes=MOST),
            between(f"memory.{name}", most + 1, 0, most))
        for name in ("anonymous_bytes", "file_bytes", "private_dirty_bytes")
        for resident, most in ((None, MOST), (1000, 1000 + (64 << 20)), (MOST, MOST))
    },
    "no time at all": (
        result(), result(cold_start_ns=0, import_ns=0, load_ns=0, first_ns=0), "cold_start_ns = 0 in launch 1: a process was started"),
    "busiest": (
        result(after=replace(LATER, busiest_us=BUSY_US * 4)), result(after=replace(LATER, busiest_us=BUSY_US * 4 + 1)),
        between("after.busiest_us", BUSY_US * 4 + 1, 0, BUSY_US * 4)),
    **{
        f"after.{name}": (
            result(before=replace(BEFORE, **{name: 7}), after=replace(LATER, **{name: 7 + most})),
            result(before=replace(BEFORE, **{name: 7}), after=replace(LATER, **{name: 8 + most})),
            f"after.{name} - before.{name} = {most + 1} in launch 1: it can be {most} at most")
        for name, most in (
            ("busy_us", BUSY_US * 4), ("steal_us", BUSY_US * 4), ("own_us", BUSY_US * 4), ("cpu_stalled_us", BUSY_US),
            ("memory_stalled_us", BUSY_US), ("io_stalled_us", BUSY_US), ("swapped_in_pages", WHOLE))
    },
    "a counter that went back": (result(before=replace(BEFORE, busy_us=10**12)), result(major_faults=WHOLE + 1), between("major_faults", WHOLE + 1, 0, WHOLE)),
}  # fmt: skip


@pytest.mark.parametrize("case", BOUNDS)
def test_at_the_bound_it_can_be_and_beyond_it_can_not(case):
    at, beyond, words = BOUNDS[case]
    says(at, "")
    says(beyond, words)


def test_an_operator_takes_no_longer_than_its_launch():
    asked = replace(LAUNCH, mode="profile")
    operators = lambda runs: (w.Operator("a", "Conv", "", S // 10, runs),)  # noqa: E731
    says(result(operators=operators(10), latency_ns=()), "", asked=asked)
    beyond = between("mean_ns * runs of an operator", S // 10 * 11, 0, S)
    says(result(operators=operators(11), latency_ns=()), beyond, asked=asked)


def test_more_memory_is_free_than_there_is():
    plausible.conditions("pi", MACHINE, replace(LATER, available_bytes=MOST))
    plausible.conditions("pi", replace(MACHINE, memory_bytes=0), replace(LATER, available_bytes=1 << 50))
    with pytest.raises(errors.Implausible, match=f"available_bytes = {MOST + 1}, and has {4 * GIB} bytes of memory"):
        plausible.conditions("pi", MACHINE, replace(LATER, available_bytes=MOST + 1))


def test_without_a_request_only_what_one_result_says_of_itself():
    nothing = result(cold_start_ns=0, warmup_ns=(), latency_ns=(), counted_ns=0, import_ns=0, after=CLEAN.before)
    says(nothing, "", asked=None)
    says(result(cold_start_ns=0, import_ns=S), "", asked=None)
    says(result(cold_start_ns=0, import_ns=S + 1), between("import_ns", S + 1, 0, S), asked=None)
    says(result(cold_start_ns=2), between("cold_start_ns", 2, 3, S), asked=None)
    says(result(cold_start_ns=0), between("cold_start_ns", 0, 3, S))
    says(result(power=(trace(),)), "", asked=None)


def test_what_only_one_mode_has():
    profile = result(cold_start_ns=0, latency_ns=(), operators=(w.Operator("a", "b", "", 1, 1),))
    says(profile, "", asked=replace(LAUNCH, mode="profile"))
    says(
        replace(profile, latency_ns=(5,)), between("the number of latency_ns", 1, 0, 0), replace(LAUNCH, mode="profile")
    )
    says(result(outputs_sha256="c" * 64, latency_ns=()), "", asked=replace(LAUNCH, mode="evaluate"))
    says(
        result(latency_ns=()), "outputs_sha256 = '' in launch 1: the mode is evaluate", replace(LAUNCH, mode="evaluate")
    )
    says(result(latency_ns=()), "energy = missing in launch 1: the mode is energy", replace(LAUNCH, mode="energy"))


def test_fewer_times_than_the_least_where_the_most_is_less():
    few = replace(LAUNCH, timed_min_runs=9, timed_max_runs=7)
    says(result(latency_ns=(9,) * 7), "", few)
    says(result(latency_ns=(9,) * 6), between("the number of latency_ns", 6, 7, 7), few)
    some = replace(LAUNCH, timed_min_runs=3, timed_max_runs=7)
    says(result(latency_ns=(9,) * 3), "", some)
    says(result(latency_ns=(9,) * 8), between("the number of latency_ns", 8, 3, 7), some)


def test_the_cpus_that_were_asked_for():
    says(result(cpus=(1, 2)), "", replace(LAUNCH, cpus=(1, 2)))
    says(result(cpus=(1, 3)), "cpus = [1, 3] in launch 1: [1, 2] were asked for", replace(LAUNCH, cpus=(1, 2)))
    says(result(cpus=(1, 3)), "")


def test_a_board_that_does_not_tell_its_memory():
    says(result(job_peak_bytes=1 << 62), "", machine=replace(MACHINE, memory_bytes=0))
    says(result(job_peak_bytes=(1 << 62) + 1), between("job_peak_bytes", (1 << 62) + 1, 0, 1 << 62), machine=replace(MACHINE, memory_bytes=0))  # fmt: skip


# --- meters


def trace(t_ns=(10, 20), power_uw=(1, 2), energy_uj=(), meter="ina219"):
    return w.PowerTrace(meter, "", "measured", None, None, 1, 0, t_ns, power_uw, energy_uj, 0, 0, 0, "")


MEASURED = replace(LAUNCH, meters=METER)


@pytest.mark.parametrize(
    ("power", "words"),
    [
        ((trace(),), ""),
        ((trace(power_uw=(), energy_uj=(1, 2)),), ""),
        ((trace((0, 0), (1, 2)),), ""),
        ((trace((S, S), (1, 2)),), ""),
        ((trace((), ()),), ""),
        ((), "power = nothing in launch 1: ina219 was asked for"),
        ((trace(meter="x"), trace(meter="y")), "power = x, y in launch 1: ina219 was asked for"),
        ((trace((1,)),), "power of ina219 = 2 values in launch 1: it has 1 times"),
        ((trace(energy_uj=(1, 2)),), "power of ina219 = 2 values in launch 1: it has 2 times"),
        ((trace(power_uw=(), energy_uj=(1,)),), "power of ina219 = 1 values in launch 1: it has 2 times"),
        ((trace((-1, 2)),), between("power of ina219, t_ns", -1, 0, S)),
        ((trace((5, 4)),), between("power of ina219, t_ns", 4, 5, S)),
        ((trace((5, S + 1)),), between("power of ina219, t_ns", S + 1, 5, S)),
    ],
)
def test_what_the_meters_of_a_launch_say(power, words):
    says(result(power=power), words, MEASURED)


def test_meters_that_nobody_asked_for():
    says(result(power=(trace(),)), "power = ina219 in launch 1: no meter was asked for")
    two = replace(LAUNCH, meters=(*METER, w.MeterUse("rapl", ())))
    says(result(), "power = nothing in launch 1: ina219, rapl was asked for", two)


ENERGY = replace(LAUNCH, mode="energy")


def window(runs=1, start_ns=100, end_ns=200, idle=((50, 90), (210, 220)), busy=((10, 20), (20, 100))):
    return w.EnergyWindow(runs, start_ns, end_ns, 0, idle, busy, ())


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (window(), ""),
        (window(2**40, 100, 200, ((0, 100), (200, S))), ""),
        (window(idle=(), busy=()), ""),
        (window(0), between("energy.runs", 0, 1, 2**40)),
        (window(2**40 + 1), between("energy.runs", 2**40 + 1, 1, 2**40)),
        (window(idle=((50, 101), (210, 220))), between("energy.idle, start", 100, 101, S)),
        (window(idle=((50, 90), (199, 220))), between("energy.idle, start", 199, 200, S)),
        (window(idle=((50, 90), (210, S + 1))), between("energy.idle, end", S + 1, 210, S)),
        (window(idle=((50, 49), (210, 220))), between("energy.idle, end", 49, 50, S)),
        (window(end_ns=99), between("energy.idle, end", 99, 100, S)),
        (window(busy=((10, 20), (19, 30))), between("energy.busy, start", 19, 20, 100)),
        (window(busy=((10, 101),)), between("energy.busy, end", 101, 10, 100)),
        (window(busy=((-1, 101),)), between("energy.busy, start", -1, 0, 100)),
    ],
)
def test_the_window_of_the_energy(energy, words):
    says(result(latency_ns=(), energy=energy), words, ENERGY)


# --- pairs: each side 10 times in each of two blocks

SIDE = launch(mode="turns", timed_max_runs=20)
PAIR = w.Pair(SIDE, SIDE, "AB", ("ABBA",), 1, 10, 10)
TIMES = result(latency_ns=(100,) * 20)
BLOCKS = tuple(
    replace(block, cycle=0, start_ns=5000 * at, end_ns=5000 * at + 1000) for at, block in enumerate(PAIRED.blocks)
)
GOOD = replace(PAIRED, a=TIMES, b=TIMES, blocks=BLOCKS)


def blocks(at, **changes):
    return replace(GOOD, blocks=tuple(replace(b, **changes) if i == at else b for i, b in enumerate(BLOCKS)))


def of_pair(name, value, least, most, where="pair 1"):
    return between(name, value, least, most).replace("launch 1", where)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (GOOD, ""),
        (replace(GOOD, a=replace(TIMES, latency_ns=(100,) * 19)), of_pair("the number of latency_ns", 19, 20, 20, "pair 1, side A")),
        (replace(GOOD, b=replace(TIMES, latency_ns=(100,) * 21)), of_pair("the number of latency_ns", 21, 20, 20, "pair 1, side B")),
        (replace(GOOD, b=replace(TIMES, counted_ns=S + 1)), of_pair("counted_ns", S + 1, 0, S, "pair 1, side B")),
        (blocks(1, end_ns=5999), of_pair("the sum of latency_ns of a block", 1000, 0, 999, "pair 1, side B")),
        (blocks(3, end_ns=14_000), of_pair("the sum of latency_ns of a block", 1000, 0, 0, "pair 1, side A")),
        (replace(GOOD, a=replace(TIMES, latency_ns=(*[90] * 10, *[101] * 10))), of_pair("the sum of latency_ns of a block", 1010, 0, 1000, "pair 1, side A")),
        (blocks(2, start_ns=5999, end_ns=7000), of_pair("blocks, start", 5999, 6000, S)),
        (blocks(3, end_ns=S), ""),
        (blocks(3, end_ns=S + 1), of_pair("blocks, end", S + 1, 15_000, S)),
        (blocks(1, cycle=1), "blocks = ABBA in pair 1: ABBA were asked for"),
        (replace(GOOD, idle=((0, 5), (5, S))), ""),
        (replace(GOOD, idle=((0, 5), (4, S))), of_pair("idle, start", 4, 5, S)),
        (replace(GOOD, power=(trace(),)), "power = ina219 in pair 1: no meter was asked for"),
    ],
)  # fmt: skip
def test_what_a_pair_can_be(record, words):
    says(record, words, PAIR)


def test_what_another_pair_can_be():
    says(replace(GOOD, blocks=BLOCKS[:2], a=replace(TIMES, latency_ns=(9,) * 10), b=replace(TIMES, latency_ns=(9,) * 10)), "", None)  # fmt: skip
    says(replace(GOOD, power=(trace(),)), "", None)
    longest = replace(GOOD, b=replace(TIMES, after=replace(LATER, t_ns=2 * S)), idle=((0, 2 * S),), power=(trace((0, 2 * S)),))  # fmt: skip
    says(longest, "", None)
    says(replace(longest, idle=((0, 2 * S + 1),)), of_pair("idle, end", 2 * S + 1, 0, 2 * S), None)


def test_the_runs_of_a_block():
    many = replace(PAIR, block_min_runs=10, block_max_runs=9)
    says(GOOD, of_pair("the runs of a block", 10, 9, 9), many)
    says(GOOD, of_pair("the runs of a block", 10, 11, 12), replace(PAIR, block_min_runs=11, block_max_runs=12))
    says(GOOD, "", replace(PAIR, block_min_runs=1, block_max_runs=10))
    says(GOOD, "blocks = ABBA in pair 1: BAAB were asked for", replace(PAIR, cycles=("BAAB",)))
    says(GOOD, "blocks = ABBA in pair 1: ABBAABBA were asked for", replace(PAIR, cycles=("ABBA", "ABBA")))


def test_no_more_times_than_are_kept_of_a_side():
    kept = replace(GOOD, a=replace(TIMES, latency_ns=(100,) * 15))
    says(kept, "", replace(PAIR, a=replace(SIDE, timed_max_runs=15)))
    says(GOOD, of_pair("the number of latency_ns", 20, 15, 15, "pair 1, side A"), replace(PAIR, a=replace(SIDE, timed_max_runs=15)))  # fmt: skip


def test_the_meters_of_a_pair_are_those_of_its_first_side():
    measured = replace(PAIR, a=replace(SIDE, meters=METER))
    says(replace(GOOD, power=(trace(),)), "", measured)
    says(GOOD, "power = nothing in pair 1: ina219 was asked for", measured)


# --- one after the other


def test_results_come_one_after_the_other():
    it = plausible.Results("pi", MACHINE, submission((LAUNCH,) * 3, "test", (PAIR,)), plausible.now_s() - 60)
    at = [replace(CLEAN.before, t_ns=t * S) for t in range(6)]
    it.check(result(before=at[0], after=at[1]))
    it.check(result(index=1, before=at[1], after=at[2]))
    it.check(w.LaunchFailed(1, 2, "load", "x", "y"))
    assert it.item == "launch 3"
    with pytest.raises(errors.Implausible, match=r"before\.t_ns = 2000000000 in launch 3: .* 2000000001 and"):
        it.last_ns += 1
        it.check(result(index=2, before=at[2], after=at[3]))
    it.last_ns = 0
    it.check(replace(GOOD, index=3, a=replace(TIMES, after=at[3]), b=replace(TIMES, after=at[2])))
    assert it.last_ns == 3 * S
    it.last_ns = 0
    it.check(replace(GOOD, index=3, a=replace(TIMES, after=at[2]), b=replace(TIMES, after=at[3])))
    assert it.last_ns == 3 * S


def test_no_launch_is_longer_than_the_time_that_has_passed(monkeypatch):
    """1.05 times what this machine has seen pass, and a minute."""
    monkeypatch.setattr(plausible, "now_s", lambda: 500.0)
    most = round((100 * 1.05 + 60) * S)
    it = plausible.Results("pi", MACHINE, submission((LAUNCH,) * 2, "test"), 400.0)
    it.check(result(before=replace(LATER, t_ns=S), after=replace(LATER, t_ns=S + most)))
    it.last_ns = 0
    with pytest.raises(errors.Implausible) as caught:
        it.check(result(before=replace(LATER, t_ns=S), after=replace(LATER, t_ns=S + most + 1)))
    assert caught.value.message == f"pi says {between('after.t_ns - before.t_ns', most + 1, 0, most)}"
    other = plausible.Results("pi", MACHINE, None, 400.0)
    other.check(result(after=replace(LATER, t_ns=S + most + 1)))
    other.check(result(before=replace(LATER, t_ns=2**63), after=replace(LATER, t_ns=2**63 + S)))
    with pytest.raises(errors.Implausible, match=r"before\.t_ns"):
        other.check(result(before=replace(LATER, t_ns=2**63 + 1), after=replace(LATER, t_ns=2**63 + 2 * S)))


# --- what is no job's


def test_the_clock_goes_on_while_this_machine_sleeps(monkeypatch):
    monkeypatch.setattr(plausible.time, "clock_gettime", lambda clock: clock)
    assert plausible.now_s() == time.CLOCK_BOOTTIME
    monkeypatch.delattr(plausible.time, "CLOCK_BOOTTIME")
    assert plausible.now_s() == time.CLOCK_MONOTONIC


def test_the_words_about_meters_sizes_and_jobs():
    info = w.MeterInfo("rapl", "", "measured", 1, True, "")
    plausible.meters("pi", [info], ())
    plausible.meters("pi", [info], [w.MeterUse("rapl", ())])
    plausible.size("pi", 9, 9)
    job = w.JobInfo("1" * 32, "me", w.FINISHED, 5, 2, 2, "")
    plausible.jobs("pi", [job])
    cases = {
        "pi told of the meters ['rapl'], which were not asked for": (lambda: plausible.meters("pi", [info], METER), "Run again."),
        "pi says Blob.size_bytes = 10: what was asked for has 9 at most": (lambda: plausible.size("pi", 10, 9), plausible.AGAIN),
        f"pi says done = 3 of the job {'1' * 32}, which has 2 launches": (lambda: plausible.jobs("pi", [job, replace(job, done=3)]), plausible.AGAIN),
    }  # fmt: skip
    for words, (act, hint) in cases.items():
        with pytest.raises(errors.Implausible) as caught:
            act()
        assert (caught.value.message, caught.value.hint) == (words, hint)
