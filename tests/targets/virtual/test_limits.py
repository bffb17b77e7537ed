"""A virtual board is held to its shape, whatever runs on it, and leaves nothing behind."""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pytest

from targets import inventory, open_session
from targets.shape import SHAPES, Shape
from targets.virtual.limits import CGROUP_ROOT, PREFIX, Limits, collect_leftovers, is_leftover, new_name
from targets.virtual.loopback import find_sshd, loopback_sshd
from tests.support.processes import ssh_command
from tests.support.virtual_boards import detach_job, on_board, shaped

pytestmark = pytest.mark.skipif(find_sshd() is None, reason="no sshd on this machine")


def need_cgroups(target, *controllers):
    for controller in controllers:
        if f" {controller}" not in target.note.replace("(", " "):
            pytest.skip(f"no control group for {controller} here: {target.note}")


def groups(name=PREFIX):
    return [path for path in CGROUP_ROOT.glob("**/") if path.name.startswith(name)]


def marked(target):
    return Path(target.key).parent.name


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_one_core(sshd_target):
    assert "1 core" in sshd_target.note
    assert on_board(sshd_target, "import os; print(len(os.sched_getaffinity(0)))").stdout == "1\n"
    nproc = subprocess.run(ssh_command(sshd_target, "nproc"), check=True, capture_output=True, text=True)
    assert nproc.stdout == "1\n"


def test_a_board_that_asks_for_more_cores_than_there_are_says_so():
    with loopback_sshd(shaped(cores=64)) as target:
        assert "not 64" in target.note or len(os.sched_getaffinity(0)) >= 64


EATER = """
import subprocess, sys
print(subprocess.run([sys.executable, "-c", "x = bytearray(300 << 20)"]).returncode)
"""


def test_out_of_memory_kills_what_is_inside_and_is_counted(sshd_target):
    with loopback_sshd(shaped(memory="128 MiB")) as target:
        need_cgroups(target, "memory")
        before = oom_kills(target)
        done = on_board(target, EATER)
        assert done.stdout.strip() == "-9"
        # ssh itself answers 255 for a command that a signal ended, so the shell there says it.
        shell = ssh_command(target, f"{sys.executable} -c 'x = bytearray(300 << 20)'; exit $?")
        assert subprocess.run(shell, check=False, timeout=60).returncode == 137
        assert oom_kills(target) >= before + 2
        assert on_board(target, "print('alive')").stdout == "alive\n"
    assert on_board(sshd_target, "print('alive')").stdout == "alive\n"


def oom_kills(target):
    """As the agent on the board can read it: from its own group."""
    text = own_file(target, "memory.oom_control", "memory.events")
    return int(re.search("oom_kill ([0-9]+)", text)[1])


def own_file(target, version_1, version_2):
    code = f"""
own = dict(line.strip().split(":", 2)[1:] for line in open("/proc/self/cgroup"))
if "memory" in own:
    path = "/sys/fs/cgroup/memory" + own["memory"] + "/{version_1}"
else:
    path = "/sys/fs/cgroup" + own[""] + "/{version_2}"
print(open(path).read())
"""
    return on_board(target, code).stdout


def test_the_board_can_read_its_own_memory_limit(sshd_target):
    need_cgroups(sshd_target, "memory")
    said = own_file(sshd_target, "memory.limit_in_bytes", "memory.max")
    assert int(said) == SHAPES["virtual"].memory_bytes == 1 << 30


SHARE = """
import time
wall, cpu = time.monotonic(), time.process_time()
while time.monotonic() < wall + 0.8: pass
print((time.process_time() - cpu) / (time.monotonic() - wall))
"""


def test_half_a_cpu():
    with loopback_sshd(shaped(cpu=0.5)) as target:
        need_cgroups(target, "cpu")
        for group in groups(marked(target)):  # what else this machine does must not decide
            for file, highest in (("cpu.shares", "262144"), ("cpu.weight", "10000")):
                if (group / file).exists():
                    (group / file).write_text(highest)
        shares = [float(on_board(target, SHARE).stdout) for _ in range(3)]
    assert 0.4 <= sorted(shares)[1] <= 0.6


def test_nothing_outlives_the_board(tmp_path):
    with loopback_sshd(shaped()) as target:
        job = detach_job(target, tmp_path)
        folder = Path(target.key).parent
        assert runs(job)
        assert groups(marked(target)) or "cgroup" not in target.note
    assert not runs(job)
    assert groups(marked(target)) == []
    assert not folder.exists()


def test_two_boards_at_once_do_not_collide(tmp_path):
    with loopback_sshd(shaped()) as staying:
        job = detach_job(staying, tmp_path)
        with loopback_sshd(shaped()) as going:
            other = detach_job(going, tmp_path)
        assert not runs(other)
        assert runs(job)
        assert on_board(staying, "print(1)").stdout == "1\n"


OWNER = """
import sys, time
from targets.virtual.loopback import loopback_sshd
from tests.support.virtual_boards import detach_job, shaped
from pathlib import Path
with loopback_sshd(shaped(), Path(sys.argv[2])) as target:
    job = detach_job(target, Path(sys.argv[1]))
    print(job, Path(target.key).parent, flush=True)
    time.sleep(300)
"""


@pytest.mark.parametrize("with_groups", [True, False])
def test_what_a_kill_9_left_is_collected_at_the_next_start(tmp_path, with_groups):
    root = CGROUP_ROOT if with_groups else tmp_path
    command = [sys.executable, "-c", OWNER, str(tmp_path), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as owner:
        try:
            job, folder = owner.stdout.readline().split()
            collect_leftovers(root)  # it lives: nothing of it may be touched
            assert runs(int(job))
        finally:
            owner.kill()
    assert runs(int(job))
    with loopback_sshd(shaped(), root):
        assert not runs(int(job))
        assert groups(Path(folder).name) == []
        assert not Path(folder).exists()


def test_a_name_tells_its_owner_also_after_the_process_id_was_used_again():
    name = new_name()
    assert not is_leftover(name)
    prefix, pid, ticks, end = name.rsplit("-", 3)
    assert is_leftover(f"{prefix}-{pid}-{int(ticks) - 1}-{end}")
    assert not is_leftover(f"{PREFIX}../../etc")
    assert not is_leftover("systemd")


def test_without_control_groups_it_says_what_holds_and_that_holds(tmp_path):
    with loopback_sshd(shaped(memory="128 MiB", cpu=0.5), tmp_path) as target:
        assert "1 core (CPU affinity)" in target.note
        assert "RLIMIT_DATA" in target.note
        assert "no quota of 0.5 CPU" in target.note
        assert on_board(target, "import os; print(len(os.sched_getaffinity(0)))").stdout == "1\n"
        done = on_board(target, "x = bytearray(300 << 20)", check=False)
        assert done.returncode == 1
        assert "MemoryError" in done.stderr
        # A model file that is mapped is no data, and address space that is only reserved is none either.
        mapped = "import mmap, tempfile\nf = tempfile.TemporaryFile()\nf.truncate(300 << 20)\nmmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)"  # fmt: skip
        on_board(target, mapped)
        job = detach_job(target, tmp_path)
        assert runs(job)
    assert not runs(job)


def test_a_group_that_could_not_be_joined_is_removed_again():
    gone = subprocess.Popen(["true"])
    gone.wait()
    name = new_name()
    with pytest.raises(ProcessLookupError):
        Limits(gone.pid, Shape(cpu=0.5), name)
    assert groups(name) == []


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


def test_version_2_is_written_where_it_is_delegated(tmp_path, sleeper):
    """On a recorded tree: no machine with delegated version 2 controllers was at hand."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.procs").write_text("")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    limits = Limits(sleeper, Shape(memory="512 MiB", cpu=0.5), "board", tmp_path)
    group = tmp_path / "board"
    assert {path.name: path.read_text() for path in group.iterdir()} == {
        "memory.max": str(512 << 20), "cpu.max": "50000 100000", "cgroup.procs": str(sleeper),
    }  # fmt: skip
    assert limits.note == "1 core (CPU affinity); 512 MiB (cgroup v2 memory); 0.5 CPU (cgroup v2 cpu quota)"
    assert len(os.sched_getaffinity(sleeper)) == 1
    assert resource.prlimit(sleeper, resource.RLIMIT_DATA)[0] != 512 << 20


def test_a_link_of_its_own(tmp_path):
    target = msgspec.structs.replace(inventory.find("virtual-small", Path()), root=str(tmp_path / "board"))
    with loopback_sshd(target) as started:
        assert "20 ms round trip, 10 Mbit/s" in started.note
        data = bytes(500_000)
        began = time.monotonic()
        command = ssh_command(started, "wc -c")
        done = subprocess.run(command, input=data, check=True, capture_output=True, timeout=60)
        assert done.stdout.strip() == b"500000"
        assert time.monotonic() - began > 500_000 / 1.25e6 + 0.020
    with open_session(target) as session:
        times = []
        for _ in range(3):
            began = time.monotonic()
            session.observe()
            times.append(time.monotonic() - began)
    assert 0.020 <= min(times) < 0.5


def test_what_lies_about_is_not_touched(tmp_path):
    """Folders and groups that only look like ours."""
    lookalike = Path(tempfile.gettempdir(), f"{PREFIX}notes-{tmp_path.name}")
    lookalike.mkdir()
    try:
        with loopback_sshd(shaped()):
            assert lookalike.exists()
    finally:
        lookalike.rmdir()
