"""Receipts say what was made, and find what has changed since."""

import hashlib

import pytest

from quasarcurves.provenance import receipts
from quasarcurves.provenance.receipts import Receipt


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Give results of one job, with its receipt."""
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results"
    results.mkdir()
    for name in ("a.csv", "b.csv"):
        (results / name).write_text(name)
    outputs = receipts.hashes([results.relative_to(tmp_path) / name for name in ("a.csv", "b.csv")])
    receipt = Receipt("rule", {"seed": 1}, {"module": "1"}, {"numpy": "2"}, {}, outputs)
    receipt.save(results / "receipts" / "rule.json")
    return results


def test_round_trip_and_the_same_bytes(results):
    path = results / "receipts" / "rule.json"
    before = path.read_bytes()
    Receipt.load(path).save(path)
    assert path.read_bytes() == before
    assert receipts.recorded([path]).keys() == {"results/a.csv", "results/b.csv"}


def test_a_receipt_speaks_of_what_its_job_has_read_too(tmp_path):
    """What a file was made as counts more than what another job has read."""
    paths = [tmp_path / name for name in ("first.json", "second.json")]
    Receipt("first", {}, {}, {}, {}, {"a": "new"}).save(paths[0])
    Receipt("second", {}, {}, {}, {"a": "old", "b": "read"}, {"c": "made"}).save(paths[1])
    for order in (paths, paths[::-1]):
        assert receipts.recorded(order) == {"a": "new", "b": "read", "c": "made"}


def test_hash_is_sha256(results):
    value = receipts.recorded([results / "receipts" / "rule.json"])["results/a.csv"]
    assert value == hashlib.sha256(b"a.csv").hexdigest()


def test_whole_results_verify(results):
    assert receipts.verify(results) == []


def test_changed_missing_and_damaged(results):
    (results / "a.csv").write_text("a,csv")
    (results / "b.csv").unlink()
    (results / "receipts" / "other.json").write_text("{")
    found = {damage.path: damage.what for damage in receipts.verify(results)}
    assert found["results/a.csv"] == "its content has changed since it was made"
    assert found["results/b.csv"] == "missing"
    assert any("not a receipt" in what for what in found.values())
    assert len(found) == 3


def test_a_study_that_was_never_run_is_not_verified(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing to verify, the study was never run here"):
        receipts.verify(tmp_path / "results")
