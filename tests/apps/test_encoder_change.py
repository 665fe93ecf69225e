"""Changing the encoder of a workspace: everything is built anew beside the old, and switched at the end."""

import json
import shutil

import pytest
from typer.testing import CliRunner

import apps.encoder_change as encoder_change
from apps.applications import build_applications
from apps.cli import app
from apps.encoder_change import change_encoder
from apps.errors import SettingsError
from apps.retraining import retrain_recommendation
from apps.settings import SETTINGS_NAME, load_settings
from apps.settings_file import set_encoder
from apps.training import index_knowledge
from apps.wiring import build_customer_service, build_monitoring, build_recommendation, open_generations
from apps.workspace_models import open_embeddings, open_store
from chains.customer_service import ServiceRequest
from chains.recommendation import RecommendationRequest
from llms.errors import ModelNotFoundError
from llms.manifest import ClassifierManifest, find_manifest_of
from retrievers.errors import StoreMismatchError
from tests import tiny_models
from tests.apps.workspaces import build_workspace

QUESTION = "how full should the battery be"


@pytest.fixture(scope="module")
def other_encoder(tmp_path_factory):
    """An encoder with prompts whose cosines all lie close below 1; do not change it."""
    folder = tmp_path_factory.mktemp("other") / "encoder"
    return tiny_models.build_sentence_encoder(
        folder, seed=5, shared=2.0, prompts={"query": "where is ", "document": "the "}
    )


@pytest.fixture
def folder(tmp_path, tmp_path_factory, encoder_folder):
    """A workspace of one's own after its quickstart."""
    return shutil.copytree(build_workspace(tmp_path_factory, encoder_folder), tmp_path / "w")


def _fingerprint(encoder):
    from llms import LocalEmbeddings

    return LocalEmbeddings(encoder).fingerprint


def _bases(folder):
    names = ("intent", "topic", "sentiment")
    return {find_manifest_of(folder / "models" / name, ClassifierManifest).base_fingerprint for name in names}


def _ask(settings):
    return build_customer_service(settings).invoke(ServiceRequest(text=QUESTION))


def _check_changed(folder, encoder):
    """Everything works with the new encoder, and nothing else is left of the change."""
    settings = load_settings(folder)
    assert settings.models.encoder == str(encoder)
    assert _bases(folder) == {_fingerprint(encoder)}
    store = open_store(settings, "knowledge")
    assert len(store) == 2
    assert open_store(settings, "items").similarity_search("red card", k=1)
    _ask(settings)
    assert build_monitoring(settings) is not None
    assert build_recommendation(settings).invoke(RecommendationRequest(user="u1", k=3)).items
    assert not (folder / ".encoder-change").exists()
    return settings


def test_all_that_depends_on_the_encoder_is_built_anew(folder, other_encoder):
    change = change_encoder(load_settings(folder), str(other_encoder))
    assert set(change.rebuilt) == {
        "intent",
        "topic",
        "sentiment",
        "knowledge",
        "items",
        "interest",
        "thresholds",
    }
    settings = _check_changed(folder, other_encoder)
    # files are known as before: nothing is read again
    assert index_knowledge(settings).unchanged == 2
    assert [path.name for path in change.left_behind] == ["knowledge", "items"]


def test_what_is_in_use_stays_in_use_until_the_end(folder, encoder_folder, other_encoder, monkeypatch):
    settings = load_settings(folder)
    chain = build_customer_service(settings)
    before = chain.invoke(ServiceRequest(text=QUESTION))
    seen = []

    def look(_text):
        # what another process would find, and what a server says that runs already
        assert load_settings(folder).models.encoder == str(encoder_folder)
        seen.append((_ask(load_settings(folder)).text, chain.invoke(ServiceRequest(text=QUESTION)).text))

    change_encoder(settings, str(other_encoder), report=look)
    assert len(seen) > 5
    assert set(seen) == {(before.text, before.text)}
    # and the server that is not started again yet still answers from its own index
    assert chain.invoke(ServiceRequest(text=QUESTION)).text == before.text
    assert build_applications(settings).customer_service is not None


@pytest.mark.parametrize("step", ["train", "embed", "learn", "switch"])
def test_a_change_that_was_killed_goes_on_where_it_was(folder, encoder_folder, other_encoder, monkeypatch, step):
    settings, trained = load_settings(folder), []
    original = encoder_change.train_workspace_classifier

    def train(new, name, **options):
        trained.append(name)
        if step == "train" and trained == ["intent", "topic"]:
            raise KeyboardInterrupt
        return original(new, name, **options)

    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encoder_change, "train_workspace_classifier", train)
        target = {"embed": "FileLedger", "learn": "train_interest", "switch": "replace_text"}.get(step)
        if step == "switch":  # after the models were renamed, before the settings are
            patch.setattr(
                encoder_change,
                "replace_text",
                lambda path, text: stop() if path.name == SETTINGS_NAME else path.write_text(text),
            )
        elif target:
            patch.setattr(encoder_change, target, stop)
        with pytest.raises(KeyboardInterrupt):
            change_encoder(settings, str(other_encoder))
    interrupted = load_settings(folder)
    assert interrupted.models.encoder == str(encoder_folder)
    _ask(interrupted)  # half-way, everything still answers
    again = []

    def train_again(new, name, **options):
        again.append(name)
        return original(new, name, **options)

    monkeypatch.setattr(encoder_change, "train_workspace_classifier", train_again)
    change_encoder(interrupted, str(other_encoder))
    assert again == (["topic", "sentiment"] if step == "train" else [])
    _check_changed(folder, other_encoder)


def test_a_generation_of_recommendation_gives_way_to_what_the_new_encoder_learnt(folder, other_encoder, caplog):
    settings = load_settings(folder)
    retrain_recommendation(settings)
    running = build_recommendation(settings)
    before = [item.id for item in running.invoke({"user": "u1", "k": 5}).items]
    change_encoder(settings, str(other_encoder))
    assert open_generations(load_settings(folder)).names() == ()
    running.settle()
    assert [item.id for item in running.invoke({"user": "u1", "k": 5}).items] == before  # until it is started anew
    assert "start the server anew" in caplog.text
    assert build_recommendation(load_settings(folder)).invoke({"user": "u1", "k": 5}).items


def test_what_was_built_from_other_rows_is_built_again(folder, other_encoder, monkeypatch):
    def stop(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encoder_change, "train_interest", stop)
        with pytest.raises(KeyboardInterrupt):
            change_encoder(load_settings(folder), str(other_encoder))
    rows = folder / "customer_service" / "intents.csv"
    rows.write_text(rows.read_text(encoding="utf-8").replace("my money back 3", "money, at last"), encoding="utf-8")
    change_encoder(load_settings(folder), str(other_encoder))
    _check_changed(folder, other_encoder)
    assert "my money back 3" not in (folder / "models" / "intent" / "examples.json").read_text(encoding="utf-8")


def test_changing_back_is_possible_and_fast(folder, encoder_folder, other_encoder, monkeypatch):
    change_encoder(load_settings(folder), str(other_encoder))
    change = change_encoder(load_settings(folder), str(encoder_folder))
    _check_changed(folder, encoder_folder)
    assert [path.name.split("-")[0] for path in change.left_behind] == ["knowledge", "items"]


def test_settings_changed_by_hand_are_refused_with_the_command_that_helps(folder, encoder_folder, other_encoder):
    path = folder / SETTINGS_NAME
    path.write_text(set_encoder(path.read_text(encoding="utf-8"), str(other_encoder)), encoding="utf-8")
    with pytest.raises(StoreMismatchError, match="tunechain models use"):
        build_customer_service(load_settings(folder))
    change_encoder(load_settings(folder), str(other_encoder))
    _check_changed(folder, other_encoder)


def test_the_encoder_in_use_needs_no_work(folder, encoder_folder):
    change = change_encoder(load_settings(folder), str(encoder_folder))
    assert (change.rebuilt, change.left_behind) == ((), ())
    _check_changed(folder, encoder_folder)


def test_a_workspace_without_models_only_gets_its_settings_changed(tmp_path, other_encoder):
    (tmp_path / SETTINGS_NAME).write_text('language = "zh"\n', encoding="utf-8")
    assert change_encoder(load_settings(tmp_path), str(other_encoder)).rebuilt == ()
    assert load_settings(tmp_path).models.encoder == str(other_encoder)
    assert load_settings(tmp_path).language == "zh"


def test_what_is_no_encoder_is_refused_before_anything_is_touched(folder, tmp_path, monkeypatch):
    before = {path: path.read_bytes() for path in folder.rglob("*.toml")}
    with pytest.raises(ModelNotFoundError):
        change_encoder(load_settings(folder), "no-such-model")
    monkeypatch.setenv("TUNECHAIN_MODELS__ENCODER", "all-MiniLM-L6-v2")
    with pytest.raises(SettingsError, match="TUNECHAIN_MODELS__ENCODER"):
        change_encoder(load_settings(folder), "all-MiniLM-L6-v2")
    assert {path: path.read_bytes() for path in folder.rglob("*.toml")} == before


def test_the_command_says_what_was_built_and_what_to_do_next(folder, other_encoder):
    result = CliRunner().invoke(app, ["models", "use", str(other_encoder), "-w", str(folder), "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["encoder"] == str(other_encoder)
    assert "fine-tuning the intent classifier" in result.stderr
    again = CliRunner().invoke(app, ["models", "use", str(other_encoder), "-w", str(folder)])
    assert "nothing had to be built anew" in again.stderr
    wrong = CliRunner().invoke(app, ["models", "use", "smollm2-135m-instruct", "-w", str(folder)])
    assert isinstance(wrong.exception, SettingsError)
    assert "models.chat" in str(wrong.exception)


@pytest.mark.parametrize("prompts", [None, {}, {"query": "Instruct: find the passage\nQuery: ", "document": ""}])
def test_an_encoder_without_prompts_or_with_instructions_answers(folder, tmp_path, prompts):
    encoder = tiny_models.build_sentence_encoder(tmp_path / "encoder", seed=3, prompts=prompts)
    change_encoder(load_settings(folder), str(encoder))
    settings = _check_changed(folder, encoder)
    embeddings = open_embeddings(settings)
    as_question, as_document = embeddings.embed_query("my card"), embeddings.embed_documents(["my card"])[0]
    assert (as_question == pytest.approx(as_document, abs=1e-6)) == (not prompts)


def test_only_the_encoder_is_changed_in_a_settings_file():
    text = '# mine\n[models]\n chat = ""  # none\nencoder = \'old\' # why\n\n[finetuning]\nencoder = "x"\n'
    assert set_encoder(text, 'a "b"') == text.replace("'old'", '"a \\"b\\""')
    assert set_encoder("", "new") == '[models]\nencoder = "new"\n'
    assert set_encoder("[models]\nchat = ''\n", "new") == "[models]\nencoder = \"new\"\nchat = ''\n"
    assert "new" in set_encoder("[server]\nport = 1\n", "new")
    with pytest.raises(SettingsError, match=r"below \[models\]"):
        set_encoder('models = {encoder = "old"}\n', "new")
    with pytest.raises(SettingsError):
        set_encoder('models.encoder = "old"\n', "new")
