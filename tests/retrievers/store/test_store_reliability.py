"""Kills, damage, a full disk and many at once, in a short form; `benchmarks.store_reliability` runs the long one."""

import multiprocessing
import subprocess
import sys

import pytest

from retrievers import FaissStore
from retrievers.errors import StoreFolderError, StoreFullError
from tests.reliability.store import (
    KINDS,
    load_for_children,
    run_damage,
    run_full_disk,
    run_kills,
    run_together,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the children are forked")


@pytest.fixture(scope="module")
def run_apart():
    """A function that runs in a process without threads, which then may fork; this one has searched already."""
    with multiprocessing.get_context("spawn").Pool(1, load_for_children) as pool:
        yield lambda work, *arguments, **options: pool.apply(work, arguments, options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_loses_nothing_acknowledged_and_doubles_nothing(run_apart, tmp_path, kind):
    report = run_apart(run_kills, tmp_path / "store", kind, count=4, seed=1)
    assert report.kills == 4
    assert report.acknowledged > 0
    assert (report.lost, report.duplicates) == (0, 0)
    assert report.slowest_reopening_s < 60


def _all_damage(folder, **options):
    return list(run_damage(folder, **options))


def test_damage_is_named_or_made_good_and_never_gives_a_wrong_answer(run_apart, tmp_path):
    reports = run_apart(_all_damage, tmp_path / "damage", truncations=1, flips=2, seed=1)
    assert {name.partition("/")[0] for name, _, _ in reports} == {"closed", "killed"}
    assert all(counts["wrong"] == 0 for _, _, counts in reports)
    named = sum(counts["named"] for _, _, counts in reports)
    rebuilt = sum(counts["rebuilt"] for name, _, counts in reports if "generations" in name)
    assert named > 0
    assert rebuilt == sum(sum(counts.values()) for name, _, counts in reports if "generations" in name)


def test_a_full_disk_is_told_and_changes_nothing(run_apart, tmp_path):
    counts = run_apart(run_full_disk, tmp_path / "full", num_limits=4)
    assert counts["intact afterwards"] == 4
    assert counts["refused with a bare error"] == counts["unreadable"] == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of three megabytes, where this machine lets us make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_real_disk_may_be_full_and_then_read_only(small_disk, embedding):
    with FaissStore(small_disk / "store", embedding=embedding) as store:
        store.add_texts(["text one", "text two"], ids=["1", "2"])

        def fill():
            for place in range(10_000):
                store.add_texts([f"text {place} " * 200], ids=[f"t{place}"])

        with pytest.raises(StoreFullError, match="free space"):
            fill()
        count = len(store)
        assert count > 10
        assert len(store.similarity_search("text", k=9_999)) == count
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with FaissStore(small_disk / "store", embedding=embedding) as store:
        assert len(store) == len(store.similarity_search("text", k=9_999)) == count
        for write in (lambda: store.add_texts(["x"]), lambda: store.delete(["1"]), store.compact):
            with pytest.raises(StoreFolderError, match="Read-only"):
                write()
    with pytest.raises(StoreFolderError, match="Read-only"):
        FaissStore(small_disk / "new", embedding=embedding)


def test_one_writes_while_others_read(run_apart, tmp_path):
    report = run_apart(run_together, tmp_path / "together", minutes=0.03)
    assert (report.torn, report.crashed, report.let_in) == (0, 0, 0)
    assert report.writes > 0
    assert report.refused > 0
    assert report.searches >= 80
    assert report.intact
