"""What names a board or its user is taken out wherever it stands, and what a sensor says stays."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.sharing import redact
from targets.sharing.redact import Redactor

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=5, max_size=20).filter(
    lambda word: word not in redact.EVERYBODY and not word.isdigit() and not redact.PLACEHOLDERS.fullmatch(word)
)
MACS = st.binary(min_size=6, max_size=6).map(lambda mac: ":".join(f"{part:02x}" for part in mac))
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).filter(lambda one: not one.is_unspecified).map(str)
FILLING = st.text(" \n\t:=,;/\"'()[]<>-_.", min_size=1, max_size=3)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_name_survives_wherever_it_stands(data):
    secrets = data.draw(st.lists(WORDS, min_size=1, max_size=5, unique=True))
    parts = data.draw(
        st.lists(st.sampled_from([*secrets, "temp1", "/home/", "x", "Rev 1.0", "27000", "é\0"]), max_size=30)
    )
    upper = data.draw(st.booleans())
    text = data.draw(FILLING).join(parts) if data.draw(st.booleans()) else "".join(parts)
    redactor = Redactor([("user name", secret) for secret in secrets])
    cleaned = redactor.clean(text.upper() if upper else text)
    for secret in secrets:
        # what is left and right of a mark was not together before: only whole pieces count
        assert all(secret not in piece.lower() for piece in redact.MARKS.split(cleaned))
    assert redactor.leaks(cleaned) == []


@given(
    st.lists(st.one_of(MACS, ADDRESSES), min_size=1, max_size=5),
    FILLING.filter(lambda text: not set(text) & set(".:-_")),
)
@settings(max_examples=200, deadline=None)
def test_no_address_survives_that_nobody_has_told_of(addresses, filling):
    text = filling + filling.join(addresses) + filling
    cleaned = Redactor([]).clean(text)
    for address in addresses:
        assert address not in cleaned, (text, cleaned)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Serial\t\t: 10000000abcdef42\n", "serial number"), ("Serial : 0123456789012345", "serial number"),
        ("uuid 123e4567-e89b-12d3-a456-426614174000", "serial number"), ("at /home/anna/x", "user name"), ("mail a.b@c.example", "address"),
        ("fe80::1ff:fe23:4567:890a%eth0", "address"), ("mac D8-3A-DD-12-34-5F.", "MAC address"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_goes_though_nobody_told_of_it(text, kind):
    redactor = Redactor([])
    assert f"<{kind}>" in redactor.clean(text)
    assert redactor.removed == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "3V7_WL_SW_A current(0)=0.07709848A", "throttled=0x50005", "# R36 (release), REVISION: 4.3, GCID: 38968081", "cpu@0/compatible",
        "some avg10=1.23 avg60=0.00 total=12955387967", "15:00:54", "intel-rapl:0:0", "5.15.148-tegra", "Ubuntu 22.04.5 LTS", "::",
        "cpu  1521692 1227056 356375 267668 7473 0 7545 46376 0 0", "fw-cfg@9020000", "6.6.31+rpt-rpi-v8", "2024-11-12 10:55:03",
    ],
)  # fmt: skip
def test_what_a_sensor_says_stays(text):
    assert (
        Redactor([("serial number", "0"), ("serial number", "To be filled by O.E.M."), ("host name", "")]).clean(text)
        == text
    )


def test_a_board_that_says_the_worst_costs_seconds():
    """As much as one may say, in forms that invite to search for long: two thousand names, endless words, addresses that are none."""
    redactor = Redactor([("user name", f"name{number:06}x" * 3) for number in range(2000)])
    worst = [
        "a" * 16384,
        "a." * 8192,
        "a@" * 8192,
        "0:" * 8192,
        "aa:" * 5461,
        "/home/" * 2730,
        "name" * 4096,
        "1." * 8192,
    ]
    began = time.monotonic()
    for text in worst * 8:  # a megabyte
        redactor.clean(text)
    assert time.monotonic() - began < 30


def test_a_short_name_goes_as_a_word_and_leaves_words_that_hold_it():
    redactor = Redactor([("user name", "ann")])
    assert (
        redactor.clean("ann channel /home/ann ANN planned")
        == "<user name> channel /home/<user name> <user name> planned"
    )


def test_a_number_that_is_a_serial_is_not_taken_out_of_a_longer_one():
    assert Redactor([("serial number", "52350")]).clean("52350 152350 523501") == "<serial number> 152350 523501"
