"""What a user types: wrong input is one sentence, a hint and its exit code, and leaves no trace."""

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from pipeline import deploy, selftest
from pipeline.plan import read
from targets.errors import VirtualUnavailable
from targets.virtual import loopback
from tests.support.commands import EDGEPRESS, TFLITE, edgepress, no_trace, refused, without_extras, write
from tests.support.plans import MODEL


def test_a_board_that_is_not_there(tmp_path):
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    (tmp_path / "boards.toml").write_text(
        f'[pi]\nhost = "127.0.0.1"\nport = {port}\nuser = "pi"\nkey = "{tmp_path}/key"\n'
    )
    path = write(tmp_path, '[model]\npath = "m.tflite"\n[board]\nname = "pi"\n', m_tflite=TFLITE)
    base = without_extras(tmp_path)
    refused(edgepress("run", path, env=base), 4, "refused the connection", "boards.toml")


@pytest.mark.parametrize("extra", ["tensorflow", "onnx"])
def test_a_missing_extra_is_named(tmp_path, extra):
    model, fmt = {"tensorflow": ("m.keras", "tflite-fp32"), "onnx": ("m.onnx", "onnx-int8")}[extra]
    plan = f'[model]\npath = "{model}"\n[convert]\nformats = ["{fmt}"]\n[data]\ncalibration = "c.npz"\n'
    path = write(tmp_path, plan, m_keras=b"PK", m_onnx=b"\x08\x08")
    refused(edgepress("run", path, env=without_extras(tmp_path)), 2, f"pip install 'edgepress[{extra}]'")
    no_trace(tmp_path)


def test_virtual_becomes_local_where_there_is_no_sshd(tmp_path, monkeypatch):
    monkeypatch.setattr(loopback, "find_sshd", lambda: None)
    path = write(tmp_path, '[model]\npath = "m.tflite"\n[board]\nname = "virtual"\n')
    said = []
    with deploy.connect(read(path), said.append) as reached:
        assert (reached.target.name, reached.session.address) == ("local", "this machine")
    assert "no sshd" in reached.note
    assert "apt-get install openssh-server" in reached.note
    assert said == [reached.note]


def test_the_virtual_board_itself_says_what_is_missing(monkeypatch):
    from targets import inventory

    monkeypatch.setattr(loopback, "find_sshd", lambda: None)
    with pytest.raises(VirtualUnavailable) as caught, loopback.loopback_sshd(inventory.find("virtual", Path())):
        pass
    assert "openssh-server" in caught.value.hint


def test_doctor_says_what_can_be_done():
    said = edgepress("doctor", "--json")
    found = {each["what"]: each for each in json.loads(said.stdout)}
    assert {"Python", "extra tensorflow", "extra onnx", "pip", "sshd", "disk", "board local", "board virtual"} <= set(
        found
    )
    assert found["board local"]["ok"], found["board local"]
    assert "onnxruntime" in found["board local"]["found"]
    assert all(each["ok"] or each["remedy"] for each in found.values())
    assert said.returncode == 0


def test_boards_are_listed_checked_and_trusted(tmp_path, sshd_target):
    (tmp_path / "boards.toml").write_text(
        f'[pi]\nhost = "127.0.0.1"\nport = {sshd_target.port}\nuser = "{sshd_target.user}"\nkey = "{sshd_target.key}"\n'
        f'root = "{tmp_path}/board"\npython = "{sshd_target.python}"\n'
    )
    boards = ("boards", "--folder", tmp_path)
    listed = edgepress(*boards, "list").stdout
    assert "local" in listed
    assert f"@127.0.0.1:{sshd_target.port}" in listed
    refused(edgepress(*boards, "check", "pi"), 4, "unknown", "edgepress boards trust pi")
    said = edgepress(*boards, "trust", "pi", "--fingerprint", "SHA256:of-another")
    assert said.returncode == 2
    assert not (tmp_path / "known_hosts").exists()
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(Path(sshd_target.key).with_name("host_key.pub"))],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()[1]
    assert edgepress(*boards, "trust", "pi", "--fingerprint", shown).returncode == 0
    assert edgepress(*boards, "trust", "pi", "--fingerprint", shown).returncode == 0  # again: nothing is doubled
    assert len((tmp_path / "known_hosts").read_text().splitlines()) == 1
    checked = edgepress(*boards, "check", "pi")
    assert checked.returncode == 0, checked.stderr
    assert re.search(r"^onnxruntime +can be had$", checked.stdout, re.MULTILINE)
    untried = r"^onnxruntime_cuda .*onnxruntime-gpu.* \(edgepress was not tried with it on hardware yet\)$"
    assert re.search(untried, checked.stdout, re.MULTILINE)


def test_nothing_to_report_yet(tmp_path):
    path = write(tmp_path, '[model]\npath = "m.tflite"\n')
    refused(edgepress("report", path), 2, "no finished run", "edgepress run")
    assert not (tmp_path / ".edgepress").exists()


def test_a_reader_that_goes_away_changes_no_exit_code(tmp_path):
    """bash -o pipefail shows the exit code of the left side: what is right must not become "regressed"."""
    command = f"{EDGEPRESS} boards list | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_a_store_that_can_not_be_made_is_no_regression(tmp_path):
    path = write(tmp_path, '[model]\npath = "m.tflite"\n', m_tflite=TFLITE)
    (tmp_path / ".edgepress").write_text("a file where the folder should be")
    refused(edgepress("run", path), 5, ".edgepress")


def test_what_a_board_says_does_not_command_the_terminal(tmp_path):
    folder = tmp_path / "a\x1b]0;owned\x07b"
    folder.mkdir()
    said = edgepress("run", folder / "edge.toml")
    assert "\x1b" not in said.stderr
    assert "x1b]0;owned" in said.stderr


def test_a_plan_in_a_folder_with_a_strange_name_and_modules_that_shadow_ours(tmp_path):
    """A user's onnx.py, numpy.py and pipeline/ in the working folder are the user's business."""
    folder = tmp_path / "mein Projekt ✓"
    (folder / "pipeline").mkdir(parents=True)
    for name in ("onnx.py", "numpy.py", "pipeline/__init__.py", "msgspec.py"):
        (folder / name).write_text("raise SystemExit('the wrong module was imported')\n")
    path = write(folder, '[model]\npath = "m.keras"\n[convert]\nformats = ["tflite-fp32"]\n', m_keras=b"no model")
    said = edgepress("run", path.name, cwd=folder)
    assert "wrong module" not in said.stderr
    assert said.returncode in {2, 5}


def test_the_archive_of_the_model_is_never_unpacked_outside(tmp_path):
    """A .keras file is a zip that somebody sent: a member that climbs out of it must not be written."""
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("../climbed", "out")
        archive.writestr("config.json", "{}")
    path = write(tmp_path, MODEL + '[convert]\nformats = ["tflite-fp32"]\n')
    assert edgepress("run", path).returncode in {2, 5}
    assert not list(tmp_path.parent.glob("climbed"))


def test_a_plan_with_a_byte_order_mark_is_a_plan(tmp_path):
    path = write(tmp_path, "", m_tflite=b"no model")
    path.write_bytes(b"\xef\xbb\xbf" + b'[model]\npath = "m.tflite"\n')
    refused(edgepress("run", path), 5, "m.tflite is not a TFLite model")


def test_more_threads_than_the_board_has(tmp_path):
    path = write(tmp_path, '[model]\npath = "m.tflite"\n[measure]\nthreads = 255\n', m_tflite=TFLITE)
    said = edgepress("run", path, env=without_extras(tmp_path))
    assert said.returncode == 2
    assert "255 threads on a board with" in said.stderr


def test_threads_that_would_share_a_cpu(tmp_path):
    model = Path(selftest.__file__).with_suffix(".tflite").read_bytes()
    plan = '[model]\npath = "m.tflite"\n[measure]\nthreads = 2\ncpus = [1, 1]\n'
    refused(edgepress("run", write(tmp_path, plan, m_tflite=model)), 2, "measure.cpus: 2 threads on 1 CPU would")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def rows(): raise SystemExit(3)", "SystemExit"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("def rows(): return [[1], [1, 2]]", "1 row but 2 labels"),
        ("def rows(): return 'abc'", "dtype"),
        ("def rows(): return None", "returned nothing (None)"),
        ("import numpy.ma as ma\ndef rows(): return ma.masked_equal([[1.0, 2.0]], 2)", "a masked array"),
        ("def rows(): 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_data_function_that_does_odd_things(tmp_path, code, says):
    (tmp_path / "mine.py").write_text(code + "\n")
    plan = '[model]\npath = "m.tflite"\n[data]\nevaluation = "mine:rows"\n'
    path = write(tmp_path, plan, m_tflite=TFLITE)
    refused(edgepress("run", path, env=without_extras(tmp_path)), 2, "data.evaluation", says)
    no_trace(tmp_path)


def test_a_disk_that_is_full_here(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder], check=False, capture_output=True
    ).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        path = write(folder, '[model]\npath = "../m.tflite"\n')
        (tmp_path / "m.tflite").write_bytes(TFLITE + bytes(200_000))
        refused(
            edgepress("run", path, env=without_extras(tmp_path)),
            5,
            "No space left on device",
            "Free space on that disk",
        )
        assert not list((folder / ".edgepress" / "store").iterdir())
        assert not list((folder / ".edgepress" / "tmp").iterdir())
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_what_is_written_is_readable_by_others_as_the_umask_says(tmp_path):
    from pipeline.store import UMASK, write_atomically

    write_atomically(tmp_path / "page", b"x")
    assert (tmp_path / "page").stat().st_mode & 0o777 == 0o666 & ~UMASK


def test_another_key_is_not_pinned_beside_the_first(tmp_path, sshd_target):
    (tmp_path / "boards.toml").write_text(
        f'[pi]\nhost = "127.0.0.1"\nport = {sshd_target.port}\nuser = "{sshd_target.user}"\nkey = "{sshd_target.key}"\n'
    )
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    kind, other = (tmp_path / "other.pub").read_text().split()[:2]
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd_target.port} {kind} {other}")  # and no newline at its end
    before = known.read_text()
    said = edgepress("boards", "--folder", tmp_path, "trust", "pi", input="y\n")
    assert (said.returncode, "[y/N]" in said.stdout) == (4, False)  # nobody is asked
    assert "another key" in said.stderr
    assert known.read_text() == before
    known.write_text("elsewhere ssh-ed25519 AAAA")
    assert edgepress("boards", "--folder", tmp_path, "trust", "pi", input="n\n").returncode == 2
    assert edgepress("boards", "--folder", tmp_path, "trust", "pi", input="y\n").returncode == 0
    assert "pinned already" in edgepress("boards", "--folder", tmp_path, "trust", "pi").stdout
    assert len(known.read_text().splitlines()) == 2
