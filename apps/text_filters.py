"""The text filter of a workspace, from its settings, its lists and its classifier."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from apps.errors import NotBuiltError, SettingsError, WorkspaceError
from apps.settings import Settings
from apps.yaml_files import read_yaml
from chains.text_filter import TextFilter
from llms import LocalClassifier


class FilterLists(BaseModel):
    """Words and phrases by direction and name of the list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    incoming: Mapping[str, tuple[str, ...]] = {}
    outgoing: Mapping[str, tuple[str, ...]] = {}


def open_text_filter(settings: Settings) -> TextFilter | None:
    """Return the filter of a workspace, or None where no rule is set.

    Raises:
        WorkspaceError: if the file of lists is missing or has another form.
        NotBuiltError: if the classifier is missing.
        SettingsError: if labels are named that the classifier does not have, or none although there is one.
    """
    section = settings.text_filter
    if not (section.private_data or section.lists or section.classifier):
        return None
    lists = _read_lists(settings) if section.lists else FilterLists()
    return TextFilter(
        private_kinds=section.private_data,
        incoming=lists.incoming,
        outgoing=lists.outgoing,
        classifier=_open_classifier(settings) if section.classifier else None,
        labels=section.labels,
    )


def _read_lists(settings: Settings) -> FilterLists:
    path = settings.workspace / settings.text_filter.lists
    if not path.exists():
        msg = f"there is no {path}, which text_filter.lists names; write 'incoming' and 'outgoing' lists there"
        raise WorkspaceError(msg)
    form = "'incoming' and 'outgoing', each with lists of phrases by name"
    lists: FilterLists = read_yaml(path, FilterLists, form=form, empty={})
    return lists


def _open_classifier(settings: Settings) -> LocalClassifier:
    folder = settings.workspace / settings.text_filter.classifier
    if not folder.exists():
        msg = (
            f"there is no classifier in {folder}, which text_filter.classifier names; train it with tunechain finetune"
        )
        raise NotBuiltError(msg)
    classifier = LocalClassifier(folder, device=settings.models.device)
    labels = settings.text_filter.labels
    unknown = sorted(set(labels) - set(classifier.labels))
    if unknown or not labels:
        what = f"has no label {unknown[0]!r}" if unknown else "holds nothing back without labels"
        msg = f"the classifier of text_filter {what}; set text_filter.labels to some of {', '.join(classifier.labels)}"
        raise SettingsError(msg)
    return classifier
