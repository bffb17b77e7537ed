"""One page that opens anywhere, offline and in ten years: no address, no script, its pictures inside."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.records import RunRecord
from pipeline.report.compose import view_of
from pipeline.report.pictures.files import pictures, variants
from pipeline.store import Store

TEMPLATE = "page.html.j2"


def render(run: RunRecord, _store: Store) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(TEMPLATE)
    return page.render(view=view_of(run), pictures=list(pictures(run)), variants=variants(run)).strip() + "\n"
