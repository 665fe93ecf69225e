"""Recipes: all that decides a training, from one TOML file or from flags, checked and written back in full."""

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import tomli_w
from pydantic import TypeAdapter, ValidationError

from apps.errors import SettingsError
from apps.tasks import TASKS, open_task
from llms.errors import TextEncodingError
from llms.field_errors import describe_fault
from llms.finetuning import TrainingOptions
from llms.finetuning.report import Task
from llms.texts import decode_text

if TYPE_CHECKING:
    from apps.tasks.task import DataOptions


RECIPE_NAME = "recipe.toml"
_TOP_KEYS = ("task", "out")
_SECTIONS = ("data", "training")
_NOT_OFFERED = "show_progress"  # whether a bar is shown is for the terminal to decide
_HEADING = "# Repeats the training of this folder: tunechain finetune --recipe recipe.toml --out another_folder\n"


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that somebody chose, and where: a flag, or a line of a recipe, then with the section it stands in."""

    value: Any
    where: str
    section: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides a training.

    Attributes:
        out: folder for the model; None where nothing is trained.
    """

    task: Task
    data: "DataOptions"
    training: TrainingOptions
    out: Path | None = None


def read_recipe(path: Path) -> dict[str, Choice]:
    """Return what a recipe chooses, by name; its paths are relative to the file.

    Raises:
        SettingsError: if the file cannot be read, is no TOML, or has a section or a key at the top that does not exist.
    """
    choices: dict[str, Choice] = {}
    for key, value in _read_toml(path).items():
        if key in _TOP_KEYS:
            choices[key] = Choice(value, f"{key!r} of {path}")
        elif key in _SECTIONS and isinstance(value, dict):
            section = {name: Choice(entry, f"{name!r} below [{key}] of {path}", key) for name, entry in value.items()}
            _refuse_elsewhere(section, choices)
            choices |= section
        else:
            hint = f"write [{key}]" if key in _SECTIONS else _did_you_mean(key, (*_TOP_KEYS, *_SECTIONS))
            msg = f"{path} has {key!r} at its top, but a recipe has task and out, then [data] and [training]; {hint}"
            raise SettingsError(msg)
    return {name: _relative_to(path.parent, name, choice) for name, choice in choices.items()}


def resolve_recipe(choices: Mapping[str, Choice], *, needs_out: bool = True) -> Recipe:
    """Return the recipe that the choices make, with defaults for everything else.

    Raises:
        SettingsError: if something is missing, a name does not exist for this task, or a value is of the wrong kind;
            the message says which, and what is allowed.
        OptionValueError, UnknownOptionError, UnsupportedOptionError: if an option has a value no training can honour.
    """
    task = _task_of(choices)
    kinds = open_task(task)
    parts: dict[str, dict[str, Any]] = {"data": {}, "training": {}}
    for name, choice in choices.items():
        if name in _TOP_KEYS:
            continue
        section = next((part for part in _SECTIONS if name in option_names(task, part)), None)
        if section is None or choice.section not in (None, section):
            raise SettingsError(_misplaced(name, choice, task, section))
        kind = kinds.data_kind if section == "data" else kinds.options_kind
        parts[section][name] = _checked(choice, get_type_hints(kind)[name])
    if "train" not in parts["data"]:
        msg = 'there are no rows to learn from; give --train FILE, or train = "FILE" below [data] of a recipe'
        raise SettingsError(msg)
    out = _checked(choices["out"], Path) if "out" in choices else None
    if out is None and needs_out:
        msg = 'there is no folder for the model; give --out DIR, or out = "DIR" at the top of a recipe'
        raise SettingsError(msg)
    data, training = kinds.data_kind(**parts["data"]), kinds.options_kind(**parts["training"])
    return Recipe(task=task, data=data, training=training, out=out)


def write_recipe(recipe: Recipe, folder: Path) -> Path:
    """Write `recipe.toml` into a model's folder and return its path: every choice and every default, in full.

    Paths are relative to the folder, so that they say nothing of the machine.
    """
    from llms.files import replace_text

    path = folder / RECIPE_NAME
    content: dict[str, Any] = {"task": recipe.task, "out": "."}
    for section, options in (("data", recipe.data), ("training", recipe.training)):
        values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
        if "base" in values and Path(values["base"]).is_dir():
            values["base"] = Path(values["base"])
        content[section] = {
            name: _seen_from(folder, value)
            for name, value in values.items()
            if value is not None and name != _NOT_OFFERED
        }
    replace_text(path, f"{_HEADING}\n{tomli_w.dumps(content)}")
    return path


def option_names(task: Task, section: str) -> list[str]:
    """Return the names that a section of a recipe may have for a task, in the order of their definition."""
    kinds = open_task(task)
    kind: Any = kinds.data_kind if section == "data" else kinds.options_kind
    return [field.name for field in dataclasses.fields(kind) if field.name != _NOT_OFFERED]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(decode_text(path.read_bytes()))
    except FileNotFoundError as error:
        msg = f"there is no recipe {path}; check the path"
        raise SettingsError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise SettingsError(msg) from error
    except TextEncodingError as error:
        msg = f"{path} {error}"
        raise SettingsError(msg) from error
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is no valid TOML: {error}"
        raise SettingsError(msg) from error


def _refuse_elsewhere(section: Mapping[str, Choice], before: Mapping[str, Choice]) -> None:
    """Refuse keys that belong to the top of a recipe, or stand in another section too: one of them would be ignored."""
    for name, choice in section.items():
        if name in _TOP_KEYS:
            msg = f"{choice.where} stands in the wrong section; move it to the top, above all sections"
            raise SettingsError(msg)
        if name in before:
            msg = f"{choice.where} stands there a second time, the first is {before[name].where}; remove one of them"
            raise SettingsError(msg)


def _relative_to(folder: Path, name: str, choice: Choice) -> Choice:
    value = choice.value
    is_path = name in ("train", "test", "out", "logs")
    is_folder_here = name == "base" and isinstance(value, str) and (folder / value).is_dir()
    if not isinstance(value, str) or not (is_path or is_folder_here):
        return choice
    path = Path(os.path.normpath(folder / value))
    return dataclasses.replace(choice, value=path if is_path else str(path))


def _task_of(choices: Mapping[str, Choice]) -> Task:
    if "task" not in choices:
        msg = f"there is no task; name it first (tunechain finetune classifier ...): one of {', '.join(TASKS)}"
        raise SettingsError(msg)
    for task in TASKS:
        if task == choices["task"].value:
            return task
    value = choices["task"].value
    msg = f"{choices['task'].where} is {value!r}, allowed are {', '.join(TASKS)}; {_did_you_mean(str(value), TASKS)}"
    raise SettingsError(msg)


def _checked(choice: Choice, kind: Any) -> Any:
    """Return a value of the kind that a field is declared with."""
    try:
        return TypeAdapter(kind).validate_python(choice.value, strict=True)
    except ValidationError as error:
        msg = f"{choice.where} is {choice.value!r}: it {describe_fault(error.errors(include_url=False)[0])}"
        raise SettingsError(msg) from error


def _misplaced(name: str, choice: Choice, task: Task, section: str | None) -> str:
    if section:
        return f"{choice.where} stands in the wrong section; move it below [{section}]"
    others = [other for other in TASKS if any(name in option_names(other, part) for part in _SECTIONS)]
    if others:
        return f"{choice.where} is no option for the task {task}, only for {', '.join(others)}; remove it"
    parts = [choice.section] if choice.section in _SECTIONS else _SECTIONS
    known = [known for part in parts for known in option_names(task, part)]
    return f"{choice.where} does not exist, known are {', '.join(known)}; {_did_you_mean(name, known)}"


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else "remove it"


def _seen_from(folder: Path, value: Any) -> Any:
    return Path(os.path.relpath(value, folder)).as_posix() if isinstance(value, Path) else value
