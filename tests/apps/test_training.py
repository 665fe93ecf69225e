"""Records of a workspace to models: the right rows and columns, and errors that name the file."""

import shutil

import pytest

from apps.errors import WorkspaceError
from apps.settings import load_settings
from apps.training import (
    CLASSIFIERS,
    index_knowledge,
    labelled_rows,
    train_interest,
    train_workspace_classifier,
)
from chains.recommendation import InterestModel
from llms import LocalClassifier
from llms.errors import DataFileError, TrainingDataError
from tests.apps.workspaces import LABELS, write_csv, write_workspace


@pytest.fixture
def settings(tmp_path, encoder_folder):
    return load_settings(write_workspace(tmp_path / "w", encoder_folder))


def test_each_classifier_has_its_own_label_column(settings):
    labels = {name: {row.label for row in labelled_rows(settings, name).rows} for name in CLASSIFIERS}
    assert labels == {
        "intent": set(LABELS),
        "topic": {"parcels", "cards"},
        "sentiment": {"negative", "positive", "neutral"},
    }
    assert len(labelled_rows(settings, "intent", test=True).rows) == 9


@pytest.mark.parametrize("method", ["head", "full"])
def test_a_trained_classifier_lies_in_the_models_folder_and_knows_its_labels(tmp_path, encoder_folder, method):
    folder = write_workspace(tmp_path / "w", encoder_folder)
    text = (folder / "tunechain.toml").read_text(encoding="utf-8")
    (folder / "tunechain.toml").write_text(
        text.replace("'head'", f"'{method}'\nepochs = 1\nseed = 5"), encoding="utf-8"
    )
    trained = train_workspace_classifier(load_settings(folder), "intent", show_progress=False)
    assert trained.folder == folder / "models" / "intent"
    classifier = LocalClassifier(trained.folder)
    assert set(classifier.labels) == set(LABELS)
    assert (classifier.manifest.seed, classifier.manifest.method) == (5, method)
    assert (folder / "models" / "runs" / "intent").is_dir() == (method == "full")  # TensorBoard's files


def test_training_again_replaces_the_model_and_gives_the_same_one(settings):
    replies = []
    for _ in range(2):
        folder = train_workspace_classifier(settings, "intent", show_progress=False).folder
        replies.append(LocalClassifier(folder).invoke("where is my parcel"))
    assert replies[0] == replies[1]


def test_the_interest_model_is_saved_where_it_is_looked_for(settings):
    model = train_interest(settings)
    assert InterestModel.load(settings.models_folder / "interest.json") == model


def test_files_that_are_missing_are_named(settings):
    records = settings.workspace / "customer_service"
    (records / "intents.csv").unlink()
    shutil.rmtree(records / "knowledge")
    with pytest.raises(DataFileError, match=r"there is no file .*intents\.csv"):
        train_workspace_classifier(settings, "intent", show_progress=False)
    with pytest.raises(WorkspaceError, match="put the knowledge articles there as Markdown files"):
        index_knowledge(settings)


@pytest.mark.parametrize("rows", [[("a", "x")] * 3, [("a", "x"), ("b", "x"), ("c", "y")]])
def test_rows_that_teach_nothing_are_refused_and_the_old_model_stays(settings, rows):
    folder = train_workspace_classifier(settings, "intent", show_progress=False).folder
    write_csv(settings.workspace / "customer_service" / "intents.csv", ("text", "intent"), rows)
    with pytest.raises(TrainingDataError):
        train_workspace_classifier(settings, "intent", show_progress=False)
    assert set(LocalClassifier(folder).labels) == set(LABELS)


def test_events_too_few_to_learn_from_are_refused(settings):
    events = [("u", "i1", "view", "2026-03-02T00:00:00Z")]
    write_csv(settings.workspace / "recommendation" / "events.csv", ("user", "item", "event", "time"), events)
    with pytest.raises(TrainingDataError, match=r"events\.csv does not suffice .* add events"):
        train_interest(settings)
