"""Which rows the board answers, and what their answers cost."""

import hashlib

import numpy as np
import pytest

from pipeline import deploy, frameworks
from pipeline.deploy import evaluation
from pipeline.errors import PlanError, StageError
from pipeline.plan import Plan
from pipeline.plan_tables import MeasureTable, ModelTable, Tables
from pipeline.records import Column, Converted, Data, Rows
from pipeline.store import Store


def plan(path, **measure):
    return Plan(
        path=path, sha256="0" * 64, tables=Tables(model=ModelTable(path="m.onnx"), measure=MeasureTable(**measure))
    )


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def kept(store, array):
    return frameworks.stored([array], store)[0]


X, IDS, RATE = np.arange(60, dtype="float32").reshape(20, 3), np.arange(20), np.array([16_000])


@pytest.fixture
def data(store):
    columns = {"x": X, "ids": IDS, "rate": RATE}
    return Data(
        evaluation=Rows(
            inputs=tuple(Column(name=name, artifact=kept(store, x), shape=x.shape[1:], dtype=x.dtype.name, constant=name == "rate")
                         for name, x in columns.items()), y=None, rows=20,
        )
    )  # fmt: skip


def file(store, *answers, variant="original"):
    artifact = store.put_bytes(b"model", "onnx")
    return Converted(
        variant=variant, format="onnx-fp32", artifact=artifact, agreement=None,
        answers=tuple(kept(store, np.zeros((20, *shape), dtype)) for shape, dtype in answers),
    )  # fmt: skip


def chosen(store, data, the_plan, *files):
    said = []
    found = evaluation.evaluation_rows(the_plan, data, files, store, said.append)
    indices = np.load(store.path(found.indices))
    assert len(indices) == found.number
    return indices, [np.load(store.path(each)) for each in found.columns], said


def test_all_rows_are_the_columns_as_they_are(store, data, tmp_path):
    found = evaluation.evaluation_rows(plan(tmp_path), data, (), store, print)
    assert found.columns == tuple(each.artifact for each in data.evaluation.inputs)
    assert np.load(store.path(found.indices)).tolist() == list(range(20))
    assert evaluation.evaluation_rows(plan(tmp_path), Data(), (), store, print) is None


def test_a_sample_has_the_same_rows_of_every_column_but_constants(store, data, tmp_path):
    indices, (x, ids, rate), said = chosen(store, data, plan(tmp_path, evaluation_rows=7))
    assert said == []
    assert ids.tolist() == indices.tolist() == sorted(set(indices))
    assert len(ids) == 7
    np.testing.assert_array_equal(x, X[indices])
    assert (x.dtype, rate.tolist()) == (np.float32, [16_000])
    again = chosen(store, data, plan(tmp_path, evaluation_rows=7))
    assert again[0].tolist() == indices.tolist()


def test_a_sample_is_stored_as_numpy_stores_it(store, data, tmp_path):
    found = evaluation.evaluation_rows(plan(tmp_path, evaluation_rows=7), data, (), store, print)
    x = X[np.load(store.path(found.indices))]
    assert found.columns[0] == kept(store, x)


def test_the_largest_answers_decide_how_many_rows(store, data, tmp_path):
    small, large = file(store, ((10,), "float32")), file(store, ((100,), "float32"), ((), "int64"))
    of_ledger = file(store, ((10_000,), "float32"), variant="step")
    indices, _, (said,) = chosen(store, data, plan(tmp_path, answer_bytes=408 * 5), small, large, of_ledger)
    assert len(indices) == 5
    assert "5 evaluation rows of 20" in said
    assert len(chosen(store, data, plan(tmp_path, answer_bytes=208 * 20, answers="float16"), large)[0]) == 20
    indices, _, (said,) = chosen(store, data, plan(tmp_path, answer_bytes=1), large)
    assert len(indices) == 1  # never none
    assert "1 evaluation row of 20" in said


def test_what_answers_cost_is_said_from_50_megabytes_on(store, tmp_path):
    large = file(store, ((1000,), "float32"))
    runtimes = ("onnxruntime", "ai_edge_litert")
    cost = evaluation.cost_of_answers(plan(tmp_path), [large, large], runtimes, 10_000, store, None)
    assert cost == "the board's answers are 76.3 MiB in all: some 8 s, if the link takes 9.54 MiB/s ([measure] answer_bytes, answers)"  # fmt: skip
    cost = evaluation.cost_of_answers(plan(tmp_path), [large, large], runtimes, 10_000, store, 400_000.0)
    assert "some 3.333 minutes, as fast as the files went there" in cost
    assert evaluation.cost_of_answers(plan(tmp_path), [large], runtimes, 10_000, store, None) == ""


def test_a_short_upload_says_nothing_of_the_link():
    assert evaluation.rate_of(3_000_000, 0.1) is None
    assert evaluation.rate_of(8_000_000, 2) == 4_000_000


def test_a_large_file_is_sent_from_the_disk(store, monkeypatch):
    monkeypatch.setattr(deploy, "MAPPED_BYTES", 1000)
    data = np.random.default_rng(0).bytes(5000)
    artifact = store.put_bytes(data, "npy")
    sent = deploy._content(artifact, store)
    assert isinstance(sent, memoryview)
    assert hashlib.sha256(sent).hexdigest() == artifact.sha256
    assert bytes(sent[4000:]) == data[4000:]
    path = store.path(artifact)
    monkeypatch.setattr(Store, "path", lambda self, artifact: path)  # damaged since it was looked at
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(StageError, match="is damaged"):
        deploy._content(artifact, store)


def test_constants_without_rows_would_be_zeros(tmp_path, store):
    """The time of a model that was told 0 Hz is not the one that was asked for."""
    tables = Tables(model=ModelTable(path="m.onnx", constants={"sr": 16000}))
    told = Plan(path=tmp_path, sha256="0" * 64, tables=tables)
    with pytest.raises(PlanError, match=r"model\.constants names 'sr', and without rows the board runs on zeros"):
        evaluation.check(told)
    with pytest.raises(PlanError, match="without rows the board runs on zeros"):
        deploy.preflight(told)
    evaluation.check(plan(tmp_path))
    assert evaluation.evaluation_rows(plan(tmp_path), Data(), (), store, print) is None
