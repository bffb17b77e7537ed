"""What a result can be, to the last digit, and how what cannot be is told: records that are written by hand."""

import time

import pytest

from device_agent import wire as w
from device_agent.record import replace
from targets import errors, plausible
from targets.submission import submission
from tests.support.launched import CLEAN, LATER
from tests.support.plausible_results import (
    GIB,
    GOOD,
    LAUNCH,
    MACHINE,
    METER,
    PAIR,
    TIMES,
    WHOLE,
    S,
    between,
    result,
    says,
    trace,
)

STEP = CLEAN.memory[0]
BEFORE, BUSY_US = (
    CLEAN.before,
    2 * S // 1000 + 10_000_000,
)  # of one of MACHINE's four CPUs: twice the time, and ten seconds
MOST = 9 * GIB  # twice the memory, and one


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
    "operators": (result(), result(operators=(w.Operator("a", "b", "", 1, 1),)), "operators = 1 in launch 1: they were not requested"),
    "outputs": (result(), result(outputs_sha256=("c" * 64,)), "outputs_sha256 = 1 hashes in launch 1: the mode is time"),
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
    with pytest.raises(errors.Implausible, match=f"available_bytes = {MOST + 1}, but has {4 * GIB} bytes of memory"):
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
    says(result(outputs_sha256=("c" * 64,), latency_ns=()), "", asked=replace(LAUNCH, mode="evaluate"))
    says(
        result(latency_ns=()),
        "outputs_sha256 = 0 hashes in launch 1: the mode is evaluate",
        replace(LAUNCH, mode="evaluate"),
    )
    says(result(latency_ns=()), "energy = missing in launch 1: the mode is energy", replace(LAUNCH, mode="energy"))


FUNCTION = w.OwnFunction("judging", "f", "c" * 64)
TIMED = replace(
    LAUNCH, mode="end_to_end", timed_min_runs=2, end_to_end=w.EndToEnd(FUNCTION, None, (w.NamedRows("x", "d" * 64),), (), ())
)  # fmt: skip
PARTS = w.EndToEndTimed((10, 10), (20, 20), (), (), ("d" * 64, "c" * 64))


def test_the_parts_of_what_is_timed_end_to_end():
    good = result(latency_ns=(60, 60), end_to_end=PARTS)
    says(good, "", TIMED)
    says(good, "end_to_end = there in launch 1: the mode is time", replace(LAUNCH, timed_min_runs=2))
    says(replace(good, end_to_end=None), "end_to_end = missing in launch 1: the mode is end_to_end", TIMED)
    for changes, words in (
        ({"preprocess_ns": (10,)}, between("the number of preprocess_ns", 1, 2, 2)),
        ({"inference_ns": (20, 20, 20)}, between("the number of inference_ns", 3, 2, 2)),
        ({"inference_ns": (20, 51)}, between("preprocess_ns + inference_ns", 61, 0, 60)),
        ({"files_sha256": ("d" * 64,)}, "files_sha256 = 1 hashes in launch 1: 2 files were sent for it"),
    ):
        says(replace(good, end_to_end=replace(PARTS, **changes)), words, TIMED)


def test_fewer_times_than_the_least_where_the_most_is_less():
    few = replace(LAUNCH, timed_min_runs=9, timed_max_runs=7)
    says(result(latency_ns=(9,) * 7), "", few)
    says(result(latency_ns=(9,) * 6), between("the number of latency_ns", 6, 7, 7), few)
    some = replace(LAUNCH, timed_min_runs=3, timed_max_runs=7)
    says(result(latency_ns=(9,) * 3), "", some)
    says(result(latency_ns=(9,) * 8), between("the number of latency_ns", 8, 3, 7), some)


def test_the_cpus_that_were_asked_for():
    says(result(cpus=(1, 2)), "", replace(LAUNCH, cpus=(1, 2)))
    says(result(cpus=(1, 3)), "cpus = [1, 3] in launch 1: [1, 2] were requested", replace(LAUNCH, cpus=(1, 2)))
    says(result(cpus=(1, 3)), "")


def test_a_board_that_does_not_tell_its_memory():
    says(result(job_peak_bytes=1 << 62), "", machine=replace(MACHINE, memory_bytes=0))
    says(result(job_peak_bytes=(1 << 62) + 1), between("job_peak_bytes", (1 << 62) + 1, 0, 1 << 62), machine=replace(MACHINE, memory_bytes=0))  # fmt: skip


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
    assert caught.value.message == f"pi reports {between('after.t_ns - before.t_ns', most + 1, 0, most)}"
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
        "pi reports the meters ['rapl'], which were not requested": (lambda: plausible.meters("pi", [info], METER), "Run again."),
        "pi reports Blob.size_bytes = 10: the requested file has 9 at most": (lambda: plausible.size("pi", 10, 9), plausible.AGAIN),
        f"pi reports done = 3 for the job {'1' * 32}, which has 2 launches": (lambda: plausible.jobs("pi", [job, replace(job, done=3)]), plausible.AGAIN),
    }  # fmt: skip
    for words, (act, hint) in cases.items():
        with pytest.raises(errors.Implausible) as caught:
            act()
        assert (caught.value.message, caught.value.hint) == (words, hint)
