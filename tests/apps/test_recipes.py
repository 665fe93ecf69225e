"""A recipe chooses what flags choose; what it does not know, it refuses with what there is."""

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.errors import SettingsError
from apps.finetune_flags import FLAGS, describe_command
from apps.recipes import Choice, option_names, read_recipe, resolve_recipe, write_recipe
from apps.tasks import TASKS, open_task
from llms.errors import OptionValueError, UnsupportedOptionError

RECIPE = """
task = "classifier"
out = "models/mine"

[data]
train = "rows/train.csv"
label_column = "intent"

[training]
method = "lora"
epochs = 3
learning_rate = 0.5
"""


@pytest.fixture
def write(tmp_path):
    """A function (text) -> path of a recipe."""

    def write_text(text, name="recipe.toml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write_text


def resolve(path):
    return resolve_recipe(read_recipe(path), needs_out=False)


def test_a_recipe_has_defaults_for_what_it_does_not_choose(write, tmp_path):
    recipe = resolve(write(RECIPE))
    assert (recipe.task, recipe.out) == ("classifier", tmp_path / "models" / "mine")
    assert (recipe.data.train, recipe.data.label_column, recipe.data.text_column) == (
        tmp_path / "rows" / "train.csv",
        "intent",
        "text",
    )
    assert (recipe.training.method, recipe.training.epochs, recipe.training.patience) == ("lora", 3, 2)


def test_paths_are_relative_to_the_recipe_and_so_is_a_base_that_lies_there(write, tmp_path):
    (tmp_path / "encoder").mkdir()
    path = write('task = "classifier"\n[data]\ntrain = "../a.csv"\n[training]\nbase = "encoder"\nlogs = "/runs"\n')
    recipe = resolve(path)
    assert recipe.data.train == tmp_path.parent / "a.csv"
    assert recipe.training.base == str(tmp_path / "encoder")
    assert recipe.training.logs == Path("/runs")
    assert resolve(write(path.read_text().replace("encoder", "org/name"))).training.base == "org/name"


def test_flags_win_over_the_recipe(write):
    choices = read_recipe(write(RECIPE)) | {"epochs": Choice(5, "--epochs"), "learning_rate": Choice(0.5, "--x")}
    recipe = resolve_recipe(choices)
    assert (recipe.training.epochs, recipe.training.learning_rate, recipe.training.method) == (5, 0.5, "lora")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"classifier"', '"clasifier"', r"'task' of .* is 'clasifier', allowed are classifier, .*'classifier'\?"),
        ("out =", "output =", r"'output' at its top.*did you mean 'out'\?"),
        ("[training]", "[train]", r"'train' at its top.*\[data\] and \[training\]; did you mean"),
        ("epochs", "epoch", r"'epoch' below \[training\] .* known are base, .*; did you mean 'epochs'\?"),
        ("label_column", "labelcolumn", r"did you mean 'label_column'\?"),
        ("label_column", "seed", r"'seed' below \[data\] .* wrong section; move it below \[training\]"),
        ("label_column", "epochs", r"'epochs' below \[training\] .* a second time, the first is 'epochs' below"),
        ("label_column", "out", r"'out' below \[data\] .* move it to the top"),
        ("label_column", "query_column", r"no option for the task classifier, only for embeddings, reranker"),
        ("epochs = 3", "show_progress = false", r"'show_progress' below \[training\] .* does not exist"),
        ("epochs = 3", 'epochs = "3"', r"'epochs' below .* is '3': it must be a whole number, got a text"),
        ("epochs = 3", "keep_adapter = 1", r"'keep_adapter' .* is 1: it must be true or false, got a number"),
        ('"lora"', '"lorax"', r"'method' .* is 'lorax': it must be 'full', 'head', 'lora'"),
        ("label_column", "split_by", r"move it below \[training\]"),
        ("[data]", "[data", r"no valid TOML"),
        ("[data]", "data = 1\n[x]", r"'data' at its top.*write \[data\]"),
        ('train = "rows/train.csv"', "", r"--train FILE"),
        ('"rows/train.csv"', "7", r"'train' below \[data\] .* is 7"),
        ('task = "classifier"', "", r"there is no task"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(write, before, after, message):
    assert before in RECIPE
    with pytest.raises(SettingsError, match=message):
        resolve(write(RECIPE.replace(before, after)))


@pytest.mark.parametrize(
    ("before", "after", "error", "message"),
    [
        ("epochs = 3", "epochs = 0", OptionValueError, "epochs must be at least 1, got 0"),
        ("learning_rate = 0.5", "learning_rate = -1", OptionValueError, "learning_rate must lie between 0 and 1"),
        ("epochs = 3", "epochs = 3\naugment = -1", OptionValueError, "augment must be at least 0, got -1"),
        (
            '"lora"',
            '"head"\nkeep_adapter = true\naccepted_accuracy = 2',
            OptionValueError,
            "accepted_accuracy must lie",
        ),
    ],
)
def test_values_no_training_can_honour_are_refused_by_the_options(write, before, after, error, message):
    with pytest.raises(error, match=message):
        resolve(write(RECIPE.replace(before, after)))


def test_each_task_has_its_own_methods(write):
    text = 'task = "chat"\n[data]\ntrain = "a.jsonl"\n[training]\nmethod = "head"\nbase = "org/name"\n'
    with pytest.raises((OptionValueError, UnsupportedOptionError), match="head"):
        resolve(write(text))


def test_a_folder_is_asked_for_where_a_model_is_trained(write):
    path = write('task = "tagger"\n[data]\ntrain = "a.jsonl"\n')
    assert resolve(path).out is None
    with pytest.raises(SettingsError, match="--out DIR"):
        resolve_recipe(read_recipe(path))


def test_a_recipe_that_cannot_be_read_is_named(tmp_path, write):
    with pytest.raises(SettingsError, match=r"there is no recipe .*none\.toml"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_recipe(tmp_path)
    path = write("")
    path.write_bytes(b'task = "\xff"')
    with pytest.raises(SettingsError, match="UTF-8"):
        read_recipe(path)


@given(task=st.sampled_from(TASKS), name=st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1))
def test_a_name_that_does_not_exist_is_never_ignored(task, name):
    known = {known for section in ("data", "training") for known in option_names(task, section)}
    choices = {"task": Choice(task, "TASK"), "train": Choice(Path("a"), "--train"), name: Choice(1, f"--{name}")}
    if name not in (*known, "out", "task"):
        with pytest.raises(SettingsError, match=f"--{name} (does not exist|is no option)"):
            resolve_recipe(choices, needs_out=False)


@given(
    text=st.text(st.characters(exclude_categories=["Cs"])),
    rate=st.floats(1e-8, 0.9),
    keep=st.booleans(),
    path=st.text(st.sampled_from("ab c退\"'"), min_size=1).map(lambda name: f"x{name}"),
)
def test_a_recipe_that_was_written_is_read_as_it_was(tmp_path_factory, text, rate, keep, path):
    folder = tmp_path_factory.getbasetemp() / "written"
    folder.mkdir(exist_ok=True)
    choices = {"task": "classifier", "train": folder.parent / path, "label_column": text, "learning_rate": rate}
    choices |= {"keep_adapter": keep, "method": "lora", "base": "org/name", "logs": folder / "runs", "out": folder}
    recipe = resolve_recipe({name: Choice(value, name) for name, value in choices.items()})
    written = write_recipe(recipe, folder)
    assert resolve_recipe(read_recipe(written)) == recipe


def test_a_written_recipe_says_everything_and_nothing_of_the_machine(tmp_path, encoder_folder):
    choices = {"task": "classifier", "train": tmp_path / "a.csv", "base": str(encoder_folder), "out": tmp_path / "m"}
    recipe = resolve_recipe({name: Choice(value, name) for name, value in choices.items()})
    (tmp_path / "m").mkdir()
    path = write_recipe(recipe, tmp_path / "m")
    content = tomllib.loads(path.read_text("utf-8"))
    assert (content["task"], content["out"], content["data"]["train"]) == ("classifier", ".", "../a.csv")
    assert str(tmp_path) not in path.read_text("utf-8")
    assert not content["training"]["base"].startswith("/")
    told = {*content["training"], *content["data"]}
    defaults = {field.name for part in (recipe.data, recipe.training) for field in fields(part)}
    unset = {name for part in (recipe.data, recipe.training) for name in defaults if getattr(part, name, 0) is None}
    assert told == defaults - unset - {"show_progress"}
    read = resolve_recipe(read_recipe(path))
    assert replace(read.training, base="") == replace(recipe.training, base="")
    assert Path(read.training.base).samefile(encoder_folder)


def test_there_is_a_flag_for_every_option_of_every_task_and_no_other():
    names = {name for task in TASKS for part in ("data", "training") for name in option_names(task, part)}
    flags = [flag.name for flag in FLAGS]
    assert sorted(flags) == sorted(names)


def test_flags_offer_the_values_that_options_take():
    for flag in FLAGS:
        offered = set(get_args(flag.kind))
        taken = set()
        for task in TASKS:
            kind = get_type_hints(open_task(task).options_kind).get(flag.name)
            taken |= {value for value in get_args(kind) if isinstance(value, str)}
        assert offered == taken, flag.name


def test_no_name_of_a_section_stands_in_the_other_one():
    for task in TASKS:
        assert not set(option_names(task, "data")) & set(option_names(task, "training"))


def test_the_command_names_no_folder_of_this_machine():
    flags = {"recipe": Path("/home/a/r.toml"), "train": Path("rows/a b.csv"), "keep_adapter": True, "base": "/m/enc"}
    command = describe_command(None, flags)
    assert command == "tunechain finetune --recipe r.toml --train 'rows/a b.csv' --keep-adapter --base enc"
