"""Which runtimes a board can have, and that what comes fits it."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from device_agent.record import replace
from device_agent.wire import Machine
from pipeline.deploy import choose_runtimes
from pipeline.errors import PlanError
from pipeline.plan import MeasureTable, ModelTable, Plan, Tables
from targets import inventory, open_session, provision
from targets.errors import RuntimeUnavailable, WheelsUnavailable

BOOKWORM = Machine(
    model="Raspberry Pi 5 Model B Rev 1.0", cpu="Cortex-A76", cpu_count=4, arch="aarch64", bits=64, kernel="6.6", os="Debian GNU/Linux 12",
    python="3.11.2", libc="glibc", libc_version="2.36", memory_bytes=8 << 30, cpu_max_khz=2400000, governor="ondemand",
    release=None, power_mode=None, emulator=None, packages=(),
)  # fmt: skip


def board(**changes):
    return replace(BOOKWORM, **changes)


# The package index as it was read on 2026-11-23: cp38-cp311 for tflite-runtime, no 32-bit LiteRT or ONNX Runtime.
BOARDS = {
    "bookworm 64 bit": (board(), {"tflite_runtime", "ai_edge_litert", "onnxruntime"}),
    "bookworm 32 bit": (board(arch="armv7l", bits=32), {"tflite_runtime"}),
    "64-bit kernel, 32-bit system": (board(arch="aarch64", bits=32), {"tflite_runtime"}),
    "trixie": (board(python="3.13.5", libc_version="2.41"), {"ai_edge_litert", "onnxruntime"}),
    "JetPack 5": (board(python="3.8.10", libc_version="2.31"), {"tflite_runtime", "onnxruntime"}),
    "JetPack 6": (board(python="3.10.12", libc_version="2.35"), {"tflite_runtime", "ai_edge_litert", "onnxruntime"}),
    "Alpine": (board(libc="musl", libc_version="1.2"), set()),
}


@pytest.mark.parametrize("name", BOARDS)
def test_what_boards_can_have(name):
    machine, expected = BOARDS[name]
    assert expected == set(provision.possible(machine))


def test_refusal_names_what_the_board_can_have():
    with pytest.raises(
        RuntimeUnavailable, match=r"tflite_runtime.*Python 3\.8 to 3\.11, the board has 3\.13"
    ) as caught:
        provision.check("tflite_runtime", board(python="3.13.5"))
    assert "ai_edge_litert, onnxruntime" in caught.value.hint


def test_unknown_runtime():
    with pytest.raises(RuntimeUnavailable, match="no runtime called tensorrt"):
        provision.check("tensorrt", board())


def plan(*runtimes):
    from pathlib import Path

    tables = Tables(model=ModelTable(path="m.tflite"), measure=MeasureTable(runtimes=runtimes))
    return Plan(path=Path("edge.toml"), sha256="0" * 64, tables=tables)


def test_a_family_without_a_runtime_is_an_error_that_names_one():
    with pytest.raises(PlanError, match=r"no runtime for \.onnx files") as caught:
        choose_runtimes(plan("tflite_runtime"), {"tflite", "onnx"}, board())
    assert "onnxruntime" in caught.value.hint


def test_runtimes_are_chosen_for_the_files():
    assert choose_runtimes(plan(), {"onnx"}, board()) == ("onnxruntime",)
    assert choose_runtimes(plan(), {"tflite"}, board()) == ("tflite_runtime", "ai_edge_litert")


@given(text=st.text(max_size=20), arch=st.text(max_size=10), libc=st.text(max_size=10))
def test_whatever_a_board_says_of_itself_is_an_answer(text, arch, libc):
    """The hello comes from the board: nothing that stands in it may crash the host."""
    machine = board(python=text, arch=arch, libc_version=libc)
    assert set(provision.possible(machine)) <= set(provision.RUNTIMES)


@pytest.mark.parametrize("name", [name for name, each in provision.RUNTIMES.items() if each.requirements])
@pytest.mark.parametrize("machine", ["bookworm 64 bit", "bookworm 32 bit", "JetPack 5"])
def test_wheels_fit_the_board(name, machine, tmp_path, monkeypatch):
    """What pip chose, checked by `packaging`'s own reading of the tags."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    facts, can = BOARDS[machine]
    if name not in can:
        pytest.skip(f"{machine} can not have {name}")
    files = provision.wheels(name, facts)
    assert len(files) == len(provision.requirements(provision.RUNTIMES[name], facts))
    version = "".join(facts.python.split(".")[:2])
    for path in files:
        tags = parse_wheel_filename(path.name)[3]
        assert any(_fits(tag, version, provision.wheel_arch(facts), provision.glibc_version(facts)) for tag in tags), (
            path.name
        )
    assert files == provision.wheels(name, facts)  # from the cache


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


def test_no_index_is_a_clear_error_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(WheelsUnavailable, match="could not be downloaded"):
        provision.wheels("onnxruntime", board())
    assert not list((tmp_path / "edgepress" / "wheels").iterdir())


def test_a_runtime_is_unpacked_on_the_board_and_imports_there(sshd):
    """The board needs no pip: wheels are pushed and unpacked, and a second time nothing is sent."""
    with open_session(sshd) as session:
        files = provision.wheels("ai_edge_litert", session.machine)
        site, sent = provision.install(session, files)
        assert sent == sum(path.stat().st_size for path in files)
        assert (site, 0) == provision.install(session, files)
    import subprocess

    script = f"import sys; sys.path.insert(0, {str(sshd.root)!r} + '/sites/{site}'); import ai_edge_litert, numpy; print(ai_edge_litert.__file__)"
    said = subprocess.run([sshd.python, "-I", "-c", script], check=True, capture_output=True, text=True).stdout
    assert site in said


def test_local_and_virtual_use_the_interpreter_outside_the_virtual_environment():
    from pathlib import Path

    assert str(Path(sys.base_prefix)) in inventory.find("local", Path()).python
