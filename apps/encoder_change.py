"""Change of a workspace's encoder: all that depends on it is built beside the old, then put in its place."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.answer_router import ROUTER_NAME
from apps.errors import WorkspaceError
from apps.indexing import Progress
from apps.learnt import file_digest
from apps.ledger import FileEntry, FileLedger
from apps.review_entries import Reviews
from apps.router_fitting import refit_answer_router
from apps.settings import SETTINGS_NAME, Settings, read_settings_text, refuse_encoder_from_environment
from apps.training import CLASSIFIERS, export_encoders, train_interest, train_workspace_classifier
from apps.wiring import INTEREST_NAME, build_customer_service, build_recommendation, open_generations
from apps.workspace import with_encoder
from apps.workspace_models import close_store, open_embeddings, open_item_embeddings, store_folder, store_folder_of
from llms.errors import TuneChainError
from llms.files import hold_lock, replace_text
from llms.manifest import ClassifierManifest, find_manifest_of
from retrievers import FaissStore
from retrievers.errors import StoreMismatchError

_PLAN_NAME = "plan.json"
_STORES = ("knowledge", "items")
_MODELS = (*CLASSIFIERS, INTEREST_NAME)
_BATCH_DOCUMENTS = 256  # what a kill costs at most

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderChange:
    """What a change of encoder came to.

    Attributes:
        encoder: the one that is used now.
        rebuilt: the models and indexes that were built with it, by name.
        left_behind: indexes of other encoders, which servers still need that run with one of these.
    """

    encoder: str
    rebuilt: tuple[str, ...]
    left_behind: tuple[Path, ...]


def change_encoder(
    settings: Settings,
    encoder: str,
    *,
    report: Report = lambda _text: None,
    on_progress: Progress = lambda _done, _total: None,
) -> EncoderChange:
    """Give a workspace another encoder, and build all that depends on the encoder with it.

    Classifiers are trained, what the indexes hold is embedded, interests and the thresholds of known questions are
    learnt, all of it beside what is in use: until the end everything is answered as before, also by a server. Then
    it is renamed into place, and the settings file is replaced last. Repeated after a kill, the call goes on where
    it was. A server uses what it has loaded until it is started again.

    Args:
        settings: of the workspace.
        encoder: folder, hub id or name of the new encoder; also the one that the settings name already, for a
            workspace whose settings were changed by hand.
        report: called with a line about each step.
        on_progress: called with the documents embedded so far and all of them.

    Raises:
        ModelNotFoundError: if the encoder is not on this machine.
        ModelFolderError: if it is no sentence encoder.
        SettingsError: if the encoder cannot be changed in the settings file.
        WorkspaceError: if another process is changing it.
    """
    refuse_encoder_from_environment()
    reference = str(Path(encoder).resolve()) if Path(encoder).is_dir() else encoder
    text = with_encoder(read_settings_text(settings.workspace), reference)
    lock = settings.encoder_change_folder.with_name(f"{settings.encoder_change_folder.name}.lock")
    busy = WorkspaceError(f"the encoder of {settings.workspace} is being changed by another process; wait for it")
    with hold_lock(lock, busy):
        change = _Change(settings, reference, report, on_progress)
        rebuilt = () if change.is_in_effect() else change.build()
        change.switch(text)
        return EncoderChange(encoder=reference, rebuilt=rebuilt, left_behind=change.left_behind())


class _Change:
    """One change, in steps that are noted when they are done."""

    def __init__(self, settings: Settings, encoder: str, report: Report, on_progress: Progress) -> None:
        self._old = settings
        self._folder = settings.encoder_change_folder
        self._report = report
        self._on_progress = on_progress
        self._new = settings.with_encoder(encoder, built_in=self._folder)
        self._embeddings = open_embeddings(self._new)
        report(f"{encoder}: {self._embeddings.dimension} numbers a text")  # loads it, so that a wrong one is refused
        self._plan = self._open_plan(
            {
                "encoder": encoder,
                "fingerprint": self._embeddings.fingerprint,
                # noted, since while they are renamed there is a moment when they are not there
                "models": [name for name in _MODELS if (settings.models_folder / name).exists()],
            }
        )

    def is_in_effect(self) -> bool:
        """Return whether nothing is left to do: the workspace uses this very encoder, and all is built with it."""
        if self._old.models.encoder != self._new.models.encoder or self._plan["done"]:
            return False
        manifests = [find_manifest_of(self._old.models_folder / name, ClassifierManifest) for name in self._trained()]
        if any(manifest is None or manifest.base_fingerprint != self._fingerprint for manifest in manifests):
            return False
        return all(self._is_built_with(store_folder(self._old, name)) for name in _STORES if self._source(name))

    def build(self) -> tuple[str, ...]:
        """Build everything beside what is in use, as far as that is not done yet; return what, by name."""
        return (*self._train_classifiers(), *self._fill_stores(), *self._learn())

    def switch(self, settings_text: str) -> None:
        """Put what is new in the place of the old, and the settings last; repeated, it goes on where it was."""
        for name in _STORES:
            if (staged := self._new.index_folder / name).is_dir():
                self._put_in_place(staged, self._target(name))
        for staged in sorted(self._new.models_folder.iterdir()):
            if staged.name in (*_MODELS, ROUTER_NAME) or staged.suffix == ".safetensors":  # else logs of trainings
                self._put_in_place(staged, self._old.models_folder / staged.name)
        if INTEREST_NAME in self._plan["models"]:
            open_generations(self._old).forget()  # their interests were learnt with vectors of the encoder of before
        # the settings come last: where they name the encoder, all was built with it
        replace_text(self._old.workspace / SETTINGS_NAME, settings_text)
        shutil.rmtree(self._folder)

    def left_behind(self) -> tuple[Path, ...]:
        """Return the indexes of other encoders."""
        return tuple(path for name in _STORES for path in self._indexes(name) if not self._is_built_with(path))

    # --- steps

    def _train_classifiers(self) -> Iterator[str]:
        for name in self._trained():
            with self._step(name, f"fine-tuning the {name} classifier", self._inputs_of(name)) as is_needed:
                if is_needed:
                    train_workspace_classifier(self._new, name, show_progress=False)
            yield name

    def _inputs_of(self, name: str) -> str:
        """Return what changes with the rows and options that a classifier is trained on."""
        section, train_file, _, _ = CLASSIFIERS[name]
        folder = self._old.records_folder(getattr(self._old, section))
        inputs = [file_digest(folder / train_file), self._new.finetuning.model_dump_json()]
        if name == "intent":  # a message that was deleted meanwhile must not stay in the model
            inputs += [entry.model_dump_json() for entry in Reviews(folder).in_use()]
        return hashlib.sha256("\n".join(inputs).encode()).hexdigest()

    def _fill_stores(self) -> Iterator[str]:
        for name in _STORES:
            if source := self._source(name):
                self._report(f"embedding what the index of {name} holds")
                self._embed_again(source, name)
                yield name

    def _learn(self) -> Iterator[str]:
        """Learn what is read off vectors: interests, what is known of items, thresholds of known questions."""
        if INTEREST_NAME in self._plan["models"]:
            with self._step(INTEREST_NAME, "learning from all events", "") as is_needed:
                if is_needed:
                    train_interest(self._new)
                    build_recommendation(self._new)
            yield "interest"
        if "intent" in self._trained() and self._source("knowledge"):
            with self._step("service", "fitting thresholds", "") as is_needed:
                if is_needed:
                    refit_answer_router(self._new, self._report)
                    build_customer_service(self._new)
                    close_store(self._new, "knowledge")
                    export_encoders(self._new)
            yield "thresholds"

    def _embed_again(self, source: Path, name: str) -> None:
        """Make the new index hold what the old one does, and remember the same files of it."""
        documents = {document.id or "": document for document in FaissStore.stored_documents(source)}
        with FaissStore(self._new.index_folder / name, embedding=open_item_embeddings(self._new)) as store:
            known = {document.id: document for document in store.all_documents()}
            missing = [document for id_, document in documents.items() if known.get(id_) != document]
            for start in range(0, len(missing), _BATCH_DOCUMENTS):
                batch = missing[start : start + _BATCH_DOCUMENTS]
                store.add_documents(batch, ids=[document.id or "" for document in batch])
                self._on_progress(len(documents) - len(missing) + start + len(batch), len(documents))
            if gone := sorted(id_ for id_ in known if id_ and id_ not in documents):
                store.delete(gone)
        with FileLedger(source) as old, FileLedger(self._new.index_folder / name) as new:
            new.write(FileEntry(file, mark, old.ids(file)) for file, mark in old.fingerprints().items())

    # --- what is there

    @property
    def _fingerprint(self) -> str:
        return self._embeddings.fingerprint

    def _trained(self) -> list[str]:
        return [name for name in CLASSIFIERS if name in self._plan["models"]]

    def _indexes(self, name: str) -> list[Path]:
        """Return where the index lies, for every encoder."""
        folder = self._old.index_folder
        return [path for path in (folder / name, *sorted(folder.glob(f"{name}-*"))) if path.is_dir()]

    def _source(self, name: str) -> Path | None:
        """Return the index in use; the one changed last where the encoder in use cannot be found any more."""
        found = self._indexes(name)
        with contextlib.suppress(TuneChainError):
            if (current := store_folder(self._old, name)) in found:
                return current
        return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)

    def _target(self, name: str) -> Path:
        """Return where the index of the new encoder belongs: a folder of its own, unless the plain one is its."""
        plain = self._old.index_folder / name
        if not plain.is_dir() or self._is_built_with(plain):
            return plain
        return store_folder_of(self._old, name, encoder=self._embeddings)

    def _is_built_with(self, index: Path) -> bool:
        try:
            FaissStore(index, embedding=self._embeddings).close()
        except StoreMismatchError:
            return False
        return True

    def _put_in_place(self, staged: Path, target: Path) -> None:
        if target.exists():
            target.rename(Path(tempfile.mkdtemp(prefix="replaced-", dir=self._folder)) / target.name)
        target.parent.mkdir(exist_ok=True)
        staged.rename(target)

    # --- the plan

    @contextlib.contextmanager
    def _step(self, name: str, title: str, inputs: str) -> Iterator[bool]:
        """Yield whether a step has still to be done, and note that it is when the block ends."""
        is_needed = self._plan["done"].get(name) != inputs
        if is_needed:
            self._report(title)
        yield is_needed
        self._plan["done"][name] = inputs
        self._write_plan()

    def _open_plan(self, identity: dict[str, Any]) -> dict[str, Any]:
        """Return the plan of an interrupted change to the same encoder, or a new one."""
        with contextlib.suppress(OSError, ValueError, LookupError):
            plan: dict[str, Any] = json.loads((self._folder / _PLAN_NAME).read_text("utf-8"))
            if all(plan[name] == identity[name] for name in ("encoder", "fingerprint")):
                return plan
        shutil.rmtree(self._folder, ignore_errors=True)
        for folder in (self._new.models_folder, self._new.index_folder):
            folder.mkdir(parents=True)
        self._plan = {**identity, "done": {}}
        self._write_plan()
        return self._plan

    def _write_plan(self) -> None:
        replace_text(self._folder / _PLAN_NAME, json.dumps(self._plan))
