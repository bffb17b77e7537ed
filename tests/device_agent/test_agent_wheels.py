"""Wheels become a site, and hostile or damaged ones become nothing."""

import pytest

from device_agent import wire
from tests.device_agent.agent_process import names, sha256, wheel

SITE = "5" * 64
CODE = {
    "pack/__init__.py": b"answer = 42\n",
    "pack/data.bin": b"\0" * 1000,
    "pack-1.dist-info/METADATA": b"Name: pack\n",
}


def unpack(agent, *wheels: bytes):
    names = tuple((f"w{number}.whl", agent.store(data)) for number, data in enumerate(wheels))
    return agent.ask(wire.Unpack(SITE, names))


def nothing_is_left(agent) -> bool:
    work = [name for folder in (agent.root / "tmp").iterdir() for name in names(folder)]
    return names(agent.root / "sites") == [] and work == []


def test_a_good_wheel(agent):
    assert unpack(agent, wheel(CODE)) == wire.Unpacked(SITE)
    site = agent.root / "sites" / SITE
    for name, data in CODE.items():
        assert (site / name).read_bytes() == data
    assert list((site / "pack" / "__pycache__").glob("__init__.*.pyc"))  # so that no launch has to make it
    assert agent.ask(wire.Have((), (SITE,))) == wire.Present((), (SITE,))
    assert unpack(agent, wheel(CODE)) == wire.Unpacked(SITE)  # once more is no trouble


def test_data_folders_are_placed_and_scripts_left_out(agent):
    files = {
        **CODE,
        "pack-1.data/purelib/pure.py": b"1\n",
        "pack-1.data/platlib/deep/plat.py": b"2\n",
        "pack-1.data/scripts/run": b"3\n",
        "pack-1.data/headers/h.h": b"4\n",
    }
    assert unpack(agent, wheel(files)) == wire.Unpacked(SITE)
    site = agent.root / "sites" / SITE
    assert (site / "pure.py").read_bytes() == b"1\n"
    assert (site / "deep" / "plat.py").read_bytes() == b"2\n"
    assert names(site) == ["__pycache__", "deep", "pack", "pack-1.dist-info", "pure.py"]


def test_a_file_that_is_no_python_of_this_version_is_no_trouble(agent):
    assert unpack(agent, wheel({**CODE, "pack/later.py": b"not python ("})) == wire.Unpacked(SITE)


def test_two_wheels_may_share_a_file_if_they_agree(agent):
    one = wheel({"shared/__init__.py": b"", "shared/a.py": b"a = 1\n"}, top="one-1")
    two = wheel({"shared/__init__.py": b"", "shared/b.py": b"b = 1\n"}, top="two-1")
    assert unpack(agent, one, two) == wire.Unpacked(SITE)


HOSTILE = {
    "parent": wheel({**CODE, "../evil.py": b"x"}),
    "deep parent": wheel({**CODE, "pack/../../evil.py": b"x"}),
    "absolute": wheel({**CODE, "/evil.py": b"x"}),
    "parent in data": wheel({**CODE, "pack-1.data/purelib/../../../evil.py": b"x"}),
    "backslash": wheel({**CODE, "..\\evil.py": b"x"}),
    "tampered": wheel({**CODE, "pack/__init__.py": b"answer = 43\n"}, record=CODE),
    "not in RECORD": wheel({**CODE, "evil.py": b"x"}, record=CODE),
    "missing": wheel({"pack/__init__.py": CODE["pack/__init__.py"]}, record=CODE),
    "doubled": wheel(CODE, doubled="pack/__init__.py"),
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
    assert unpack(agent, wheel(CODE)) == wire.Unpacked(SITE)


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_byte_in_a_zip_is_found(agent, seed):
    """The host sends what it has; if that was damaged already, RECORD and the zip's own sums find it."""
    data = bytearray(wheel(CODE))
    data[(seed * 37) % len(data)] ^= 0x55
    answer = unpack(agent, bytes(data))
    if isinstance(answer, wire.Unpacked):  # a byte that carries nothing, like a date
        for name, content in CODE.items():
            assert (agent.root / "sites" / SITE / name).read_bytes() == content
    else:
        assert answer.error == "bad_wheel", answer
        assert nothing_is_left(agent)


def test_two_wheels_that_disagree(agent):
    answer = unpack(agent, wheel(CODE), wheel({"pack/__init__.py": b"other"}, top="other-1"))
    assert answer.error == "bad_wheel"
    assert nothing_is_left(agent)


def test_a_wheel_that_is_not_there(agent):
    answer = agent.ask(wire.Unpack(SITE, (("gone.whl", "a" * 64),)))
    assert (answer.error, nothing_is_left(agent)) == ("not_found", True)


def test_a_wheel_that_was_damaged_on_the_disk_is_removed(agent):
    data = wheel(CODE)
    name = agent.store(data)
    (agent.root / "blobs" / name).write_bytes(data[:-1] + b"x")
    assert agent.ask(wire.Unpack(SITE, (("w.whl", name),))).error == "bad_wheel"
    assert agent.ask(wire.Have((name,), ())) == wire.Present((), ())
    assert sha256(data) == name
