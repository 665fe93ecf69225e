"""Generations of what recommendation learnt: whole folders, one of which is in use, swapped by one rename."""

import contextlib
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apps.errors import GenerationError, WorkspaceError
from apps.learnt import file_digest
from chains.recommendation import InterestModel, ItemModels, follow_catalogue
from llms import LocalEmbeddings
from llms.arrays import load_arrays, save_arrays
from llms.errors import ModelFolderError
from llms.field_errors import describe_errors
from llms.files import hold_lock, replace_text, sync_files, sync_folder
from retrievers import ItemCatalogue

CURRENT_NAME = "CURRENT"
_MANIFEST_NAME = "manifest.json"
_ARRAYS_NAME = "item_models.safetensors"
_INTEREST_NAME = "interest.json"
_ITEMS_NAME = "items.json"
_FILES = (_ARRAYS_NAME, _INTEREST_NAME, _ITEMS_NAME)
_WORK_NAME = "work"
_NAME = re.compile(r"g\d{6,}")

_log = logging.getLogger(__name__)


class GenerationManifest(BaseModel):
    """What a generation was made of; it is written last, so where it is, the generation is whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    created: datetime
    learnt_until: datetime = Field(description="The time of the last event that was learnt from.")
    num_events: int
    encoder: str = Field(description="Fingerprint of the encoder that made the vectors.")
    ndcg: float | None = Field(default=None, description="On the last week, of models learnt from before it.")
    files: Mapping[str, str] = Field(description="Name -> SHA-256.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Everything that was learnt at one time."""

    manifest: GenerationManifest
    item_models: ItemModels
    interest: InterestModel
    texts: Mapping[str, str]  # item id -> the text its vector is of, in the order of the arrays


class Generations:
    """The generations of a workspace, below `models/recommendation`.

    `CURRENT` names the one in use, and on its second line the one before. Both are kept, others are removed.

    Args:
        folder: where they lie; it is made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def work_folder(self) -> Path:
        """Where a training that was cut off finds what it had done."""
        return self.folder / _WORK_NAME

    def names(self) -> tuple[str, ...]:
        """Return the name of the generation in use and that of the one before, as far as there are any."""
        try:
            return tuple((self.folder / CURRENT_NAME).read_text(encoding="utf-8", errors="replace").split())
        except OSError:
            return ()

    def open_current(self) -> Generation | None:
        """Return the generation in use, or None where there is none.

        Raises:
            GenerationError: if it is damaged.
        """
        names = self.names()
        return self.open(names[0]) if names else None

    def open_usable(self) -> Generation | None:
        """Return the generation in use or, where that is damaged, the one before; None if neither can be used."""
        for name in self.names():
            try:
                return self.open(name)
            except GenerationError as error:
                _log.error("%s", error)
        return None

    def open(self, name: str) -> Generation:
        """Return a generation after every file was compared with its sum.

        Raises:
            GenerationError: if it is not there, or damaged.
        """
        folder = self.folder / name
        if not _NAME.fullmatch(name):
            _refuse(folder, f"{name!r} is no name of a generation")
        try:
            manifest = GenerationManifest.model_validate_json((folder / _MANIFEST_NAME).read_bytes())
            if manifest.name != name or set(manifest.files) != set(_FILES):
                _refuse(folder, f"{_MANIFEST_NAME} is that of another folder")
            for file, digest in manifest.files.items():
                if file_digest(folder / file) != digest:
                    _refuse(folder, f"{file} is not what was written")
            arrays = load_arrays(folder / _ARRAYS_NAME, fingerprint=name)
            if arrays is None:
                _refuse(folder, f"{_ARRAYS_NAME} cannot be read")
            texts: dict[str, str] = dict(json.loads((folder / _ITEMS_NAME).read_text(encoding="utf-8")))
            item_models = ItemModels(**arrays)
            if not _is_of(item_models, num_items=len(texts)):
                _refuse(folder, f"{_ARRAYS_NAME} is not of the {len(texts)} items in {_ITEMS_NAME}")
            return Generation(
                manifest=manifest,
                item_models=item_models,
                interest=InterestModel.load(folder / _INTEREST_NAME),
                texts=texts,
            )
        except ValidationError as error:
            _refuse(folder, describe_errors(error))
        except (OSError, ValueError, TypeError, LookupError, RecursionError, ModelFolderError) as error:
            _refuse(folder, str(error))

    def write(
        self,
        *,
        item_models: Mapping[str, NDArray[Any]],
        interest: InterestModel,
        texts: Sequence[tuple[str, str]],
        learnt_until: datetime,
        num_events: int,
        encoder: str,
        ndcg: float | None,
    ) -> str:
        """Keep a new generation and return its name; it is not in use yet.

        Raises:
            OSError: if it cannot be written; what is in use stays.
        """
        name = self._next_name()
        work = self.folder / f".{name}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            save_arrays(work / _ARRAYS_NAME, item_models, fingerprint=name)
            interest.save(work / _INTEREST_NAME)
            replace_text(work / _ITEMS_NAME, json.dumps(list(texts), ensure_ascii=False))
            manifest = GenerationManifest(
                name=name,
                created=datetime.now(tz=UTC),
                learnt_until=learnt_until,
                num_events=num_events,
                encoder=encoder,
                ndcg=ndcg,
                files={file: file_digest(work / file) for file in _FILES},
            )
            replace_text(work / _MANIFEST_NAME, manifest.model_dump_json(indent=2) + "\n")
            sync_files(work)
            work.rename(self.folder / name)
            sync_folder(self.folder)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        return name

    def promote(self, name: str) -> None:
        """Put a generation into use, by one rename; the one in use until now is kept."""
        self._point_to([name, *self.names()[:1]])
        self._remove_others()

    def roll_back(self) -> str:
        """Put the generation before into use again, and return its name.

        Raises:
            WorkspaceError: if there is none.
            GenerationError: if it is damaged; then the one in use stays.
        """
        names = self.names()
        if len(names) < 2:
            state = f"{names[0]} is the only one" if names else "none was learnt yet"
            msg = (
                f"there is no earlier generation in {self.folder}: {state}. When "
                "`tunechain retrain` promotes another, the one before is kept; what quickstart made is none"
            )
            raise WorkspaceError(msg)
        self.open(names[1])
        self._point_to([names[1]])
        return names[1]

    def forget(self) -> None:
        """Use no generation any more; what `tunechain quickstart` trained takes their place."""
        (self.folder / CURRENT_NAME).unlink(missing_ok=True)
        shutil.rmtree(self.work_folder, ignore_errors=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody else train or promote in the meantime.

        Raises:
            WorkspaceError: if somebody does already.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        busy = WorkspaceError(f"another training of recommendation works in {self.folder}; wait until it is done")
        with hold_lock(self.folder / ".lock", busy):
            yield

    def _point_to(self, names: Sequence[str]) -> None:
        replace_text(self.folder / CURRENT_NAME, "\n".join(names) + "\n")
        sync_folder(self.folder)

    def _next_name(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.name[1:]) for path in self.folder.glob("g*") if path.name[1:].isdigit()]
        return f"g{max(numbers, default=0) + 1:06d}"

    def _remove_others(self) -> None:
        kept = self.names()
        for path in [*self.folder.glob("g*"), *self.folder.glob(".g*")]:
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)


def adapt_generation(generation: Generation, catalogue: ItemCatalogue, embeddings: LocalEmbeddings) -> ItemModels:
    """Return the models of a generation for the items there are now; texts of another encoder are encoded anew."""
    models, texts = generation.item_models, generation.texts
    if generation.manifest.encoder != embeddings.fingerprint:
        # the map from texts to factors is of the vectors it was learnt from
        models = replace(models, vectors=np.zeros((len(texts), embeddings.dimension), dtype=np.float32), text_map=None)
        texts = dict.fromkeys(texts, "")
    return follow_catalogue(models, texts=texts, catalogue=catalogue, embeddings=embeddings)


def _is_of(models: ItemModels, *, num_items: int) -> bool:
    """Return whether arrays have a row or column for each of so many items, and name no other."""
    if models.vectors.ndim != 2 or models.factors.ndim != 2:
        return False
    if len(models.vectors) != num_items or models.factors.shape[1] != num_items:
        return False
    if models.text_map is not None and models.text_map.shape != (models.vectors.shape[1] + 1, len(models.factors)):
        return False
    if models.item_item is not None:
        return models.item_item.shape == (num_items, num_items)
    if models.neighbours is None or models.neighbour_weights is None or models.neighbours.ndim != 2:
        return False
    is_whole = len(models.neighbours) == num_items and models.neighbours.shape == models.neighbour_weights.shape
    return is_whole and bool(((models.neighbours >= 0) & (models.neighbours < num_items)).all())


def _refuse(folder: Path, reason: str) -> NoReturn:
    msg = f"the generation in {folder} cannot be used: {reason}; run: tunechain retrain recommendation, or roll back"
    raise GenerationError(msg)
