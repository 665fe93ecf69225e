"""Trainings that are killed, interrupted, damaged, diverging or out of room.

`benchmarks.training_reliability` kills at many more moments.
"""

import contextlib
import dataclasses
import importlib.util
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llms import LocalClassifier
from llms.errors import (
    ModelFolderError,
    OptionValueError,
    TrainingDivergedError,
    TrainingError,
    TrainingSaveError,
    UnsupportedOptionError,
)
from llms.finetuning.classifier import finetune as classifier_training
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.data.examples import LabelledTexts
from llms.finetuning.trainer.checkpoints import (
    checkpoint_folder,
    newest_valid_checkpoint,
    prepare_checkpoints,
    seal_checkpoint,
)
from llms.finetuning.trainer.saving import refuse_foreign_folder, replace_folder
from llms.finetuning.trainer.trainer import CheckedTrainer
from tests import tiny_models
from tests.reliability.training import (
    METHODS,
    POINTS,
    Training,
    kill_at,
    load_for_children,
    run_full_disk,
    run_kills,
    run_silently,
)

forks = pytest.mark.skipif(sys.platform == "win32", reason="the children are forked")


# --- kills


@pytest.fixture(scope="module")
def clean_process():
    """A process without threads, which then may fork; this one has trained already."""
    with multiprocessing.get_context("spawn").Pool(1, load_for_children) as pool:
        yield pool


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("killed")


_trainings = {}  # of the clean process, by method: what is compared with is trained once


def _training(folder, method):
    if method not in _trainings:
        _trainings[method] = Training(folder / method, method)
    return _trainings[method]


def _kill_at(folder, method, names):
    return {name: kill_at(_training(folder, method), POINTS[name]) for name in names}


def _kill_at_random(folder, method, **options):
    return dataclasses.asdict(run_kills(_training(folder, method), **options))


def _fill_disk(folder, **options):
    return run_full_disk(_training(folder, "full"), **options)


def _silently(folder):
    return run_silently(_training(folder, "full"))


@forks
def test_nothing_is_printed_in_a_process_without_filters(clean_process, folder):
    assert clean_process.apply(_silently, (folder,)) == ""


@forks
def test_a_model_whose_replacement_is_killed_ends_as_if_it_never_was(clean_process, folder):
    outcomes = clean_process.apply(_kill_at, (folder, "full", ["between the two renames"]))
    assert outcomes == {"between the two renames": "equal"}


# one method that changes the whole model, one adapter, one without steps; the others at night
_METHODS = [
    pytest.param(method, marks=() if method in ("full", "lora", "head") else pytest.mark.nightly) for method in METHODS
]


@forks
@pytest.mark.slow
@pytest.mark.parametrize("method", _METHODS)
def test_every_method_ends_as_if_it_was_never_killed(clean_process, folder, method):
    outcomes = clean_process.apply(_kill_at, (folder, method, list(POINTS)))
    assert set(outcomes.values()) <= ({"equal", "not reached"} if method == "head" else {"equal"})
    report = clean_process.apply(_kill_at_random, (folder, method), {"count": 4, "seed": 1})
    assert report["equal"] == report["rounds"]


# --- interruptions within this process


@pytest.fixture(scope="module")
def options(training_options):
    """Six batches an epoch, a checkpoint after every second."""
    return dataclasses.replace(
        training_options, epochs=3, batch_size=3, checkpoint_steps=2, patience=9, learning_rate=1e-3, track="none"
    )


@pytest.fixture(scope="module")
def unbroken(labelled_texts, options, tmp_path_factory):
    """What comes of these options when nothing happens; logged, which changes nothing."""
    return _train(labelled_texts, tmp_path_factory.mktemp("unbroken") / "model", options, track="tensorboard")


@pytest.fixture
def train(labelled_texts, options, tmp_path):
    """Return a function that trains into a folder below `tmp_path`."""

    def run(name="model", rows=labelled_texts, **changes):
        return _train(rows, tmp_path / name, options, **changes)

    return run


def _train(rows, folder, options, **changes):
    import torch

    torch.manual_seed(
        0
    )  # as in a new process: of what the base lacks, such as a pooler, the library makes something up
    return finetune_classifier(rows, folder, dataclasses.replace(options, **changes))


@pytest.fixture
def interrupt(monkeypatch):
    """Return a context in which the step of this number is never made."""

    @contextlib.contextmanager
    def at(step):
        make_step = CheckedTrainer.training_step

        def stop(self, *arguments):
            if self.state.global_step + 1 == step:
                raise KeyboardInterrupt
            return make_step(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(CheckedTrainer, "training_step", stop)
            with pytest.raises(KeyboardInterrupt):
                yield

    return at


@pytest.fixture
def starts(monkeypatch):
    """The checkpoints that trainings went on from, by name; None for a start from nothing."""
    names = []
    train = CheckedTrainer.train

    def note(self, resume_from_checkpoint=None):
        names.append(resume_from_checkpoint and Path(resume_from_checkpoint).name)
        return train(self, resume_from_checkpoint=resume_from_checkpoint)

    monkeypatch.setattr(CheckedTrainer, "train", note)
    return names


def _weights(folder):
    from safetensors.numpy import load_file

    return {path.name: load_file(path) for path in folder.rglob("*.safetensors")}


def _assert_same(trained, expected):
    assert trained.history == expected.history
    assert trained.metrics == expected.metrics
    ours, theirs = _weights(trained.folder), _weights(expected.folder)
    assert ours.keys() == theirs.keys()
    for name, tensors in ours.items():
        assert all((tensor == theirs[name][key]).all() for key, tensor in tensors.items())


def _checkpoints(folder):
    return sorted(path.name for path in checkpoint_folder(folder).glob("checkpoint-*"))


def _flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("step", [4, 8])
def test_an_interrupted_training_goes_on_in_the_middle_of_an_epoch(train, unbroken, interrupt, starts, tmp_path, step):
    with interrupt(step):
        train()
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / ".model-replacing").exists()
    trained = train()
    assert starts[-1] == f"checkpoint-{step - 2}"
    _assert_same(trained, unbroken)
    assert os.listdir(tmp_path) == ["model"]  # noqa: PTH208  # hidden ones, too


def test_early_stopping_goes_on_counting(train, interrupt, starts):
    changes = {"learning_rate": 1e-9, "patience": 3, "epochs": 9}  # nothing ever improves
    expected = train("unbroken", **changes)
    assert expected.history[-1]["step"] == 8  # the first of four evaluations is the best
    with interrupt(7):
        train(**changes)
    _assert_same(train(**changes), expected)


def test_a_training_that_had_stopped_early_is_not_prolonged(train, starts, monkeypatch):
    changes = {"learning_rate": 1e-9, "patience": 1, "epochs": 9}
    expected = train("unbroken", **changes)
    with monkeypatch.context() as patch:
        patch.setattr(classifier_training, "save_manifest", _raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(**changes)
    _assert_same(train(**changes), expected)
    assert starts[-1] == "checkpoint-4"


def _raise_interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("damage", [_flip_bit, _truncate, Path.unlink])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json", "sealed.json"])
def test_a_damaged_checkpoint_is_not_used(tmp_path, damage, name):
    for step in (2, 4):
        (folder := tmp_path / f"checkpoint-{step}").mkdir()
        for file in ("model.safetensors", "optimizer.pt"):
            (folder / file).write_bytes(bytes(99))
        (folder / "trainer_state.json").write_text('{"best_global_step": 2}', encoding="utf-8")
        seal_checkpoint(folder)
    assert newest_valid_checkpoint(tmp_path).name == "checkpoint-4"
    damage(tmp_path / "checkpoint-4" / name)
    assert newest_valid_checkpoint(tmp_path).name == "checkpoint-2"
    assert not (tmp_path / "checkpoint-4").exists()


def test_where_the_newest_checkpoint_is_damaged_an_older_one_is_taken(train, unbroken, interrupt, starts, tmp_path):
    with interrupt(7):
        train()
    *_, older, newest = _checkpoints(tmp_path / "model")
    _flip_bit(checkpoint_folder(tmp_path / "model") / newest / "optimizer.pt")
    _assert_same(train(), unbroken)
    assert (newest, starts[-1]) == ("checkpoint-6", older)


def test_without_the_best_weights_so_far_training_starts_again(train, interrupt, starts, tmp_path):
    changes = {"learning_rate": 1e-9}  # so the first checkpoint stays the best
    expected = train("unbroken", **changes)
    with interrupt(7):
        train(**changes)
    assert _checkpoints(tmp_path / "model") == ["checkpoint-2", "checkpoint-6"]
    _flip_bit(checkpoint_folder(tmp_path / "model") / "checkpoint-2" / "model.safetensors")
    _assert_same(train(**changes), expected)
    assert starts[-1] is None


def test_best_weights_that_are_damaged_at_the_end_are_never_taken(train, unbroken, monkeypatch, tmp_path):
    load = CheckedTrainer._load_best_model

    def damage(self):
        best = checkpoint_folder(tmp_path / "model") / f"checkpoint-{self.state.best_global_step}"
        _flip_bit(best / "model.safetensors")
        load(self)

    with monkeypatch.context() as patch:
        patch.setattr(CheckedTrainer, "_load_best_model", damage)
        with pytest.raises(TrainingError, match="has changed since it was written"):
            train()
    assert not (tmp_path / "model").exists()
    _assert_same(train(), unbroken)


def test_a_moved_folder_goes_on_where_it_is_now(train, unbroken, interrupt, starts, tmp_path):
    with interrupt(7):
        train()
    checkpoint_folder(tmp_path / "model").rename(checkpoint_folder(tmp_path / "moved"))
    _assert_same(train("moved"), unbroken)
    assert starts[-1] == "checkpoint-6"


@pytest.mark.parametrize("change", ["seed", "rows", "base"])
def test_a_checkpoint_of_another_training_is_never_used(train, interrupt, starts, labelled_texts, tmp_path, change):
    with interrupt(7):
        train()
    changes = {
        "seed": lambda: {"seed": 1},
        "rows": lambda: {"rows": LabelledTexts(labelled_texts.rows[1:])},
        "base": lambda: {"base": str(tiny_models.build_sentence_encoder(tmp_path / "base", seed=1))},
    }
    train(**changes[change]())
    assert starts == [None, None]


def test_without_resume_checkpoints_are_neither_used_nor_left_for_others(train, interrupt, starts):
    for resume in (True, False):
        with interrupt(7):
            train(resume=resume)
    train()
    assert starts == [None, None, None]


def test_a_kill_while_checkpoints_are_prepared_costs_none_of_them(tmp_path, monkeypatch):
    prepare_checkpoints(tmp_path / "checkpoints", "mine")
    (tmp_path / "checkpoints" / "checkpoint-2").mkdir()
    seal_checkpoint(tmp_path / "checkpoints" / "checkpoint-2")
    monkeypatch.setattr(Path, "write_text", _raise_interrupt)
    assert prepare_checkpoints(tmp_path / "checkpoints", "mine").name == "checkpoint-2"


# --- divergence


@pytest.mark.parametrize(("step", "reason"), [(3, "loss of step 3 is nan"), (4, "after step 4 the weights")])
def test_a_training_that_diverges_says_where_and_keeps_what_was_right(train, monkeypatch, tmp_path, step, reason):
    make_step = CheckedTrainer.training_step

    def poison(self, model, *arguments):
        linear = self.model.linear
        if self.state.global_step + 1 == step == 3:
            linear.weight.data.fill_(np.nan)
        loss = make_step(self, model, *arguments)
        if self.state.global_step + 1 == step == 4:  # seen by no loss before the checkpoint
            linear.weight.grad.fill_(np.nan)
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(CheckedTrainer, "training_step", poison)
        with pytest.raises(TrainingDivergedError, match=f"{reason}.*rate 0.001"):
            train()
    checkpoints = checkpoint_folder(tmp_path / "model")
    assert newest_valid_checkpoint(checkpoints).name == "checkpoint-2"
    assert _checkpoints(tmp_path / "model") == ["checkpoint-2"]


# --- disks


@forks
@pytest.mark.slow
def test_a_full_disk_is_told_and_costs_nothing(clean_process, folder):
    counts = clean_process.apply(_fill_disk, (folder,), {"num_ceilings": 5})
    assert counts["equal when repeated"] == 5
    assert counts["refused with a bare error"] == 0
    assert counts["old model intact"] == counts["refused with a typed error"] > 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four megabytes, where this machine lets us make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield disk
    # lazily, since a failed write is still open as long as pytest keeps its error
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _fill(disk):
    with (disk / "ballast").open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
            file.flush()


def test_a_full_disk_costs_neither_checkpoints_nor_the_old_model(small_disk, train, trained, unbroken, monkeypatch):
    shutil.copytree(trained.folder, small_disk / "model")
    before = _weights(small_disk / "model")
    for step, found in ((3, "checkpoint-2"), (7, "checkpoint-6")):
        with _full_from(step, small_disk, monkeypatch), pytest.raises(TrainingSaveError, match="earlier checkpoints"):
            train("disk/model")
        (small_disk / "ballast").unlink()
        assert newest_valid_checkpoint(checkpoint_folder(small_disk / "model")).name == found

    save = classifier_training.save_body
    with monkeypatch.context() as patch:
        patch.setattr(classifier_training, "save_body", lambda *arguments: (_fill(small_disk), save(*arguments)))
        with pytest.raises(TrainingSaveError, match=r"the model in .* could not be written"):
            train("disk/model")
    after = _weights(small_disk / "model")
    assert all((before[file][name] == after[file][name]).all() for file in before for name in before[file])
    (small_disk / "ballast").unlink()
    _assert_same(train("disk/model"), unbroken)


def test_a_disk_that_cannot_be_written_to_is_refused_before_training(small_disk, train, trained, starts):
    shutil.copytree(trained.folder, small_disk / "model")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for name in ("disk/model", "disk/new/model"):
        with pytest.raises(TrainingSaveError, match="cannot be written to"):
            train(name)
    assert starts == []


@contextlib.contextmanager
def _full_from(step, disk, monkeypatch):
    make_step = CheckedTrainer.training_step

    def fill(self, *arguments):
        if self.state.global_step + 1 == step:
            _fill(disk)
        return make_step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(CheckedTrainer, "training_step", fill)
        yield


def test_a_replacement_that_was_cut_off_is_undone_at_the_next_start(trained_copy):
    work = trained_copy.with_name(f".{trained_copy.name}-replacing")
    work.mkdir()
    (work / "new").mkdir()
    trained_copy.rename(work / "old")  # as a kill between the two renames leaves it
    refuse_foreign_folder(trained_copy)
    assert LocalClassifier(trained_copy).labels
    assert os.listdir(trained_copy.parent) == [trained_copy.name]  # noqa: PTH208  # hidden ones, too


def test_an_old_model_that_cannot_be_put_back_is_not_removed(trained_copy, monkeypatch):
    rename = Path.rename

    def fail(self, target):
        if self.name != trained_copy.name:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises(TrainingSaveError), replace_folder(trained_copy):
            pass
    refuse_foreign_folder(trained_copy)
    assert LocalClassifier(trained_copy).labels


# --- who watches


def _scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_losses_and_scores_are_in_tensorboards_files_each_once(train, unbroken, interrupt, tmp_path):
    with interrupt(8):
        train(track="tensorboard")
    train(track="tensorboard")
    expected, resumed = (_scalars(parent / "runs" / "model") for parent in (unbroken.folder.parent, tmp_path))
    rows = [(row["step"], pytest.approx(row["held_out_accuracy"])) for row in unbroken.history]
    assert expected["eval/accuracy"] == rows
    assert len(expected["train/loss"]) > len(rows)
    assert resumed["eval/accuracy"] == expected["eval/accuracy"]
    assert resumed["train/loss"] == expected["train/loss"]


def test_a_tracker_that_is_not_installed_is_named(train):
    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed here")
    with pytest.raises(UnsupportedOptionError, match="needs the library wandb"):
        train(track="wandb")


def test_the_progress_bar_is_all_that_is_shown(train, interrupt, capfd):
    with interrupt(5):
        train(show_progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "training:  22%" in shown.err
    assert shown.err.endswith("\n")


# --- several processes


def test_prefixes_are_not_dropped_by_saving_memory(train):
    with pytest.raises(UnsupportedOptionError, match="'prefix' learns"):
        train(method="prefix", gradient_checkpointing=True)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "head"])
def test_two_processes_learn_what_one_learns_and_one_of_them_writes(tmp_path, method):
    base = tiny_models.build_sentence_encoder(tmp_path / "base")
    config = json.loads((base / "config.json").read_text("utf-8"))
    without_chance = config | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (base / "config.json").write_text(json.dumps(without_chance), encoding="utf-8")
    launch = "-m accelerate.commands.accelerate_cli launch --multi_gpu --num_processes 2 --num_machines 1"
    launch += f" --mixed_precision no --dynamo_backend no --main_process_port {_free_port()}"
    launchers = {"one": [sys.executable], "two": [sys.executable, *launch.split()]}
    told = {}
    for name, launcher in launchers.items():
        (tmp_path / name).mkdir()
        script = [str(Path(__file__).with_name("train_in_processes.py")), str(base), str(tmp_path / name / "model")]
        done = subprocess.run([*launcher, *script, method], capture_output=True, env=_environment(), timeout=200)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        told[name] = json.loads((tmp_path / name / "told-by-main.json").read_text("utf-8"))
    other = json.loads((tmp_path / "two" / "told-by-other.json").read_text("utf-8"))
    assert [told["one"]["processes"], told["two"]["processes"], other["processes"]] == [1, 2, 2]
    assert other | {"main": True} == told["two"]
    assert told["two"]["complete"]
    for one, two in zip(told["one"]["history"], told["two"]["history"], strict=True):
        assert one == pytest.approx(two, abs=1e-4)
    logs = [] if method == "head" else ["runs"]
    left = ["model", *logs, "told-by-main.json", "told-by-other.json"]
    assert sorted(os.listdir(tmp_path / "two")) == left  # noqa: PTH208  # hidden ones, too
    replies = [LocalClassifier(tmp_path / name / "model").invoke("where is my card") for name in launchers]
    assert replies[0].probabilities == pytest.approx(replies[1].probabilities, abs=1e-3)


def _free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _environment():
    root = str(Path(__file__).parents[3])
    return dict(os.environ) | {"PYTHONPATH": root, "CUDA_VISIBLE_DEVICES": ""}  # noqa: TID251


def test_a_batch_that_processes_cannot_share_is_refused(train, monkeypatch):
    from transformers import TrainingArguments

    monkeypatch.setattr(TrainingArguments, "world_size", property(lambda _: 2))
    with pytest.raises(OptionValueError, match="the 2 processes; got 3 and 1"):
        train()


def test_what_is_no_model_is_refused_before_anything_is_written(train, tmp_path):
    (tmp_path / "model").write_text("mine", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="is no model trained here"):
        train()
    assert os.listdir(tmp_path) == ["model"]  # noqa: PTH208  # hidden ones, too


def test_a_folder_that_another_training_writes_to_is_refused_until_that_ends(train, monkeypatch, tmp_path):
    refusals = []

    def train_once_more(*arguments, **options):
        with pytest.raises(ModelFolderError, match="another training writes to") as refusal:
            train()
        refusals.append(refusal)
        train("beside", method="head")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(classifier_training, "check_training_rows", lambda rows: patch.undo() or train_once_more())
        train()
    assert len(refusals) == 1
    train()
    assert LocalClassifier(tmp_path / "model").labels == LocalClassifier(tmp_path / "beside").labels
