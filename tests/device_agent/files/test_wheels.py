"""A wheel becomes a site, and a hostile or damaged one becomes nothing."""

import os
import resource
import subprocess

import pytest

from device_agent import wire
from device_agent.files.wheels import SEAL
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, names, pythons, sha256, sleep_model, wheel

CODE = {
    "pack/__init__.py": b"answer = 42\n",
    "pack/data.bin": b"\0" * 1000,
    "pack-1.dist-info/METADATA": b"Name: pack\n",
}


def unpack(agent, data: bytes):
    return agent.ask(wire.Unpack("w.whl", agent.store(data)))


def site_of(agent, data: bytes):
    """The folder of a wheel that must be good."""
    assert unpack(agent, data) == wire.Unpacked(sha256(data))
    return agent.root / "sites" / sha256(data)


def nothing_is_left(agent) -> bool:
    work = [name for folder in (agent.root / "tmp").iterdir() for name in names(folder)]
    return names(agent.root / "sites") == [] and work == []


def test_a_good_wheel(agent):
    site = site_of(agent, wheel(CODE))
    for name, data in CODE.items():
        assert (site / name).read_bytes() == data
    assert list((site / "pack" / "__pycache__").glob("__init__.*.pyc"))  # so that no launch has to make it
    assert agent.ask(wire.Have((), (site.name,))) == wire.Present((), (site.name,))
    assert site_of(agent, wheel(CODE)) == site  # once more is no trouble


def test_data_folders_are_placed_and_scripts_left_out(agent):
    files = {
        **CODE,
        "pack-1.data/purelib/pure.py": b"1\n",
        "pack-1.data/platlib/deep/plat.py": b"2\n",
        "pack-1.data/scripts/run": b"3\n",
        "pack-1.data/headers/h.h": b"4\n",
    }
    site = site_of(agent, wheel(files))
    assert (site / "pure.py").read_bytes() == b"1\n"
    assert (site / "deep" / "plat.py").read_bytes() == b"2\n"
    assert names(site) == [SEAL, "__pycache__", "deep", "pack", "pack-1.dist-info", "pure.py"]


@pytest.mark.parametrize("what", ["pack/__init__.py", "pack/__pycache__/*.pyc", SEAL])
@pytest.mark.parametrize("how", ["flipped", "removed"])
def test_a_site_that_was_damaged_on_the_disk_is_not_imported_from(agent, what, how):
    site = site_of(agent, wheel(CODE))
    model = agent.store(sleep_model())
    launch = replace(LAUNCH, model_sha256=model, sites=(site.name,))
    launched, _ = agent.run(launch)
    assert isinstance(launched, wire.Launched)
    (path,) = site.glob(what)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data) if how == "flipped" else path.unlink()
    failed, _ = agent.run(launch)
    assert (failed.error, failed.phase) == ("damaged", "started")
    assert agent.ask(wire.Have((), (site.name,))) == wire.Present((), ())
    site_of(agent, wheel(CODE))
    assert isinstance(agent.run(launch)[0], wire.Launched)


def test_a_file_that_is_no_python_of_this_version_is_no_trouble(agent):
    site_of(agent, wheel({**CODE, "pack/later.py": b"not python ("}))


def test_a_file_larger_than_a_piece(agent):
    data = os.urandom((2 << 20) + 7)
    assert (site_of(agent, wheel({**CODE, "pack/library.so": data})) / "pack/library.so").read_bytes() == data


@pytest.mark.parametrize("version", pythons())
def test_a_namespace_of_two_wheels_is_one_package(start, version):
    """Each wheel is a site of its own; a package without __init__.py (PEP 420) is found in both."""
    agent = start(python=pythons()[version])
    sites = [site_of(agent, wheel({f"shared/{name}.py": b"x = 1\n"}, top=f"{name}-1")) for name in ("one", "two")]
    script = f"import sys; sys.path[:0] = {[str(site) for site in sites]}; import shared.one, shared.two"
    subprocess.run([pythons()[version], "-I", "-c", script], check=True)


HOSTILE = {
    "parent": wheel({**CODE, "../evil.py": b"x"}),
    "deep parent": wheel({**CODE, "pack/../../evil.py": b"x"}),
    "absolute": wheel({**CODE, "/evil.py": b"x"}),
    "parent in data": wheel({**CODE, "pack-1.data/purelib/../../../evil.py": b"x"}),
    "backslash": wheel({**CODE, "..\\evil.py": b"x"}),
    "tampered": wheel({**CODE, "pack/__init__.py": b"answer = 43\n"}, record=CODE),
    "tampered script": wheel({**CODE, "p-1.data/scripts/x": b"1"}, record={**CODE, "p-1.data/scripts/x": b"2"}),
    "weak hash in RECORD": wheel(CODE, algorithm="md5"),
    "no hash in RECORD": wheel(CODE, algorithm=""),
    "not in RECORD": wheel({**CODE, "evil.py": b"x"}, record=CODE),
    "missing": wheel({"pack/__init__.py": CODE["pack/__init__.py"]}, record=CODE),
    "doubled": wheel(CODE, doubled="pack/__init__.py"),
    "doubled by data": wheel({**CODE, "pack-1.data/purelib/pack/__init__.py": b"answer = 43\n"}),
    "a file and a folder": wheel({**CODE, "pack-1.data/purelib/pack": b"x"}),
    "a folder in a file": wheel({**CODE, "pack/data.bin/x.py": b"x"}),
    "two RECORDs": wheel({**CODE, "evil-1.dist-info/RECORD": b""}),
    "no zip": b"junk",
    "cut": wheel(CODE)[:-40],
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_wheels(agent, name, tmp_path):
    answer = unpack(agent, HOSTILE[name])
    assert (type(answer).__name__, getattr(answer, "error", "")) == ("Failure", "bad_wheel"), answer
    assert nothing_is_left(agent)
    assert not list(tmp_path.rglob("*evil*"))
    site_of(agent, wheel(CODE))


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_byte_in_a_zip_is_found(agent, seed):
    """The host sends what it has; if that was damaged already, RECORD and the zip's own sums find it."""
    data = bytearray(wheel(CODE))
    data[(seed * 37) % len(data)] ^= 0x55
    answer = unpack(agent, bytes(data))
    if isinstance(answer, wire.Unpacked):  # a byte that carries nothing, like a date
        for name, content in CODE.items():
            assert (agent.root / "sites" / answer.sha256 / name).read_bytes() == content
    else:
        assert answer.error == "bad_wheel", answer
        assert nothing_is_left(agent)


def test_a_wheel_that_is_not_there(agent):
    answer = agent.ask(wire.Unpack("gone.whl", "a" * 64))
    assert (answer.error, nothing_is_left(agent)) == ("not_found", True)


def test_a_wheel_that_was_damaged_on_the_disk_is_removed(agent):
    data = wheel(CODE)
    name = agent.store(data)
    (agent.root / "blobs" / name).write_bytes(data[:-1] + b"x")
    assert agent.ask(wire.Unpack("w.whl", name)).error == "bad_wheel"
    assert agent.ask(wire.Have((name,), ())) == wire.Present((), ())
    assert sha256(data) == name


def test_a_disk_that_becomes_full_while_unpacking(start, tmp_path):
    """RLIMIT_FSIZE stands in for the disk: EFBIG, as a quota gives EDQUOT."""
    agent = start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
    answer = unpack(agent, wheel({**CODE, "pack/zeros.bin": bytes(3 << 20)}))
    assert answer.error == "no_space", answer
    assert nothing_is_left(agent)
