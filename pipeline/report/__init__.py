"""The last stage: records -> something to read.

`compose.view_of` puts a run into words, once; each renderer shows those words its own way and adds none:

    terminal   what the command prints                     html   one page that needs nothing else, with pictures
    markdown   for a pull request                          json   the RunRecord itself
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import msgspec

from pipeline.errors import PlanError, StageError
from pipeline.records import SCHEMA, RunRecord, migrations
from pipeline.store import Store, runs, write_atomically

RENDERERS = {
    "terminal": "pipeline.report.renderers.terminal",
    "markdown": "pipeline.report.renderers.markdown",
    "json": "pipeline.report.renderers.json",
    "html": "pipeline.report.renderers.html",
}
FILES = {"markdown": "report.md", "json": "report.json", "html": "report.html"}
"""What `report` writes; the terminal's is printed by the command."""


class Renderer(Protocol):
    def render(self, run: RunRecord, store: Store, /) -> str:
        """Return the whole text. `store` holds the artifacts that the record names, for a renderer that shows them."""


def renderer(name: str) -> Renderer:
    """Load the renderer called `name` in RENDERERS."""
    return cast("Renderer", import_module(RENDERERS[name]))


def report(run: RunRecord, store: Store) -> dict[str, Path]:
    """Write the reports of `run` into its folder in the store, and say where they are."""
    folder = store.report_folder(run.run_id)
    paths = {}
    for name, file in FILES.items():
        write_atomically(folder / file, renderer(name).render(run, store).encode(), store.tmp)
        paths[name] = folder / file
    return paths


def read_run(path: str | os.PathLike[str]) -> RunRecord:
    """The run in a file: a report.json, or runs/*.json of a state folder. PlanError if the file cannot be read, StageError if it holds
    no run that this edgepress knows.
    """
    try:
        return read(runs.read(Path(path)))
    except OSError as error:
        raise PlanError(
            f"the run {path} cannot be read: {error.strerror}", hint="Give the path of a report.json."
        ) from error


def read(data: bytes) -> RunRecord:
    """Read a RunRecord back from its JSON, also from that of an older edgepress. StageError if it is damaged, or a newer one's."""
    hint = f"This edgepress reads records up to schema {SCHEMA}: run `edgepress run` again to make one."
    try:
        return msgspec.json.decode(migrations.migrated(data, SCHEMA), type=RunRecord)
    except migrations.Unknown as error:
        raise StageError(str(error), hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise StageError(f"the stored run cannot be read: {error}", hint=hint) from error
