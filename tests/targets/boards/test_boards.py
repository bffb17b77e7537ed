"""The contract of targets/boards."""

import re

import pytest

from targets.boards import BOARDS, UNSEEN, board, generic, recognise


@pytest.mark.parametrize("kind", BOARDS)
def test_every_kind_of_board(kind):
    """A title, a source for every fact, one way to be recognised; and nobody ran edgepress on one."""
    found = board(kind)
    assert found.title
    assert {"identity", "soc", "cores", "memory", "runtimes", "temperature", "throttling", "clocks", "power"} == set(
        found.facts()
    )
    for name, fact in found.facts().items():
        assert fact.says, name
        assert len(fact.source) > 10, name
    no_board = kind in {"this_machine", "emulated_aarch64"}
    assert found.tried_on_hardware == no_board
    assert bool(found.models) + bool(found.architecture) == (not no_board)
    for model in found.models:
        assert recognise(model + " Rev 1.0") == kind


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "raspberry_pi_3"),
        ("Raspberry Pi 4 Model B Rev 1.4", "raspberry_pi_4"),
        ("Raspberry Pi 5 Model B Rev 1.0", "raspberry_pi_5"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "raspberry_pi_zero_2_w"),
        ("NVIDIA Jetson Nano Developer Kit", "jetson_nano"),
        ("NVIDIA Jetson Xavier NX Developer Kit", "jetson_xavier_nx"),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "jetson_orin_nano"),
        ("NVIDIA Jetson Orin Nano Developer Kit", "jetson_orin_nano"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "jetson_agx_orin"),
        ("Raspberry Pi 400 Rev 1.0", None),  # another clock and another cooling than a Pi 4
        ("Raspberry Pi Zero W Rev 1.1", None),
        ("", None),
    ],
)
def test_recognised_by_the_model(model, kind):
    assert recognise(model) == kind


@pytest.mark.parametrize(
    ("architecture", "bits", "kind"),
    [
        ("aarch64", 64, "generic_aarch64"),
        ("aarch64", 32, "generic_armv7l"),  # Raspberry Pi OS of 32 bit on a 64-bit kernel
        ("armv7l", 32, "generic_armv7l"),
        ("x86_64", 64, "generic_x86_64"),
        ("riscv64", 64, None),
        ("", 64, None),
    ],
)
def test_a_generic_kind_where_no_model_fits(architecture, bits, kind):
    assert generic(architecture, bits) == kind


def test_what_was_not_seen_is_said_in_the_same_words():
    for kind in BOARDS:
        for fact in board(kind).facts().values():
            assert not re.search("general knowledge", fact.source) or UNSEEN in fact.source, (kind, fact)
