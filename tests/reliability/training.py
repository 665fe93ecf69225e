"""Kills, interruptions and a full disk against a training, counted.

Every training runs in a process forked from this one, which itself never trains, on one thread. It takes the place of a
model that is there already. The model is a one-layer encoder, so that a training takes a second and the moments within
checkpoints and replacement are hit often; what is written, and in which order, is the same for any size.
"""

import gc
import importlib
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reliability.processes import answer_of, in_child, in_children, start_child
from tests.tiny_models import build_sentence_encoder

# rates at which the tiny encoder goes on learning for most of the steps
RATES = {"full": 3e-3, "lora": 1e-2, "prefix": 3e-2, "adapter": 1e-2, "head": None}
METHODS = tuple(RATES)
# what has just not happened yet when the process dies: an event of the interpreter, a part of its paths, which time
POINTS = {
    "before the checkpoints are named": ("os.rename", "training.json", 1),
    "between weights and state of a checkpoint": ("open", "trainer_state.json", 2),
    "before a seal": ("open", "sealed.json", 3),
    "within a seal": ("os.rename", "sealed.json", 2),
    "while an old checkpoint is removed": ("os.rmdir", "checkpoint-", 1),
    "while the model is written": ("open", "-replacing/new", 1),
    "while the manifest is written": ("os.rename", "manifest.json", 1),
    "before the old model makes room": ("os.rename", "-replacing/old", 1),
    "between the two renames": ("os.rename", "-replacing/new", 1),
    "while the old model is removed": ("os.rmdir", "old", 1),
    "while the checkpoints are removed": ("os.rmdir", "checkpoint-", 2),
}
_NAME = "model"
_WORDS = {
    "card": ["my card is lost", "card stolen", "where is the card", "lost card", "stolen card back"],
    "money": ["refund my money", "money back", "where is my money", "the refund is late", "refund the order"],
    "parcel": ["parcel late", "where is the parcel", "order late", "my parcel is lost", "the order is back"],
}


def load_for_children() -> None:
    """Load once what every child needs; loading starts no thread, which a fork would lose."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    libraries = ("sklearn.linear_model", "torch.utils.tensorboard", "peft")
    for name in ("llms.finetuning.classifier.finetune", "llms.finetuning.classifier.training", *libraries):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # Trainer collects garbage after each training, and would search all of the libraries


# --- one training


class Training:
    """A training in a folder of its own, where the same call always means the same model."""

    def __init__(self, folder: Path, method: str) -> None:
        self.method = method
        self.base = folder / "base"
        self.work = folder / "work"
        self.model = self.work / _NAME
        self._checkpoints = self.work / f".{_NAME}-checkpoints"
        self.old = folder / "old"
        self._num_logs = 0
        if not self.base.exists():
            build_sentence_encoder(self.base)
        if not self.old.exists():
            in_child(lambda: self._train(self.old / _NAME, method="head"))
            shutil.rmtree(self.old / "runs", ignore_errors=True)
        self.start_over()
        child, reading = self.begin()
        begun = time.monotonic()
        self.result = answer_of(child, reading)
        self.seconds = time.monotonic() - begun
        shutil.rmtree(self.work / "runs", ignore_errors=True)
        self.files = read_files(self.work)

    def start_over(self) -> None:
        """Leave nothing but the older model."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.old, self.work)

    def begin(self) -> tuple[int, int]:
        """Make the call in a process of its own; return when everything is loaded and the first step comes."""
        self._num_logs = len(list(self.work.glob("runs/*/events*")))
        child, reading = start_child(self.run)
        while self.method != "head" and not self._logs_anew():
            if select.select([reading], [], [], 0.002)[0]:
                break  # it has come to its end, good or bad
        return child, reading

    def _logs_anew(self) -> bool:
        return len(list(self.work.glob("runs/*/events*"))) > self._num_logs

    def run(self) -> dict[str, Any]:
        """Make the call; return what it says of the result."""
        return self._train(self.model)

    def is_as_if_never_cut_off(self, result: object) -> bool:
        """Compare result and files with those of the run that was not."""
        shutil.rmtree(self.work / "runs", ignore_errors=True)
        return result == self.result and read_files(self.work) == self.files

    def moment(self) -> str:
        """Return what a process was doing when it died, as the folder shows it."""
        num_checkpoints = len(list(self._checkpoints.glob("checkpoint-*")))
        if (self.work / f".{_NAME}-replacing").exists():
            return "replacing the model"
        if self.count_sealed() < num_checkpoints:
            return "writing or removing a checkpoint"
        return "after a checkpoint" if num_checkpoints else "before the first checkpoint"

    def count_sealed(self) -> int:
        """Return how many checkpoints are complete."""
        return len(list(self._checkpoints.glob("checkpoint-*/sealed.json")))

    def _train(self, folder: Path, *, method: str | None = None) -> dict[str, Any]:
        from llms.finetuning.classifier.finetune import finetune_classifier
        from llms.finetuning.classifier.options import ClassifierOptions
        from llms.finetuning.data.examples import LabelledText, LabelledTexts

        endings = ["", " please", " help", " order", " 卡", " now", " again", " today"]
        rows = [
            LabelledText(text + ending, label)
            for label, texts in _WORDS.items()
            for text in texts
            for ending in endings
        ]
        options = ClassifierOptions(
            base=str(self.base),
            method=method or self.method,  # type: ignore[arg-type]
            epochs=4,
            batch_size=12,
            checkpoint_steps=3,
            patience=3,
            learning_rate=RATES[self.method],
            device="cpu",
            precision="float32",
            show_progress=False,
        )
        trained = finetune_classifier(LabelledTexts(rows), folder, options)
        return json.loads(json.dumps({"metrics": trained.metrics, "history": trained.history}))


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in `folder`, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_silently(training: Training) -> str:
    """Return what a training prints on standard output and error, with nothing filtered out."""
    training.start_over()
    printed = training.work.with_name("printed")
    in_child(lambda: _run_into(training, printed))
    return printed.read_text("utf-8")


def _run_into(training: Training, printed: Path) -> dict[str, Any]:
    descriptor = os.open(printed, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    return training.run()


# --- kills


@dataclass
class KillReport:
    """What was counted."""

    kills: int = 0
    resumed: int = 0
    rounds: int = 0
    equal: int = 0
    moments: Counter[str] = field(default_factory=Counter)


def run_kills(training: Training, *, count: int, seed: int) -> KillReport:
    """Kill `count` processes at random moments; a training is killed one to three times, then left to its end."""
    random_ = random.Random(f"{seed}-{training.method}")
    report = KillReport()
    while report.kills < count:
        training.start_over()
        result = None
        for _ in range(min(random_.randint(1, 3), count - report.kills)):
            result = _killed(training, random_.uniform(0.0, training.seconds))
            if result is not None:  # it was faster
                break
            report.kills += 1
            report.moments[training.moment()] += 1
            report.resumed += training.count_sealed() > 0
        result = in_child(training.run) if result is None else result
        report.rounds += 1
        report.equal += training.is_as_if_never_cut_off(result)
    return report


def kill_at(training: Training, point: tuple[str, str, int]) -> str:
    """Kill a training at a point, make the call again, and return "equal", "DIFFERENT" or "not reached"."""
    training.start_over()
    if in_children([lambda: _run_to(training, point)])[0] is not None:
        return "not reached"
    result = in_child(training.run)
    return "equal" if training.is_as_if_never_cut_off(result) else "DIFFERENT"


def run_every_change(training: Training) -> KillReport:
    """Kill a training before its N-th change of a file, for N = 1, 2, 3 .. until it gets through."""
    report = KillReport()
    while True:
        training.start_over()
        point = ("", "", report.kills + 1)
        (result,) = in_children([lambda point=point: _run_to(training, point)])
        if result is not None:
            return report
        report.kills += 1
        report.moments[training.moment()] += 1
        report.equal += training.is_as_if_never_cut_off(in_child(training.run))
        if report.kills % 25 == 0:
            sys.stderr.write(f"{report.kills} kills, {report.equal} equal\n")


def _run_to(training: Training, point: tuple[str, str, int]) -> dict[str, Any]:
    """Run a training, and die when a file or folder is about to be changed for the n-th time at this point."""
    wanted_event, wanted_path, number = point
    seen = 0

    def die(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"):
            return
        if event == "open" and not _is_write(training.work, arguments):
            return
        if event.startswith(wanted_event) and wanted_path in str(arguments[0]) + str(arguments[1]):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die)
    return training.run()


def _is_write(folder: Path, arguments: tuple[Any, ...]) -> bool:
    path, _, flags = arguments
    return str(path).startswith(str(folder)) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _killed(training: Training, after_s: float) -> dict[str, Any] | None:
    """Return None after killing a training, or its result where it came to its end before."""
    child, reading = training.begin()
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    return answer_of(child, reading)


# --- a full disk


def run_full_disk(training: Training, num_ceilings: int) -> Counter[str]:
    """Let writes fail at many places, and count what became of the model and of the checkpoints."""
    counts: Counter[str] = Counter()
    for number in range(num_ceilings):
        limit = int(200 * 2_000 ** (number / num_ceilings))  # bytes, from the smallest file to below the largest
        training.start_over()
        before = read_files(training.model)
        outcome = in_child(lambda limit=limit: _run_below(training, limit))
        counts[outcome] += 1
        if outcome != "nothing failed":
            counts["old model intact"] += read_files(training.model) == before
        result = in_child(training.run)
        counts["equal when repeated"] += training.is_as_if_never_cut_off(result)
    return counts


def _run_below(training: Training, limit: int) -> str:
    from llms.errors import TrainingSaveError

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        training.run()
    except TrainingSaveError:
        return "refused with a typed error"
    except Exception as error:
        sys.stderr.write(f"{limit}: {type(error).__name__}: {error}\n")
        return "refused with a bare error"
    return "nothing failed"
