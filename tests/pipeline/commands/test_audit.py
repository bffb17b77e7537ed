"""`edgepress audit`: what it prints, what it requires, and what it does with files that are none."""

import json
import shutil

import pytest

from tests.support.commands import edgepress
from tests.support.models import SELFTEST


def test_it_says_what_the_file_is():
    done = edgepress("audit", SELFTEST)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "selftest.tflite: 69.2 KiB, 21 operators, 44,100 parameters, 2,188,224 multiply-accumulates" in text
    assert "int8 21 operators 100.00 % of the multiply-accumulates" in text
    assert "input serving_default_image:0: int8 (1, 28, 28, 1), scale 0.00392157, zero point -128" in text
    assert "runs tflite-runtime 2.14.0: can run it" in text


def test_every_operator():
    done = edgepress("audit", SELFTEST, "--operators")
    assert sum("MACs" in line for line in done.stdout.splitlines()) == 21
    assert "CONV_2D v3, int8, int8 (1, 28, 28, 16), 160 parameters, 112,896 MACs" in done.stdout


@pytest.mark.parametrize(
    ("required", "code"),
    [
        (["int8>=95%"], 0),
        (["int8 >= 100 %", "float<=0%"], 0),
        (["integer>=100%"], 0),
        (["hybrid>=0.1%"], 1),
        (["int8<=99.9%"], 1),
        (["int8>=101%"], 2),
        (["int8=95%"], 2),
        (["int9>=95%"], 2),
        ([""], 2),
    ],
)
def test_what_is_required(required, code):
    done = edgepress("audit", SELFTEST, *(part for each in required for part in ("--require", each)))
    assert done.returncode == code, done.stderr
    if code == 1:
        assert f"selftest.tflite: {required[0]} is not met" in done.stderr
    if code == 2:
        assert "is not of the form int8>=95%" in done.stderr


def test_the_record(tmp_path):
    shutil.copyfile(SELFTEST, tmp_path / "net_float32.tflite")
    done = edgepress("audit", "--json", SELFTEST, tmp_path / "net_float32.tflite")
    first, second = json.loads(done.stdout)
    assert (first["shares"]["int8"]["macs_ratio"], first["is_what_it_claims"]) == (1.0, None)
    assert second["is_what_it_claims"] is False


def test_the_others_are_audited_where_one_is_damaged(tmp_path):
    (tmp_path / "broken.tflite").write_bytes(SELFTEST.read_bytes()[:1000])
    (tmp_path / "empty.onnx").write_bytes(b"")
    done = edgepress("audit", tmp_path / "broken.tflite", tmp_path / "empty.onnx", tmp_path / "none.tflite", SELFTEST)
    assert done.returncode == 5
    assert "selftest.tflite: 69.2 KiB" in done.stdout
    assert "broken.tflite is damaged" in done.stderr
    assert "empty.onnx" in done.stderr
    assert "none.tflite: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_do_not_command_the_terminal(tmp_path):
    bad = tmp_path / "a\x1b[31mb.tflite"
    shutil.copyfile(SELFTEST, bad)
    done = edgepress("audit", bad)
    assert "\x1b" not in done.stdout
    assert "a\\x1b[31mb.tflite" in done.stdout
