"""The corpus's classes: what counts as right, refused, wrong and a crash, and what a stopped run keeps."""

import dataclasses
import json
import signal

import numpy as np
import pytest

from benchmarks._support.corpus import cases, packages, plain, product, rows, verdict
from benchmarks._support.corpus.cases import Case
from benchmarks.product import corpus

ROWS = {"rows": 2, "steps": 0, "inputs": 1, "outputs": ["y"], "arrays": [True], "written": True, "why_not": "", "changes": "", "notes": []}  # fmt: skip


@pytest.fixture
def judge(tmp_path):
    """Judge answers of the plain library against those of edgepress, on the host and the first of the board."""

    def judged(
        wanted, host=None, board=None, *, more=(), code=0, words="", too_long=False, failures=(), doubts=(), **said
    ):
        """`more`: (name, the plain library's, the host's) of further outputs."""
        every = [("y", wanted, host), *more]
        reference = {f"{row}/{place}": each for place, one in enumerate(every) for row, each in enumerate(one[1])}
        rows.write(tmp_path / "reference.npz", reference)
        record = None
        if host is not None or failures:
            store = tmp_path / "state" / "store"
            store.mkdir(parents=True, exist_ok=True)
            for name, _, values in every:
                with (store / name).open("wb") as file:
                    np.save(file, np.zeros(0) if values is None else values)
            outputs = [{"name": name} for name, _, _ in every]
            answers = [{"sha256": name} for name, _, _ in every]
            model = {
                "artifact": {"format": "onnx"},
                "outputs": outputs,
                "answers": [],
                "sequences": bool(said.get("steps")),
            }
            record = {
                "loaded": {"model": model},
                "converted": [] if host is None else [{"format": "onnx", "outputs": outputs, "answers": answers}],
                "measured": {
                    "measurements": []
                    if board is None
                    else [{"format": "onnx", "golden": board, "doubts": list(doubts)}],
                    "failures": list(failures),
                },
            }
        ran = product.Ran(code, record, words, 1.0, tmp_path / "state", too_long)
        case = Case("group", "name", "onnx", tmp_path / "model.onnx")
        return verdict.of(case, plain.Plain("0" * 64, tmp_path, ROWS | said), ran)

    return judged


WANTED = [np.array([[1.0, 2.0]], np.float32), np.array([[3.0, 4.0]], np.float32)]
HOST = np.array([[1, 2], [3, 4]], np.float32)


def test_the_same_answers_on_host_and_board_are_right(judge):
    one = judge(WANTED, HOST, [1.0, 2.0, 3.0, 4.0])
    assert (one.verdict, one.error) == (verdict.RIGHT, 0)


@pytest.mark.parametrize(
    ("host", "board", "reason"),
    [
        (HOST + 0.1, [1.0, 2.0, 3.0, 4.0], "onnx on the host"),
        (HOST, [1.0, 2.0, 3.0, 4.5], "onnx on the board"),
        (HOST, [1.0, float("nan"), 3.0, 4.0], "onnx on the board"),
        (HOST, [1.0, 2.0], "2 values"),
        (HOST.reshape(4, 1), [1.0, 2.0, 3.0, 4.0], "answers of shape (4, 1) for 2 rows"),
        (HOST.reshape(2, 2, 1).repeat(2, 2), [1.0, 2.0, 3.0, 4.0], "row 0 has the shape (2, 2)"),
    ],
)
def test_other_answers_are_wrong(judge, host, board, reason):
    one = judge(WANTED, host, board)
    assert one.verdict == verdict.WRONG
    assert reason in one.reason


def test_answers_that_the_plain_library_does_not_know_prove_nothing(judge):
    """A net of random weights may make more of the last bit of a row than is allowed: then the plain library differs from itself."""
    off = HOST + np.array([[0, 0], [0, 1.0]])
    one = judge(WANTED, off, nudged=[0.3])
    assert (one.verdict, one.error) == (verdict.NOT_COMPARED, 1)
    assert "change by 0.3 where the rows change in their last bit, and these differ by 1" in one.reason
    assert judge(WANTED, off, nudged=[0.2]).verdict == verdict.WRONG
    assert judge(WANTED, HOST, nudged=[0.3]).verdict == verdict.RIGHT


def test_a_second_output_that_is_not_answered_is_wrong(judge):
    one = judge(WANTED, HOST, outputs=["y", "z"], arrays=[True, True])
    assert (one.verdict, one.reason) == (verdict.WRONG, "no answers of the output z")


def test_each_output_is_compared_with_the_one_of_its_name_on_host_and_board(judge):
    board = [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]  # row by row, of each output
    z = ("z", [np.array([5.0], np.float32), np.array([6.0], np.float32)], np.array([[5], [6]], np.float32))
    two = {"outputs": ["y", "z"], "arrays": [True, True]}
    assert judge(WANTED, HOST, board, more=[z], **two).verdict == verdict.RIGHT
    assert "output z" in judge(WANTED, HOST, [*board[:-1], 6.5], more=[z], **two).reason
    assert "3 values, and the plain library's are 2" in judge(WANTED, HOST, [*board, 1.0], more=[z], **two).reason
    turned = judge([z[1][0], z[1][1]], z[2], [5.0, 1.0, 2.0, 6.0, 3.0, 4.0], more=[("z", WANTED, HOST)], **two)
    assert turned.verdict == verdict.RIGHT
    moved = {"outputs": ["z", "y"], "arrays": [True, True]}
    assert judge(WANTED, HOST, board, more=[z], **moved).verdict == verdict.WRONG


def test_integers_are_right_or_wrong_whatever_their_range(judge):
    large = [np.array([10**9, -(10**9)]), np.array([0, 1])]
    host = np.stack(large)
    assert judge(large, host).verdict == verdict.RIGHT
    assert judge(large, host + np.array([[0, 0], [0, 1]])).verdict == verdict.WRONG


def test_of_many_outputs_a_board_tells_the_first_values(judge):
    large = [np.arange(40, dtype=np.float32), np.arange(40, dtype=np.float32) + 1]
    two = {"outputs": ["y", "z"], "arrays": [True, True]}
    board = [*large[0][:32], *large[0][:32], *large[1][:32], *large[1][:32]]
    assert judge(large, np.stack(large), board, more=[("z", large, np.stack(large))], **two).verdict == verdict.RIGHT
    one = judge(large, np.stack(large), board[:64] + board[:64], more=[("z", large, np.stack(large))], **two)
    assert (one.verdict, one.reason) == (verdict.WRONG, "onnx on the board, output y")


def test_of_sequences_a_board_tells_the_first_step(judge):
    steps = [np.array([[[1.0, 2.0]], [[3.0, 4.0]]], np.float32), np.array([[[5.0, 6.0]], [[7.0, 8.0]]], np.float32)]
    host = np.stack([each[:, 0] for each in steps])
    assert judge(steps, host, [1.0, 2.0, 5.0, 6.0], steps=2).verdict == verdict.RIGHT
    assert judge(steps, host, [1.0, 2.0, 3.0, 4.0], steps=2).verdict == verdict.WRONG


def test_answers_that_edgepress_doubts_are_wrong_and_those_that_are_lacking_are_refused(judge):
    differs = {"what": "golden differs", "evidence": "16 % apart"}
    assert judge(WANTED, HOST, [1.0, 2.0, 3.0, 4.0], doubts=[differs]).reason == "onnx: 16 % apart"
    assert judge(WANTED, HOST, [9.0, 2.0, 3.0, 4.0], doubts=[differs], changes="random").verdict == verdict.RIGHT
    lacking = {"what": "no accuracy", "evidence": "the board did not answer"}
    one = judge(WANTED, HOST, [1.0, 2.0, 3.0, 4.0], doubts=[lacking])
    assert (one.verdict, one.reason) == (verdict.REFUSED, "onnx: the board did not answer")


def test_random_answers_need_the_shape_alone(judge):
    assert judge(WANTED, HOST + 5, changes="random").verdict == verdict.RIGHT
    assert judge(WANTED, HOST[:, :1], changes="random").verdict == verdict.WRONG


def test_a_sentence_is_a_refusal_and_is_held_against_the_plain_library(judge):
    words = "edgepress: model.onnx has 3 input(s)\n  what to do: cut it\n"
    one = judge(WANTED, code=5, words=words)
    assert (one.verdict, one.reason) == (verdict.REFUSED, "FILE has 3 input(s)")
    assert judge(WANTED, code=5, words=words, refused="no such operator").verdict == verdict.REFUSES_TOO


def test_a_file_that_the_board_did_not_run_is_refused(judge):
    one = judge(WANTED, failures=[{"format": "onnx", "evidence": "1 of 1 launch failed"}])
    assert (one.verdict, one.reason) == (verdict.REFUSED, "onnx: 1 of 1 launch failed")


@pytest.mark.parametrize(
    "how",
    [
        {"code": 1, "words": "Traceback (most recent call last):\n  File\nValueError: no\n"},
        {"code": 5, "words": "edgepress: loading FILE failed: its process was killed by SIGSEGV\n"},
        {"code": -signal.SIGSEGV},
        {"code": -signal.SIGTERM, "too_long": True},
    ],
)
def test_a_crash_is_no_refusal_also_where_the_plain_library_refuses(judge, how):
    assert judge(WANTED, refused="no", **how).verdict == verdict.CRASH


def test_answers_that_nothing_can_be_held_against_are_not_compared(judge):
    assert judge(WANTED, HOST, refused="no such operator").verdict == verdict.NOT_COMPARED
    assert judge(WANTED, HOST, arrays=[False]).verdict == verdict.NOT_COMPARED


def test_reasons_of_different_models_read_alike():
    one, other = "FILE has 3 input(s) of shape [2, 3]", "FILE has 4 input(s) of shape [5]"
    assert verdict.reason_of(one) == verdict.reason_of(other) == "FILE has N input.. of shape .."


# --- which models


def test_a_sample_is_the_same_each_time_and_only_names_groups_or_patterns(tmp_path):
    some = [Case("onnx-node", f"node/{number}", "onnx", tmp_path) for number in range(400)]
    some += [Case("packages", f"p/{number}", "onnx", tmp_path) for number in range(3)]
    sample = cases.chosen(some, [], whole=False)
    assert sample == cases.chosen(some[::-1], [], whole=False)[3:] + sample[-3:]
    assert len(sample) == cases.SAMPLE["onnx-node"] + 3
    assert cases.chosen(some, [], whole=True) == some
    assert cases.chosen(some, ["packages", "onnx-node/node/39*"], whole=False)[-4:] == some[399:]


def test_models_are_known_by_their_content_and_packed_ones_are_taken_out(tmp_path):
    tflite = b"\x1c\0\0\0TFL3 and more"
    (tmp_path / "a_packed_assets.data").write_bytes(b"head" + tflite)
    files = [{"filename": "/far/away/a.tflite", "start": 4, "end": 4 + len(tflite)}]
    (tmp_path / "a_packed_assets_loader.js").write_text(f"loadPackage({json.dumps({'files': files})});")
    (tmp_path / "text.tflite").write_text("this is no model")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    packages._unpack_data(tmp_path)
    found = {str(path.relative_to(tmp_path)): kind for path, kind in packages._models(tmp_path)}
    assert found == {"a_packed_assets/a.tflite": "tflite", "saved": "saved_model"}
    assert (tmp_path / "a_packed_assets" / "a.tflite").read_bytes() == tflite


def test_a_run_goes_on_with_what_the_same_edgepress_found_before(tmp_path):
    one = verdict.Verdict("group", "name", "0" * 64, verdict.RIGHT, error=0.5)
    path = tmp_path / "outcomes.jsonl"
    corpus.Kept(path, "1234567").add(one)
    with path.open("a") as file:
        file.write('{"edgepress": "1234567", "gro')  # killed while it wrote
    assert corpus.Kept(path, "1234567").known == {("group", "name", "0" * 64): one}
    assert corpus.Kept(path, "89abcde").known == {}


def test_figures_count_refusals_against_what_the_plain_library_runs(capsys):
    kinds = [verdict.RIGHT] * 7 + [verdict.REFUSED, verdict.REFUSES_TOO, verdict.WRONG]
    found = [verdict.Verdict("group", str(number), "", kind, "because") for number, kind in enumerate(kinds)]
    kept = {}
    corpus.keep(lambda figure, value, unit, of, note="": kept.update({(figure, of): (value, unit)}), found, "1234567")
    assert kept["right", "group"] == (7, "of 10")
    assert kept["refused of those that the plain library runs", "all"] == (11.1, "%")
    corpus.show(found)
    assert "| group | 10 | 7 | 1 | 1 | 1 | 0 | 0 | 11.1 % |" in capsys.readouterr().out
    assert json.loads(json.dumps(found[0].line())) == dataclasses.asdict(found[0])
