"""What a report says: the same in every renderer, nothing that the record does not hold, nothing false as if true."""

import re

import msgspec
import pytest

from pipeline import report
from pipeline.errors import StageError
from pipeline.records import Outcome
from pipeline.report.compose import view_of
from pipeline.report.renderers import terminal
from pipeline.report.renderers.markdown import escape
from tests.pipeline.report.rendered import HOSTILE, brief_cells, page_text
from tests.support.sample_run import (
    CAN_NOT_RUN,
    THROTTLED,
    board,
    latency,
    measurement,
    run_of,
    whole_run,
)

# --- the contract of every renderer


@pytest.mark.parametrize("name", report.RENDERERS)
@pytest.mark.parametrize(
    "run",
    [
        whole_run(),
        run_of((measurement(),)),
        run_of((), failures=(CAN_NOT_RUN,), outcome=Outcome.INVALID),
        run_of((measurement(accuracy=None), measurement("compressed", doubts=(THROTTLED,)))),
        run_of((measurement(latency=latency(1e-3, launches=1)),), compared=None),
        run_of((measurement("compressed", doubts=(THROTTLED,)),), facts=board(is_board=False)),
    ],
    ids=["whole", "one measurement", "failures only", "no accuracy", "not judged", "all invalid"],
)
def test_every_renderer_renders_every_kind_of_run(name, run, store):
    text = report.renderer(name).render(run, store)
    assert run.loaded.model.name in text.replace("\\_", "_")
    assert text == report.renderer(name).render(run, store)
    assert text.endswith("\n")


@pytest.mark.parametrize("name", report.RENDERERS)
def test_a_model_that_keeps_a_state_is_said_to_in_a_run(name, store):
    """Row by row it is another model than as a stream, and who only runs it must read that, too."""
    run = whole_run()
    note = "Its state is reset before each row."
    run = msgspec.structs.replace(run, loaded=msgspec.structs.replace(run.loaded, notes=(note,)))
    assert note in report.renderer(name).render(run, store)
    assert note not in report.renderer(name).render(whole_run(), store)


def test_report_writes_its_pages_and_says_where(store):
    paths = report.report(whole_run(), store)
    assert {path.name for path in paths.values()} == {"report.md", "report.json", "report.html"}
    assert {path.parent for path in paths.values()} == {store.report_folder(whole_run().run_id)}
    assert all(path.stat().st_size > 1000 for path in paths.values())


def test_json_reads_back_as_the_same_record(store):
    run = run_of((measurement(runtime=HOSTILE),))
    text = report.renderer("json").render(run, store)
    assert report.read(text.encode()) == run
    assert text.startswith('{\n  "schema": ')


def test_a_record_of_another_version_is_an_error_with_a_remedy():
    with pytest.raises(StageError) as failed:
        report.read(b'{"schema": 99}')
    assert "edgepress run" in failed.value.hint


def test_the_renderers_agree_on_the_rows(store):
    run = whole_run()
    wide = terminal.render(run, store, width=400, colour=False)
    markdown = report.renderer("markdown").render(run, store)
    page = page_text(report.renderer("html").render(run, store))
    for line in view_of(run).table("results").lines:
        assert re.search(r"\s+".join(map(re.escape, brief_cells(run, line))), wide)
        assert f"| {' | '.join(escape(cell) for cell in line.cells)} |" in markdown
        assert all(cell in page for cell in line.cells)
    for text in (wide, page):
        flat = " ".join(text.split())
        assert view_of(run).headline in flat
        assert all(finding.text in flat for finding in view_of(run).findings)
        assert all(one.remedy in flat for one in (*view_of(run).doubts, *view_of(run).failures))
