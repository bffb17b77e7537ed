"""The rewritten device tree, read by a parser of its own and by dtc."""

import contextlib
import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.boards import BOARDS, recognise
from targets.virtual.emulated.device_tree import IDENTITIES, renamed
from tests.support.device_trees import written

names = st.from_regex(r"[a-z][a-z0-9,_-]{0,20}", fullmatch=True)
values = st.binary(max_size=40)
properties = st.dictionaries(names, values, max_size=4)
nodes = st.recursive(
    st.tuples(properties, st.just({})),
    lambda below: st.tuples(properties, st.dictionaries(names, below, max_size=3)),
    max_leaves=8,
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
reservations = st.lists(st.tuples(st.integers(1, 2**64 - 1), st.integers(1, 2**64 - 1)), max_size=3)


def read(data):
    """(node, reservations) by the letter of the specification."""
    magic, total, at, strings, reserve, *_, strings_size, tree_size = struct.unpack_from(">10I", data)
    assert (magic, total) == (0xD00DFEED, len(data))
    assert reserve % 8 == 0
    assert at % 4 == 0
    found, end = [], at + tree_size
    while any(pair := struct.unpack_from(">QQ", data, reserve)):
        found.append(pair)
        reserve += 16

    def node(at):
        assert struct.unpack_from(">I", data, at) == (1,)
        stop = data.index(b"\0", at + 4)
        name, at = data[at + 4 : stop].decode(), stop + 1 + -(stop + 1) % 4
        properties, below = {}, {}
        while True:
            (token,) = struct.unpack_from(">I", data, at)
            if token == 3:
                size, key = struct.unpack_from(">II", data, at + 4)
                key = data[strings + key : data.index(b"\0", strings + key)].decode()
                properties[key] = data[at + 12 : at + 12 + size]
                at += 12 + size + -size % 4
            elif token == 4:
                at += 4
            elif token == 1:
                key, each, at = node(at)
                below[key] = each
            else:
                assert token == 2
                return name, (properties, below), at + 4

    name, root, at = node(at)
    assert (name, struct.unpack_from(">I", data, at), at + 4) == ("", (9,), end)
    assert end <= strings <= strings + strings_size == len(data)
    return root, found


@given(nodes, reservations, texts, st.lists(texts, min_size=1, max_size=3))
def test_only_the_names_in_the_root_change(node, reserved, model, compatible):
    node[0].update(model=b"linux,dummy-virt\0", compatible=b"linux,dummy-virt\0")
    (properties, below), kept = read(renamed(written(node, reserved), model, compatible))
    assert properties.pop("model") == model.encode() + b"\0"
    assert properties.pop("compatible") == b"".join(each.encode() + b"\0" for each in compatible)
    del node[0]["model"], node[0]["compatible"]
    assert (properties, below) == node
    assert kept == reserved


@given(st.data(), nodes)
def test_a_tree_that_is_cut_or_garbled_is_refused_or_read_but_nothing_else_happens(data, node):
    node[0].update(model=b"a\0", compatible=b"a\0")
    whole = bytearray(written(node))
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole) - 101)) :]
    else:
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(ValueError):
        renamed(bytes(whole), "model", ["compatible"])


def test_what_has_no_model_is_refused():
    with pytest.raises(ValueError, match="has no model"):
        renamed(written(({"compatible": b"a\0"}, {})), "m", ["c"])


@pytest.mark.parametrize("kind", IDENTITIES)
def test_each_kind_is_recognised_by_the_model_that_it_bears(kind):
    assert kind in BOARDS
    assert recognise(IDENTITIES[kind].model) == kind


def test_dtc_reads_qemus_own_tree_under_another_name(tmp_path):
    for tool in ("qemu-system-aarch64", "dtc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    subprocess.run(
        ["qemu-system-aarch64", "-M", "virt,gic-version=2,dumpdtb=virt.dtb", "-cpu", "cortex-a72", "-nodefaults", "-display", "none"],
        check=True, capture_output=True, cwd=tmp_path,
    )  # fmt: skip
    before = (tmp_path / "virt.dtb").read_bytes()
    identity = IDENTITIES["jetson_orin_nano"]
    after = renamed(before, identity.model, identity.compatible)

    def source(tree):
        done = subprocess.run(
            ["dtc", "-q", "-s", "-I", "dtb", "-O", "dts"], input=tree, capture_output=True, check=True
        )
        return done.stdout.decode().splitlines()

    changed = set(source(after)) ^ set(source(before))
    assert {line.strip() for line in changed} == {
        'model = "linux,dummy-virt";',
        'compatible = "linux,dummy-virt";',
        'model = "NVIDIA Jetson Orin Nano Developer Kit";',
        'compatible = "nvidia,p3768-0000+p3767-0005\\0nvidia,p3767-0005\\0nvidia,tegra234";',
    }
