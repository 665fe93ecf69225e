"""One run of `tunechain service learn`: read, group, measure."""

from collections.abc import Callable, Iterator, Sequence

from apps.errors import NotBuiltError
from apps.readers import read_templates
from apps.service_learning.gain import note_before
from apps.service_learning.layout import Layout, SetAside
from apps.service_learning.learning import (
    LearnReport,
    OnProgress,
    find_groups,
    only_learner,
    open_learning,
    read_into,
)
from apps.service_learning.private_data import open_replacement
from apps.service_learning.reading import read_with
from apps.service_learning.review import GroupReview
from apps.service_learning.slots import propose_slots
from apps.service_learning.state import LearningState
from apps.settings import STARTER_NAME, Settings
from apps.workspace_models import open_chat_model, open_classifier, open_embeddings
from chains.customer_service.learning import GroupingOptions, LoggedConversation
from llms import LocalClassifier, LocalEmbeddings, SqliteByteStore

_VECTORS_NAME = "learning_vectors.sqlite"
_VECTOR_BYTES = 2**30


def learn_from_logs(
    settings: Settings,
    logs: Sequence[Layout],
    *,
    on_set_aside: Callable[[SetAside], None] = lambda _: None,
    on_progress: OnProgress = lambda _what, _done: None,
) -> LearnReport:
    """Read logs into the state of a workspace and find the groups that wait for a review.

    A run that was killed goes on where it was; one that finds nothing new changes nothing.

    Args:
        settings: of the workspace; it need not be trained.
        logs: what the files are taken for.
        on_set_aside: is told what of them cannot be used.
        on_progress: is told of each step.

    Raises:
        WorkspaceError: if another run learns in the workspace right now.
    """
    with only_learner(settings), open_learning(settings) as state:
        conversations = _read(logs, state.secret, on_set_aside)
        num_new = read_into(state, conversations, replace_private=open_replacement(settings), on_progress=on_progress)
        embeddings = _open_embeddings(settings)
        find_groups(
            state,
            embeddings=embeddings,
            encoder=embeddings.fingerprint,
            options=GroupingOptions(word_weight=settings.customer_service.word_weight),
            classifier=_open_classifier(settings),
            outside_intent=settings.customer_service.outside_intent,
            slots=_slots(settings, state),
            # the starter model answers from passages and can do nothing else
            chat_model=None if settings.models.chat == STARTER_NAME else open_chat_model(settings),
            on_progress=on_progress,
        )
        if num_new:
            on_progress("measuring", 0)
            note_before(settings, state)
        return report_of(state, num_new=num_new)


def _read(
    logs: Sequence[Layout], secret: bytes, on_set_aside: Callable[[SetAside], None]
) -> Iterator[LoggedConversation]:
    for log in logs:
        for found in read_with(log, pseudonym_key=secret):
            if isinstance(found, SetAside):
                on_set_aside(found)
            else:
                yield found


def report_of(state: LearningState, *, num_new: int = 0) -> LearnReport:
    """Return what a state holds."""
    groups = GroupReview(state).list_groups("open")
    return LearnReport(
        num_conversations=state.count_conversations(),
        num_new=num_new,
        num_requests=state.count_requests(),
        num_later=len(state.later_requests()),
        private=state.private_counts(),
        num_groups=len(groups),
        num_grouped=sum(group.draft.num_requests for group in groups),
    )


def _open_embeddings(settings: Settings) -> LocalEmbeddings:
    """Return the encoder of the workspace with a cache of its own: a run that was killed embeds no text again.

    Its texts are without private data, so that their vectors may be kept.
    """
    path = settings.workspace / "index" / _VECTORS_NAME
    path.parent.mkdir(exist_ok=True)
    return open_embeddings(settings, cache=SqliteByteStore(path, max_bytes=_VECTOR_BYTES))


def _open_classifier(settings: Settings) -> LocalClassifier | None:
    try:
        return open_classifier(settings, "intent")
    except NotBuiltError:
        return None


def _slots(settings: Settings, state: LearningState) -> tuple[str, ...]:
    path = settings.records_folder(settings.customer_service) / "templates.yaml"
    known = read_templates(path).slots if path.exists() else {}
    return tuple(dict.fromkeys([*known, *propose_slots(state.shapes(), settings.language)]))
