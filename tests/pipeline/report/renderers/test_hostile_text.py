"""What others wrote does nothing in any form of the report."""

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.records import Doubt, Outcome, RunRecord
from pipeline.report.renderers.markdown import escape
from pipeline.safe_text import UNSAFE, clean
from tests.pipeline.report.rendered import HOSTILE, all_texts, tags
from tests.support.sample_run import (
    CAN_NOT_RUN,
    board,
    comparison,
    measurement,
    run_of,
    verdict,
)


@given(st.text())
def test_cleaned_text_holds_nothing_that_a_terminal_obeys(text):
    assert not UNSAFE.search(clean(text))
    assert clean("Raspberry Pi 5 µ°é 板") == "Raspberry Pi 5 µ°é 板"


def hostile_run(text: str) -> RunRecord:
    doubt = Doubt(what=text, evidence=text, remedy=text)
    base, one = measurement(runtime=text), measurement("compressed", format=text, runtime=text, doubts=(doubt,))
    run = run_of(
        (base, one),
        comparisons=(comparison(one, base),),
        verdicts=(verdict("latency_regression", one, base, (1e-3, 2e-3, 1.0, 0.9, 1.1, 0.03), Outcome.REGRESSED),),
        failures=(msgspec.structs.replace(CAN_NOT_RUN, evidence=text, format=text),),
        facts=board(model=text, cpu=text, governor=text, is_board=False),
        plan_path=text,
        run_id="1",
    )
    model = msgspec.structs.replace(run.loaded.model, name=text)
    return msgspec.structs.replace(run, loaded=msgspec.structs.replace(run.loaded, model=model, notes=(text,)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.just(HOSTILE) | st.text(min_size=1, max_size=30))
def test_hostile_names_do_nothing_in_any_renderer(text, store):
    harmless = all_texts(hostile_run("harmless"), store)
    for name, out in all_texts(hostile_run(text), store).items():
        assert not UNSAFE.search(out.replace("\n", "").replace("\u200b", "")), name
        if name == "html":
            assert tags(out) == tags(harmless[name])
        if name == "markdown":
            assert "<script" not in out
            assert [line.count("|") - line.count("\\|") for line in out.splitlines() if line.startswith("| ")] == [
                line.count("|") for line in harmless[name].splitlines() if line.startswith("| ")
            ]


def test_markdown_notifies_nobody_and_links_nowhere():
    assert escape("@someone #12 https://x.y www.x.y a|b <b> *c* [d](e)") == (
        "@\u200bsomeone #\u200b12 https:\u200b//x.y www\u200b.x.y a\\|b &lt;b&gt; \\*c\\* \\[d\\](e)"
    )
    assert escape("original tflite-int8 @ sleep") == "original tflite-int8 @ sleep"
