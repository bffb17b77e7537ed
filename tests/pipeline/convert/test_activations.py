"""How onnx-int8 writes activations: by the board's processor, and by what the plan says."""

import platform
from dataclasses import dataclass

import pytest

from pipeline import deploy, plan
from pipeline.convert.activations import form_of
from pipeline.deploy import architecture
from pipeline.errors import PlanError
from pipeline.records import Processor
from targets import inventory

X86 = Processor(arch="x86_64", integer_dot_product=True, told_by="this machine")
PI = Processor(arch="arm", told_by="boards.toml: pi is Raspberry Pi 5")


@pytest.mark.parametrize(
    ("asked", "where", "chosen", "said"),
    [
        ("auto", X86, "unsigned", "three times slower"),
        ("auto", Processor(arch="x86_64", told_by="pc itself"), "unsigned", "without VNNI its sums may saturate"),
        ("auto", Processor(arch="x86_64", integer_dot_product=False, told_by="this machine"), "unsigned-7bit", "7 bits"),
        ("auto", PI, "signed", "edgepress has not measured it there"),
        ("auto", Processor(arch="aarch64", told_by="pi itself"), "signed", "aarch64 (pi itself)"),
        ("auto", Processor(told_by="pi could not be asked: no route"), "signed", "no route"),
        ("signed", X86, "signed", "the plan says so"),
        ("unsigned", PI, "unsigned", "the plan says so"),
    ],
)  # fmt: skip
def test_chosen_by_the_processor_unless_the_plan_says(asked, where, chosen, said):
    form = form_of(asked, where)
    assert form.activations == chosen
    assert said in form.note


@dataclass
class Asked:
    """What stands for a session, and counts how often the board was asked."""

    arch: str
    times: int = 0

    def __enter__(self):
        self.times += 1
        return self

    def __exit__(self, *_):
        pass

    @property
    def machine(self):
        return self


def the_plan(folder, board):
    (folder / "boards.toml").write_text(
        '[pi]\nhost = "192.0.2.1"\nuser = "pi"\nkey = "k"\nboard = "raspberry_pi_5"\n'
        '[pc]\nhost = "192.0.2.2"\nuser = "pi"\nkey = "k"\nboard = "generic_x86_64"\n'
        '[unknown]\nhost = "192.0.2.3"\nuser = "pi"\nkey = "k"\n'
    )
    (folder / "edge.toml").write_text(f'[model]\npath = "m.onnx"\n[board]\nname = "{board}"\n')
    return plan.read(folder / "edge.toml")


@pytest.mark.parametrize(
    ("board", "arch", "asked"),
    [("local", platform.machine(), 0), ("virtual", platform.machine(), 0), ("virtual-aarch64", "aarch64", 0), ("pi", "arm", 0), ("pc", "x86_64", 0), ("unknown", "riscv64", 1)],
)  # fmt: skip
def test_where_the_processor_is_known_from(tmp_path, monkeypatch, board, arch, asked):
    """A board is asked only where nothing else tells."""
    session = Asked("riscv64")
    monkeypatch.setattr(architecture, "open_session", lambda target, say: session)
    found = deploy.processor_of(the_plan(tmp_path, board))
    assert (found.arch, session.times) == (arch, asked)
    assert found.told_by


def test_a_board_that_can_not_be_reached_is_said(tmp_path):
    """At an address of this machine where nobody listens: a file is made nevertheless, and says why in this form."""
    asked = the_plan(tmp_path, "unknown")
    text = (
        (tmp_path / "boards.toml")
        .read_text()
        .replace("192.0.2.3", "127.0.0.1")
        .replace('key = "k"\n', 'key = "k"\nport = 1\n')
    )
    (tmp_path / "boards.toml").write_text(text)
    assert inventory.find("unknown", tmp_path).port == 1
    found = deploy.processor_of(asked)
    assert found.arch == ""
    assert "unknown could not be asked" in found.told_by


def test_another_word_is_refused(tmp_path):
    (tmp_path / "edge.toml").write_text('[model]\npath = "m.onnx"\n[convert]\nonnx_int8_activations = "uint8"\n')
    with pytest.raises(PlanError, match=r"convert\.onnx_int8_activations"):
        plan.read(tmp_path / "edge.toml")
