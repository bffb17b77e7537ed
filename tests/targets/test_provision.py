"""Which runtimes a board can have, and that what comes fits it and runs."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from device_agent import wire
from device_agent.record import replace
from device_agent.wire import Machine
from targets import inventory, open_session, provision, wheel_tags
from targets.errors import RuntimeUnavailable
from tests.support.agent_process import LAUNCH, pythons, sha256
from tests.support.fed import fed
from tests.support.machines import BOARDS, board, of32
from tests.support.models import MODELS

DENSE = {"tflite_runtime": "dense_float.tflite", "ai_edge_litert": "dense_float.tflite", "onnxruntime": "dense.onnx"}


LEAST = {
    "tflite_runtime": "tflite-runtime>=2.13",
    "ai_edge_litert": "ai-edge-litert>=2.1",
    "onnxruntime": "onnxruntime>=1.19",
}
QUICK = ("bookworm 64 bit", "bookworm 32 bit", "JetPack 5")


def quick_ones(names):
    """All of them, those that are not quick marked `whole`."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.whole) for name in names]


@pytest.mark.parametrize("name", BOARDS)
def test_what_boards_can_have(name):
    machine, expected = BOARDS[name]
    assert expected == set(provision.possible(machine))


@pytest.mark.parametrize(
    ("name", "machine", "reason"),
    [
        ("tflite_runtime", board(python="3.13.5"), "Python 3.8 to 3.11, the board has 3.13"),
        ("ai_edge_litert", of32("3.11.2", "2.36"), "it exists for aarch64, x86_64, the board's Python is armv7l"),
        ("tflite_runtime", board(libc_version="2.31"), "it needs glibc 2.34 for Python 3.11, the board has 2.31"),
        ("onnxruntime", board(libc="musl"), "it exists for glibc, the board has musl"),
        ("tflite_runtime", board(arch="armv7l", bits=32), "apt-get install python3-numpy"),
        ("onnxruntime_cuda", board(packages=("numpy 1.24.2",)), "the system's own onnxruntime-gpu"),
    ],
)
def test_refusals_say_why(name, machine, reason):
    with pytest.raises(RuntimeUnavailable, match=f"cannot have the runtime {name}.*{reason}"):
        provision.check(name, machine)


def test_refusal_names_what_the_board_can_have():
    with pytest.raises(RuntimeUnavailable) as caught:
        provision.check("tflite_runtime", board(python="3.13.5"))
    assert "ai_edge_litert, onnxruntime" in caught.value.hint


def test_unknown_runtime():
    with pytest.raises(RuntimeUnavailable, match="no runtime called tensorrt"):
        provision.check("tensorrt", board())


@given(text=st.text(max_size=20), arch=st.text(max_size=10), libc=st.text(max_size=10))
def test_whatever_a_board_says_of_itself_is_an_answer(text, arch, libc):
    """The hello comes from the board: nothing that stands in it may crash the host."""
    machine = board(python=text, arch=arch, libc_version=libc)
    assert set(provision.possible(machine)) <= set(provision.RUNTIMES)


@pytest.mark.parametrize("machine", quick_ones(BOARDS))
def test_the_table_is_what_the_package_index_has(machine, tmp_path):
    """Asked of the index without downloading: what the table says to exist does, and nothing else."""
    facts, _ = BOARDS[machine]
    facts = replace(facts, packages=("numpy 1.24.2",))  # what the board itself has is not the index's
    if facts.libc != "glibc":
        pytest.skip("no options for pip can be made of another libc")
    for name in DENSE:
        runtime = provision.RUNTIMES[name]
        there = provision.why_not(name, facts) is None
        asked = provision.requirements(runtime, facts) if there else (LEAST[name],)
        options = (*wheel_tags.pip_options(facts), *asked)
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps", "--report", "-",
                   "--only-binary=:all:", "--target", str(tmp_path), *options]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == there, (name, done.stderr)
        if done.returncode == 0:
            files = [each["download_info"]["url"].rsplit("/")[-1] for each in json.loads(done.stdout)["install"]]
            assert len(files) == len(asked)
            assert all(_fits_board(file, facts) and wheel_tags.fits(file, facts) for file in files), files


def test_wheels_fit_the_board(tmp_path, monkeypatch):
    """Really downloaded, for a CPU that is not this one's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    facts, _ = BOARDS["JetPack 5"]
    files = provision.wheels("tflite_runtime", facts)
    assert [each.path.name.split("-")[0] for each in files] == ["numpy", "tflite_runtime"]
    assert all(_fits_board(each.path.name, facts) for each in files)


@pytest.mark.parametrize(
    ("name", "machine", "version", "expected"),
    [
        ("onnxruntime", board(), None, ("onnxruntime==1.32.0", "numpy==2.4.6")),
        ("onnxruntime", board(python="3.10.12"), None, ("onnxruntime==1.23.2", "numpy==2.2.6")),
        ("onnxruntime", board(python="3.8.10"), None, ("onnxruntime==1.19.2", "numpy==1.24.4")),
        ("onnxruntime", board(), "1.20.1", ("onnxruntime==1.20.1", "numpy==2.4.6")),
        ("onnxruntime", board(), "1.18.1", ("onnxruntime==1.18.1", "numpy==1.26.4")),
        ("tflite_runtime", board(libc_version="2.31", python="3.9.2"), None, ("tflite-runtime==2.13.0", "numpy==1.26.4")),
        ("tflite_runtime", of32("3.11.2", "2.36"), None, ("tflite-runtime==2.14.0",)),
        ("onnxruntime", board(python=""), "1.20.1", ("onnxruntime==1.20.1",)),
    ],
)  # fmt: skip
def test_every_version_is_said_exactly(name, machine, version, expected):
    """Two hosts measure with the same, whenever they download it; numpy goes with the runtime's version."""
    assert provision.requirements(provision.RUNTIMES[name], machine, version) == expected


def test_a_wheel_of_ones_own(tmp_path, monkeypatch):
    """It is taken as it is where it fits the board, with a numpy from the cache."""
    monkeypatch.setattr(provision.wheel_cache, "wheels", lambda name, options, asked, say: (name, *asked))
    path = tmp_path / "onnxruntime-1.20.1+pi-cp311-cp311-linux_aarch64.whl"
    path.write_bytes(b"wheel")
    mine, *others = provision.wheels("onnxruntime", board(), path)
    assert (mine.path, mine.sha256, others) == (path, sha256(b"wheel"), ["onnxruntime", "numpy==2.4.6"])
    assert provision.version_of("onnxruntime", [path.name]) == "1.20.1+pi"
    for other in (board(python="3.12.3"), board(arch="x86_64"), board(libc="musl", arch="armv7l", bits=32)):
        with pytest.raises(
            RuntimeUnavailable, match=r"onnxruntime-1.20.1\+pi.*is not for this board, which has Python 3"
        ):
            provision.wheels("onnxruntime", other, path)


def _fits_board(file: str, facts: Machine) -> bool:
    """What pip chose, by `packaging`'s own reading of the tags."""
    version = "".join(facts.python.split(".")[:2])
    arch, glibc = wheel_tags.wheel_arch(facts), wheel_tags.glibc_version(facts)
    return any(_fits(tag, version, arch, glibc) for tag in parse_wheel_filename(file)[3])


def _fits(tag: Tag, version: str, arch: str, glibc: tuple[int, int]) -> bool:
    python = tag.interpreter in {f"cp{version}", "py3"} or (
        tag.abi == "abi3" and int(tag.interpreter[3:]) <= int(version[1:])
    )
    old = {"manylinux2014": (2, 17), "manylinux2010": (2, 12), "manylinux1": (2, 5)}
    name = tag.platform.removesuffix(f"_{arch}")
    if name == tag.platform:
        return False
    needs = old.get(name) or tuple(map(int, name.removeprefix("manylinux_").split("_")))
    return python and needs <= glibc


FUNCTIONS = b"""import dataclasses
import numpy as np

@dataclasses.dataclass
class Scale:
    by: float = 100

def before(rows):
    return {"x": rows["picture"] / Scale().by}

def after(outputs):
    return {"first": outputs["y"][:, :1]}
"""


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def timed_with_functions(session, launch, rows) -> wire.Launch:
    """The same file, between two functions of the user's."""
    for data in (FUNCTIONS, npy(rows * 100.0)):
        session.put(data, sha256(data))
    own = wire.EndToEnd(
        preprocess=wire.OwnFunction("judging", "before", sha256(FUNCTIONS)),
        postprocess=wire.OwnFunction("judging", "after", sha256(FUNCTIONS)),
        rows=(wire.NamedRows("picture", sha256(npy(rows * 100.0))),),
        fed=(("x", "float32"),),
        outputs=("y",),
    )
    return replace(launch, mode="end_to_end", end_to_end=own, timed_min_runs=20, timed_max_runs=1000)


def check_timed(timed, rows):
    assert isinstance(timed, wire.Launched), timed
    it = timed.end_to_end
    assert it.golden == pytest.approx(rows[:4].ravel(), rel=1e-5)
    assert it.gives == (wire.Given("first", (1,)),)
    assert len(it.preprocess_ns) == len(it.inference_ns) == len(timed.latency_ns) >= 20
    assert min(timed.latency_ns) > 0


@pytest.mark.parametrize(
    ("version", "name"),
    [
        pytest.param(version, name, marks=[] if version in ("3.8", "3.11") else [pytest.mark.whole])
        for version in pythons()
        for name in DENSE
    ],
)
def test_runtimes_run_from_separate_sites(version, name, tmp_path_factory):
    """With the real interpreters: numpy beside its numpy.libs, the runtime in another folder, and right answers. A second
    time nothing is sent.
    """
    root = tmp_path_factory.getbasetemp() / f"python-{version}"  # one board a Python: numpy is shared by its hash
    target = inventory.Target(name="local", kind="local", host="", user="", python=pythons()[version], root=str(root))
    with open_session(target) as session:
        if name not in provision.possible(session.machine):
            pytest.skip(str(provision.why_not(name, session.machine)))
        files = provision.wheels(name, session.machine)
        before = session.have((), tuple(each.sha256 for each in files)).sites
        sites, sent = provision.install(session, files)
        assert sites == tuple(each.sha256 for each in files)
        assert sent == sum(each.path.stat().st_size for each in files if each.sha256 not in before)
        assert provision.install(session, files) == (sites, 0)
        model = MODELS / DENSE[name]
        rows = np.random.default_rng(7).uniform(-1, 1, (5, 4)).astype("float32")
        for data in (model.read_bytes(), npy(rows)):
            session.put(data, sha256(data))
        launch = wire.Launch(
            mode="evaluate", model_sha256=sha256(model.read_bytes()), model_format=model.suffix[1:], runtime=name, sites=sites,
            inputs=fed(sha256(npy(rows))), outputs=(), state=(), sequences=False, half=False, threads=1, warmup_min_ns=0, warmup_max_ns=10**9, timed_min_ns=1,
            timed_min_runs=1, timed_max_runs=1, timeout_ns=10**11, rotated_rows=1, cpus=(), meters=(), idle_ns=0, pattern_ns=0, end_to_end=None,
        )  # fmt: skip
        job_id = session.submit((launch, timed_with_functions(session, launch, rows)), "test")
        launched, timed = (each for each in session.follow(job_id) if not isinstance(each, wire.Event))
        session.forget(job_id)
        assert isinstance(launched, wire.Launched), launched
        check_timed(timed, rows)
        weights = np.array(
            [[((i + 2 * j) % 5 - 2) / 4 for j in range(3)] for i in range(4)], "float32"
        )  # tests/models/make.py
        answers = np.load(io.BytesIO(session.get(launched.outputs_sha256[0], 1 << 20)))
        np.testing.assert_allclose(answers, rows @ weights + np.array([0.5, -0.25, 0], "float32"), atol=1e-5)


def test_a_runtime_is_unpacked_on_a_board_over_ssh(sshd):
    """The board needs no pip: wheels are pushed and unpacked, and a second time nothing is sent."""
    with open_session(sshd) as session:
        files = provision.wheels("ai_edge_litert", session.machine)
        sites, sent = provision.install(session, files)
        assert sent == sum(each.path.stat().st_size for each in files)
        assert provision.install(session, files) == (sites, 0)
        model, rows = (
            MODELS / DENSE["ai_edge_litert"],
            np.random.default_rng(7).uniform(-1, 1, (5, 4)).astype("float32"),
        )
        launch = replace(
            LAUNCH, model_sha256=sha256(model.read_bytes()), model_format="tflite", runtime="ai_edge_litert", sites=sites,
            inputs=fed(sha256(npy(rows))),
        )  # fmt: skip
        for data in (model.read_bytes(), npy(rows)):
            session.put(data, sha256(data))
        job_id = session.submit((timed_with_functions(session, launch, rows),), "test")
        (timed,) = (each for each in session.follow(job_id) if not isinstance(each, wire.Event))
        check_timed(timed, rows)
    folders = [f"{sshd.root}/sites/{site}" for site in sites]
    script = f"import sys; sys.path[:0] = {folders}; import ai_edge_litert, numpy; print(ai_edge_litert.__file__)"
    said = subprocess.run([sshd.python, "-I", "-c", script], check=True, capture_output=True, text=True).stdout
    assert any(site in said for site in sites)


def test_local_and_virtual_use_the_interpreter_outside_the_virtual_environment():
    assert str(Path(sys.base_prefix)) in inventory.find("local", Path()).python
