"""Reading a plan: what people write is understood where it is plain, and every slip has a sentence of its own."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import compare, compress, convert, plan, plan_tables, spelling
from pipeline.errors import PlanError
from tests.support.plans import MODEL, read, refused

# --- sizes and shares


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("200kB", 200_000), ("200 KB", 200_000), ("200k", 200_000), ("1.5 MiB", 1_572_864), ("3MB", 3_000_000), ("2 GiB", 2**31),
        ("200 kib", 204_800), ("17", 17), ("17 B", 17), ("17 bytes", 17), (" 1GB ", 10**9), ("1 TB", 10**12),
    ],
)  # fmt: skip
def test_sizes_with_units(tmp_path, text, size):
    for key in ("size_bytes", "memory_regression_bytes"):
        limits = read(tmp_path, f'{MODEL}[limits]\n{key} = "{text}"\n').tables.limits
        assert getattr(limits, key) == size
    assert read(tmp_path, f'{MODEL}[state]\nmax_bytes = "{text}"\n').tables.state.max_bytes == size


@pytest.mark.parametrize(
    "text", ["", "kB", "-3 kB", "3 kb/s", "3 Mbit", "1e3", "0x10", "three", "3 kBB", "9" * 400, "\u0663 kB"]
)
def test_what_is_no_size(tmp_path, text):
    refused(tmp_path, f'{MODEL}[limits]\nsize_bytes = "{text}"\n', "limits.size_bytes", "is not a size", '"200 kB"')


@pytest.mark.parametrize(
    ("text", "share"), [("3%", 0.03), ("3 %", 0.03), ("0.5%", 0.005), ("300 %", 3.0), ("0 %", 0.0)]
)
def test_shares_in_percent(tmp_path, text, share):
    tables = read(tmp_path, f'{MODEL}[limits]\nlatency_margin = "{text}"\n').tables
    assert tables.limits.latency_margin == share


@pytest.mark.parametrize(
    "key", ["latency_regression", "latency_margin", "latency_tail", "energy_regression", "energy_margin"]
)
def test_a_share_of_one_and_more_is_asked_about(tmp_path, key):
    refused(
        tmp_path, f"{MODEL}[limits]\n{key} = 3\n", f"limits.{key} = 3 would be 300 %", "Did you mean 3 %? Write 0.03"
    )
    refused(tmp_path, f"{MODEL}[limits]\n{key} = 1\n", "would be 100 %")
    assert getattr(read(tmp_path, f'{MODEL}[limits]\n{key} = "300 %"\n').tables.limits, key) == 3
    assert getattr(read(tmp_path, f"{MODEL}[limits]\n{key} = 0.99\n").tables.limits, key) == 0.99
    refused(tmp_path, f'{MODEL}[limits]\n{key} = "3"\n', "is not a share", '"3 %"')
    refused(tmp_path, f'{MODEL}[limits]\n{key} = "200000 %"\n', f"limits.{key}")  # beyond what a limit can be


def test_the_shares_are_those_of_the_limits():
    named = [
        key for key in plan_tables.LimitsTable.__struct_fields__ if key.endswith(("_regression", "_margin", "_tail"))
    ]
    assert sorted(named) == sorted(plan_tables.SHARES)


# --- slips


def test_one_bracket_for_two(tmp_path):
    error = refused(tmp_path, f'{MODEL}[compress]\npass = "prune_weights"\n', "[compress] is one table")
    assert error.hint.startswith("Write [[compress]]")


def test_two_brackets_for_one_and_lists_without(tmp_path):
    error = refused(tmp_path, f"{MODEL}[[limits]]\nsize_bytes = 1\n", "limits: expected `object`, got `array`")
    assert error.hint.startswith("It is one table: write its name in single brackets.")
    for table, key in (("limits", "applies_to"), ("convert", "formats"), ("measure", "meters")):
        error = refused(tmp_path, f'{MODEL}[{table}]\n{key} = "onnx-int8"\n', f"{table}.{key}: expected `array`")
        assert error.hint.startswith('It is a list: write it in brackets, ["like this"].')


def test_values_of_another_kind(tmp_path):
    refused(tmp_path, '[model]\npath = "a\\nb.keras"\n', "model.path: it has a line break or another control character")
    for table, key in (("measure", "runtimes"), ("training", "loss")):
        broken = f'{MODEL}[{table}]\n{key} = "a\\u0001"\n'
        refused(tmp_path, broken, f"{table}: {key} has a line break or another control character")
    refused(tmp_path, f'{MODEL}[limits]\naccuracy_drop_points = "1 %"\n', "'1 %' is not a number", "Give points")
    refused(tmp_path, MODEL.encode() + b"# \xe4\n", "its bytes are not UTF-8, from byte 28 on", "Save it as UTF-8.")


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("[modle]\n", "Did you mean model?"),
        (f"{MODEL}[measure]\ntreads = 1\n", "Did you mean threads?"),
        (f"{MODEL}[limits]\nlatency = 0.03\n", "Did you mean latency_tail?"),
        (f"{MODEL}[convert]\nFormats = []\n", "Did you mean formats?"),
        (f"{MODEL}[measure]\nformats = []\n", "formats is a key of [convert]."),
        (f"{MODEL}[host]\nmemory = 3\n", "Did you mean memory_bytes?"),
        (f"{MODEL}[host]\nminute = 3\n", "Did you mean minutes?"),
    ],
)
def test_the_nearest_key(tmp_path, text, near):
    assert refused(tmp_path, text, "unknown key").hint.startswith(near)


def test_nothing_is_guessed_where_nothing_is_near(tmp_path):
    assert "Did you mean" not in refused(tmp_path, f"{MODEL}[measure]\nxyzzy = 1\n", "unknown key `xyzzy`").hint


def test_the_nearest_name(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"PK")
    (tmp_path / "m.onxx").write_bytes(b"PK")
    wrong = read(tmp_path, f'{MODEL}[convert]\nformats = ["tflite-in8"]\n')
    with pytest.raises(PlanError, match="there is no format 'tflite-in8'") as caught:
        convert.check(wrong)
    assert caught.value.hint.startswith("Did you mean tflite-int8? Known: ")
    wrong = read(tmp_path, f'{MODEL}[[compress]]\npass = "prune_channel"\n')
    with pytest.raises(PlanError, match="there is no pass 'prune_channel'") as caught:
        compress.settings_of(wrong)
    assert caught.value.hint.startswith("Did you mean prune_channels? ")
    wrong = read(tmp_path, f'{MODEL}[limits]\napplies_to = ["tflite-int@ai_edge_litert"]\n')
    with pytest.raises(PlanError, match="is nothing that this plan measures") as caught:
        compare.check(wrong, ["tflite-int8", "tflite-fp32"], ["ai_edge_litert"])
    assert caught.value.hint.startswith("Did you mean tflite-int8@ai_edge_litert? ")


def test_a_name_of_any_length_is_quick_to_look_for():
    began = time.process_time()
    spelling.did_you_mean("a" * 10**6, ["abc" * 20] * 50)
    assert time.process_time() - began < 1


# --- files that are no plan


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "too deep"),
        ("a = " + "{b = " * 3000 + "1" + "}" * 3000, "too deep"),
        ("a." * 20_000 + "a = 1", "too deep"),
        ("[" + "a." * 20_000 + "a]", "too deep"),
        ("seed = " + "9" * 5000, "not valid TOML: Exceeds the limit"),
        ("seed = " + "9" * 4000, "seed: an integer beyond 64 bits"),
        (f'{MODEL}[[compress]]\npass = "x"\nlayers = [1, {2**63}]', "compress[0].layers[1]: an integer beyond 64 bits"),
        (b"\xff\xfe[\x00m\x00", "not valid TOML"),
        ("a" * (2**20 + 1), "larger than 1.00 MiB"),
        (f"{MODEL}[convert]\nformats = [{'1, ' * 10_000}]\n", "convert.formats"),
    ],
    ids=[
        "lists",
        "tables",
        "dotted",
        "dotted table",
        "5000 digits",
        "4000 digits",
        "64 bits",
        "utf-16",
        "large",
        "many",
    ],
)
def test_files_that_are_no_plan(tmp_path, text, says):
    began = time.process_time()
    refused(tmp_path, text, says)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("kind", ["folder", "pipe", "endless", "loop", "missing", "long"])
def test_paths_that_are_no_plan(tmp_path, kind):
    path = tmp_path / "edge.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "long":
        path = tmp_path / ("a" * 5000)
    with pytest.raises(PlanError, match="cannot be read"):
        plan.read(path)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("folder", "is a folder"),
        ("pipe", "is not a regular file"),
        ("endless", "is not a regular file"),
        ("loop", "Symlink loop"),
        ("long", "File name too long"),
    ],
)
def test_files_that_a_plan_names(tmp_path, kind, says):
    path = tmp_path / "rows.npz"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    name = "a" * 3000 + ".npz" if kind == "long" else "rows.npz"
    the_plan = read(tmp_path, MODEL)
    with pytest.raises(PlanError, match=says):
        plan.check_file(the_plan.file(name), "data.evaluation")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "rows.npz").write_bytes(b"")
    monkeypatch.setattr(plan.os, "access", lambda *_: False)  # root may read everything
    with pytest.raises(PlanError, match="may not be read by you"):
        plan.check_file(tmp_path / "rows.npz", "data.evaluation")


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_plan_or_one_sentence(content):
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(content)
        file.flush()
        with pytest.raises(PlanError):
            plan.read(Path(file.name))


WHOLE = (
    'seed = 1\n[model]\npath = "m.keras"\n[data]\nevaluation = "e.npz"\n[[compress]]\npass = "prune_weights"\nsparsity = 0.5\n'
    '[convert]\nformats = ["tflite-int8"]\n[measure]\nthreads = [1, 2]\n[limits]\nsize_bytes = "200 kB"\nlatency_regression = 0.03\n'
)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.sampled_from('[]{}=.",\n9eE-_infa\x00é')), max_size=6))
def test_mutated_plans_are_plans_or_one_sentence(changes):
    text = list(WHOLE)
    for at, to in changes:
        text[at] = to
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write("".join(text).encode())
        file.flush()
        with contextlib.suppress(PlanError):
            assert len(plan.read(Path(file.name)).without_limits_sha256) == 64


def test_the_bounds_of_the_host_do_not_make_it_another_plan(tmp_path):
    """What was measured under a lower bound can be judged under a higher one."""
    plain = read(tmp_path, MODEL).without_limits_sha256
    assert read(tmp_path, f'{MODEL}[host]\nminutes = 90\nmemory_bytes = "8 GB"\n').without_limits_sha256 == plain


def test_a_key_that_is_newer_does_not_make_an_older_plan_another_one(tmp_path):
    """The digest that the edgepress of schema 4 gave this plan."""
    known = "e8beff29a27eb765674fdccd6f816a97bd7139ff3bd83bac4d19379ff4b13f4b"
    text = '[model]\npath = "m.onnx"\n[data]\nevaluation = "rows.npz"\n'
    assert read(tmp_path, text).without_limits_sha256 == known
    assert read(tmp_path, f"{text}nonfinite = true\n").without_limits_sha256 != known
