"""Lists of a server that runs on: items that come, change and go, and generations of models that take over."""

import csv
import json
import multiprocessing
import os
import shutil
import signal
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from apps.errors import GenerationError, WorkspaceError
from apps.generations import CURRENT_NAME
from apps.learnt import file_digest
from apps.retraining import retrain_recommendation, roll_back_recommendation
from apps.settings import load_settings
from apps.training import train_interest
from apps.wiring import build_event_recorder, build_recommendation, open_generations
from llms import LocalEmbeddings
from llms.arrays import load_arrays, save_arrays
from llms.encoder.cosine_floor import PROBE_TEXTS
from retrievers import Event
from tests.apps.workspaces import START, build_workspace

NOW = START + timedelta(days=52)
ARRAYS_NAME = "item_models.safetensors"


def now():
    return NOW


@pytest.fixture
def settings(tmp_path, tmp_path_factory, encoder_folder):
    """A workspace of its own after its quickstart."""
    return load_settings(shutil.copytree(build_workspace(tmp_path_factory, encoder_folder), tmp_path / "shop"))


def read_rows(settings):
    with (settings.workspace / "recommendation" / "items.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(settings, rows):
    path = settings.workspace / "recommendation" / "items.csv"
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    new.replace(path)


def listed(chain, user="u1", k=100, **request):
    return {item.id: item for item in chain.invoke({"user": user, "k": k, **request}).items}


def add_events(settings, count=200, first_hour=1200):
    recorder = build_event_recorder(settings, clock=now)
    events = [
        Event(
            user=f"u{number % 20}",
            item=f"i{(number * 3 + number % 2) % 16}",
            event="click",
            time=START + timedelta(hours=first_hour) + timedelta(minutes=17 * number),
        )
        for number in range(count)
    ]
    recorder.record([event for event in events if event.time <= NOW])
    recorder.log.close()


# --- items


def test_an_item_that_is_added_is_listed_without_a_restart(settings):
    chain = build_recommendation(settings, clock=now)
    rows = read_rows(settings)
    fresh = rows[0] | {"id": "fresh", "title": "red card of today", "created": NOW.date().isoformat()}
    write_rows(settings, [*rows, fresh])
    chain.settle()
    assert "fresh" in listed(chain)
    assert "fresh" in build_event_recorder(settings).items


def test_only_changed_texts_are_encoded(settings, monkeypatch):
    chain = build_recommendation(settings, clock=now)
    encoded = []
    inner = LocalEmbeddings._encode

    def encode(self, texts, role):
        encoded.extend(text for text in texts if text not in PROBE_TEXTS["en"])
        return inner(self, texts, role)

    monkeypatch.setattr(LocalEmbeddings, "_encode", encode)
    rows = read_rows(settings)
    rows[3]["title"] = "an entirely different thing"
    rows[4]["price"] = "77.5"
    write_rows(settings, [*rows, rows[0] | {"id": "fresh", "title": "brand new"}])
    chain.settle()
    assert [text.split(".")[0] for text in encoded] == ["an entirely different thing", "brand new"]
    assert listed(chain)["i4"].price == 77.5


def test_an_item_that_is_deleted_is_gone_and_its_events_harm_nobody(settings):
    chain = build_recommendation(settings, clock=now)
    recorder = build_event_recorder(settings, clock=now)
    gone = next(iter(listed(chain)))
    write_rows(settings, [row for row in read_rows(settings) if row["id"] != gone])
    chain.settle()
    reply = chain.invoke({"user": "u1", "k": 100, "exclude": [gone]})
    assert gone not in [item.id for item in reply.items]
    assert reply.unknown_items == (gone,)
    event = Event(user="u1", item=gone, event="click", time=NOW - timedelta(hours=1))
    assert recorder.record([event]).unknown_items == (gone,)


def test_a_list_after_changes_is_that_of_a_restart(settings):
    chain = build_recommendation(settings, clock=now)
    train_interest(settings)
    retrain_recommendation(settings)
    rows = read_rows(settings)
    write_rows(settings, [*rows[2:], rows[0] | {"id": "fresh", "title": "brand new"}])
    chain.settle()
    assert listed(chain) == listed(build_recommendation(settings, clock=now))


@pytest.mark.parametrize("content", ["", "nonsense\n", "id,title\n" + "a,A\n" * 2])
def test_items_that_cannot_be_used_leave_the_lists_as_they_were(settings, content, caplog):
    chain = build_recommendation(settings, clock=now)
    recorder = build_event_recorder(settings)
    before = listed(chain)
    path = settings.workspace / "recommendation" / "items.csv"
    good = path.read_text(encoding="utf-8")
    path.write_text(content, encoding="utf-8")
    chain.settle()
    assert listed(chain) == before
    assert "lists go on as before" in caplog.text
    assert "i1" in recorder.items
    path.unlink()
    chain.settle()
    assert listed(chain) == before
    path.write_text(good, encoding="utf-8")
    chain.settle()
    assert listed(chain) == before


# --- generations


def test_a_running_server_takes_a_new_generation_and_goes_back(settings):
    chain = build_recommendation(settings, clock=now)
    first = retrain_recommendation(settings)
    assert (first.promoted, first.generation) == (True, "g000001")
    with pytest.raises(WorkspaceError, match=r"g000001 is the only one.*quickstart made is none"):
        roll_back_recommendation(settings)
    chain.settle()
    before = listed(chain)
    add_events(settings)
    second = retrain_recommendation(settings)
    assert (second.promoted, second.generation) == (True, "g000002"), second
    chain.settle()
    after = listed(chain)
    assert [item.score for item in after.values()] != [item.score for item in before.values()]
    assert roll_back_recommendation(settings) == "g000001"
    chain.settle()
    generations = open_generations(settings)
    assert generations.names() == ("g000001",)
    assert listed(chain) == listed(build_recommendation(settings, clock=now))
    with pytest.raises(WorkspaceError, match="no earlier generation"):
        roll_back_recommendation(settings)


def test_a_generation_that_is_worse_is_not_promoted(settings, monkeypatch):
    retrain_recommendation(settings)
    add_events(settings)
    monkeypatch.setattr("apps.retraining.compare_reports", lambda _after, _before: (-0.2, -0.3, -0.1))
    report = retrain_recommendation(settings)
    assert (report.promoted, report.generation, report.reason) == (False, None, "worse on the last week")
    assert open_generations(settings).names() == ("g000001",)


def test_the_comparison_is_about_events_that_neither_has_seen(settings):
    retrain_recommendation(settings)
    learnt_until = open_generations(settings).open_current().manifest.learnt_until
    assert retrain_recommendation(settings).reason == "no events came since the generation in use was learnt"
    add_events(settings)
    report = retrain_recommendation(settings)
    assert report.num_users >= 10
    assert report.difference_low <= report.ndcg_after - report.ndcg_before <= report.difference_high
    assert open_generations(settings).open_current().manifest.learnt_until > learnt_until


@pytest.mark.parametrize("file", ["manifest.json", "item_models.safetensors", "interest.json", "items.json"])
def test_a_damaged_generation_is_refused_and_the_old_one_stays(settings, file, caplog):
    retrain_recommendation(settings)
    chain = build_recommendation(settings, clock=now)
    before = listed(chain)
    generations = open_generations(settings)
    broken = shutil.copytree(generations.folder / "g000001", generations.folder / "g000002") / file
    broken.write_bytes(broken.read_bytes()[:-20])
    (generations.folder / CURRENT_NAME).write_text("g000002\ng000001\n")
    chain.settle()
    assert listed(chain) == before
    assert "lists go on as before" in caplog.text
    with pytest.raises(GenerationError, match="g000002 cannot be used"):
        generations.open_current()
    assert listed(build_recommendation(settings, clock=now)) == before  # after a restart, too


@pytest.mark.parametrize(
    "change",
    [
        {"files": {}},
        {"files": {"../g000001/interest.json": "x"}},
        {"name": "g000009"},
        {"vectors": np.zeros((1, 4), np.float32)},
        {"vectors": np.zeros(4, np.float32)},
        {"factors": np.zeros((4, 1), np.float32)},
        {"item_item": np.zeros((1, 1), np.float32)},
    ],
)
def test_a_foreign_generation_is_refused_and_the_one_before_is_used(settings, change):
    retrain_recommendation(settings)
    generations = open_generations(settings)
    good, name = "g000001", "g000002"
    folder = shutil.copytree(generations.folder / good, generations.folder / name)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    arrays = load_arrays(folder / ARRAYS_NAME, fingerprint=good)
    arrays |= {key: value for key, value in change.items() if key not in manifest}
    save_arrays(folder / ARRAYS_NAME, arrays, fingerprint=name)  # only what they hold is wrong
    manifest["files"][ARRAYS_NAME] = file_digest(folder / ARRAYS_NAME)
    manifest |= {"name": name} | {key: value for key, value in change.items() if key in manifest}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    (generations.folder / CURRENT_NAME).write_text(f"{name}\n{good}\n")
    with pytest.raises(GenerationError, match=name):
        generations.open_current()
    assert generations.open_usable().manifest.name == good


@pytest.mark.parametrize("content", [b"g000009\n", b"\xff\xfe\x00", b"../../interest\n", b"/etc\n", b"work\n"])
def test_a_current_that_names_no_generation_is_refused(settings, content, caplog):
    retrain_recommendation(settings)
    chain = build_recommendation(settings, clock=now)
    before = listed(chain)
    generations = open_generations(settings)
    (generations.folder / CURRENT_NAME).write_bytes(content)
    chain.settle()
    assert listed(chain) == before
    assert "lists go on as before" in caplog.text
    with pytest.raises(GenerationError, match="cannot be used"):
        generations.open_current()
    assert listed(build_recommendation(settings, clock=now))  # with what the quickstart trained


def test_a_full_disk_leaves_the_generation_in_use(settings, monkeypatch):
    retrain_recommendation(settings)
    add_events(settings)

    def no_room(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("apps.generations.save_arrays", no_room)
        with pytest.raises(OSError, match="No space"):
            retrain_recommendation(settings)
    generations = open_generations(settings)
    assert generations.names() == ("g000001",)
    assert not [path for path in generations.folder.iterdir() if path.name.startswith(".g")]
    assert retrain_recommendation(settings).promoted


def test_training_goes_on_after_a_kill_and_learns_nothing_twice(settings, monkeypatch):
    expected = retrain_recommendation(settings)
    manifest = open_generations(settings).open_current().manifest
    open_generations(settings).forget()
    shutil.rmtree(open_generations(settings).folder / "g000001")

    def killed(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("apps.generations.Generations.write", killed)
        with pytest.raises(KeyboardInterrupt):
            retrain_recommendation(settings)
    monkeypatch.setattr("apps.retraining.fit_interest", killed)
    monkeypatch.setattr("apps.retraining.learn_item_models", killed)
    assert retrain_recommendation(settings) == expected
    assert open_generations(settings).open_current().manifest.files == manifest.files


def test_two_trainings_at_once_are_one(settings):
    generations = open_generations(settings)
    with generations.held(), pytest.raises(WorkspaceError, match="another training"):
        retrain_recommendation(settings)


def test_a_quickstart_takes_the_place_of_generations(settings):
    retrain_recommendation(settings)
    train_interest(settings)
    assert open_generations(settings).names() == ()
    assert listed(build_recommendation(settings, clock=now))


def test_a_text_of_another_encoder_is_encoded_anew(settings):
    retrain_recommendation(settings)
    expected = listed(build_recommendation(settings, clock=now))
    path = open_generations(settings).folder / "g000001" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"encoder": "another one"}))
    assert listed(build_recommendation(settings, clock=now)).keys() == expected.keys()


def _retrain_until_killed(folder: Path, number: int) -> None:
    """Retrain, and die just before the file operation of this number."""
    done = 0

    def count(function):
        def operate(*arguments, **options):
            nonlocal done
            if done == number:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            return function(*arguments, **options)

        return operate

    for name in ("rename", "replace", "mkdir"):
        setattr(Path, name, count(getattr(Path, name)))
    shutil.rmtree = count(shutil.rmtree)
    os.fsync = count(os.fsync)
    retrain_recommendation(load_settings(folder))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such kill on this system")
def test_twenty_kills_while_training_and_swapping_leave_a_whole_generation(settings):
    retrain_recommendation(settings)
    chain = build_recommendation(settings, clock=now)
    add_events(settings)
    context = multiprocessing.get_context("fork")
    codes = []
    for number in range(20):
        process = context.Process(target=_retrain_until_killed, args=(settings.workspace, number))
        process.start()
        process.join(120)
        codes.append(process.exitcode)
        generations = open_generations(settings)
        generation = generations.open_current()
        assert generation is not None
        assert listed(chain, k=3)
        if process.exitcode == 0:
            add_events(settings, count=100, first_hour=1220 + number)
    assert codes.count(-signal.SIGKILL) >= 15
    report = retrain_recommendation(settings)
    assert report.promoted
    chain.settle()
    assert listed(chain) == listed(build_recommendation(settings, clock=now))
    assert not [path for path in open_generations(settings).folder.iterdir() if path.name.startswith(".g")]
