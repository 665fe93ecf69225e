"""Training and indexing of a workspace's records."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from apps.errors import WorkspaceError
from apps.indexing import IndexReport, Progress, make_store_hold, refresh_index
from apps.review_entries import ReviewedEntry, Reviews, training_rows
from apps.settings import Settings
from apps.wiring import INTEREST_NAME, open_generations, read_behaviour
from apps.workspace_models import open_item_embeddings, open_store
from chains.recommendation import InterestModel, InterestOptions, embed_catalogue, train_interest_model
from llms import LocalClassifier, LocalEmbeddings, choose_device
from llms.arrays import FloatArray
from llms.errors import EngineError, TrainingDataError, UnsupportedOptionError
from llms.finetuning import ClassifierOptions, finetune_classifier, read_labelled_texts
from llms.finetuning.classifier import TrainedClassifier
from llms.finetuning.data import LabelledTexts, spell_labels_like
from retrievers import Interactions, ItemCatalogue

_log = logging.getLogger(__name__)

# model name -> (section, file of training rows, file of test rows, label column)
CLASSIFIERS = {
    "intent": ("customer_service", "intents.csv", "intents_test.csv", "intent"),
    "topic": ("monitoring", "labelled.csv", "labelled_test.csv", "topic"),
    "sentiment": ("monitoring", "labelled.csv", "labelled_test.csv", "sentiment"),
}


def labelled_rows(settings: Settings, name: str, *, test: bool = False) -> LabelledTexts:
    """Return the training or test rows of one of the workspace's classifiers."""
    section, train_file, test_file, column = CLASSIFIERS[name]
    folder = settings.records_folder(getattr(settings, section))
    rows = read_labelled_texts(folder / train_file, label_column=column)
    if not test:
        return rows
    return spell_labels_like(read_labelled_texts(folder / test_file, label_column=column), rows.rows)


def train_workspace_classifier(settings: Settings, name: str, *, show_progress: bool) -> TrainedClassifier:
    """Train the classifier called `name` and put it into the workspace's models folder.

    Intents are learnt from reviewed messages, too, if these are in use.
    """
    rows = labelled_rows(settings, name)
    if name == "intent":
        reviews = Reviews(settings.records_folder(settings.customer_service))
        rows = with_reviewed_rows(rows, reviews.in_use())
    options = classifier_options(settings, name, show_progress=show_progress)
    return finetune_classifier(rows, settings.models_folder / name, options)


def with_reviewed_rows(rows: LabelledTexts, entries: Sequence[ReviewedEntry]) -> LabelledTexts:
    """Return training rows with those of reviewed entries behind them."""
    return replace(rows, rows=[*rows.rows, *training_rows(entries)])


def classifier_options(settings: Settings, name: str, *, show_progress: bool) -> ClassifierOptions:
    """Return how the workspace's classifier called `name` is trained."""
    return ClassifierOptions(
        base=settings.models.encoder,
        method=settings.finetuning.method,
        epochs=settings.finetuning.epochs,
        seed=settings.finetuning.seed,
        outside_label=(settings.customer_service.outside_intent or None) if name == "intent" else None,
        device=settings.models.device,
        show_progress=show_progress,
    )


def index_knowledge(settings: Settings, *, on_progress: Progress = lambda _done, _total: None) -> IndexReport:
    """Bring the knowledge index up to date with the articles of the workspace; see `refresh_index`."""
    folder = settings.records_folder(settings.customer_service) / "knowledge"
    if not folder.is_dir():
        msg = f"there is no {folder}; put the knowledge articles there as Markdown files, HTML, PDF or DOCX"
        raise WorkspaceError(msg)
    return refresh_index(open_store(settings, "knowledge", create=True), [folder], on_progress=on_progress)


def export_encoders(settings: Settings) -> None:
    """Export the encoders that answer customers to OpenVINO, where this machine would run them with it.

    An exported encoder needs no torch, which takes most of the time in which a single question is answered. What cannot
    be exported goes on with torch.
    """
    models = settings.models
    if models.encoder_engine != "auto" or choose_device(models.device) != "cpu":
        return
    encoder = LocalEmbeddings(
        models.encoder, engine="openvino", precision=models.encoder_precision, allow_download=models.allow_download
    )
    classifier = LocalClassifier(settings.models_folder / "intent", engine="openvino")
    for what, export in (("the encoder", lambda: encoder.dimension), ("the intent model", lambda: classifier.head)):
        try:
            export()  # both are exported when they are opened; without OpenVINO that is an EngineError, too
        except (EngineError, UnsupportedOptionError) as error:
            _log.info("%s stays with torch: %s", what, error)


def train_interest(settings: Settings) -> InterestModel:
    """Train the interest model on all events and save it."""
    catalogue, interactions = read_behaviour(settings)
    vectors = embed_catalogue(catalogue, open_item_embeddings(settings))
    model = fit_interest(settings, catalogue=catalogue, vectors=vectors, interactions=interactions)
    path = settings.models_folder / INTEREST_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    open_generations(settings).forget()  # from now on lists are made with this one
    return model


def fit_interest(
    settings: Settings, *, catalogue: ItemCatalogue, vectors: FloatArray, interactions: Interactions
) -> InterestModel:
    """Return an interest model learnt from these events.

    Raises:
        TrainingDataError: if there are too few of them.
    """
    options = InterestOptions(seed=settings.finetuning.seed)
    try:
        return train_interest_model(catalogue=catalogue, vectors=vectors, interactions=interactions, options=options)
    except ValueError as error:
        msg = f"events.csv does not suffice to learn what users like: {error}; add events of more users and days"
        raise TrainingDataError(msg) from error


def index_items(settings: Settings) -> int:
    """Make the item index hold exactly the catalogue, and return the number of items."""
    catalogue, _ = read_behaviour(settings)
    store = open_store(settings, "items", create=True)
    make_store_hold(store, catalogue.to_documents())
    return len(catalogue)
