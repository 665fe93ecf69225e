"""Intents and approved answers learnt from logged conversations, for a person to review.

Here belongs what a logged conversation is, which of its messages ask and which answer, and how requests that ask for
the same are found and drafted. Files are read, and what a person decides is kept, above.
"""

from chains.customer_service.learning.conversations import LoggedConversation, LoggedMessage, LoggedRole
from chains.customer_service.learning.courtesies import without_courtesies
from chains.customer_service.learning.drafts import (
    NUM_WORDINGS,
    GroupDraft,
    RankedAnswer,
    count_customers,
    distinct_wordings,
    draft_group,
    draft_template,
    find_outcomes,
    rank_answers,
    show_some,
)
from chains.customer_service.learning.grouping import (
    GroupingOptions,
    RequestGroup,
    cluster_vectors,
    group_requests,
    request_vectors,
    split_paths,
)
from chains.customer_service.learning.naming import GroupNames, unused_name
from chains.customer_service.learning.placeholders import placeholders_of, without_placeholders
from chains.customer_service.learning.requests import LoggedRequest, find_request
from chains.customer_service.learning.writing import write_draft

__all__ = [
    "NUM_WORDINGS",
    "GroupDraft",
    "GroupNames",
    "GroupingOptions",
    "LoggedConversation",
    "LoggedMessage",
    "LoggedRequest",
    "LoggedRole",
    "RankedAnswer",
    "RequestGroup",
    "cluster_vectors",
    "count_customers",
    "distinct_wordings",
    "draft_group",
    "draft_template",
    "find_outcomes",
    "find_request",
    "group_requests",
    "placeholders_of",
    "rank_answers",
    "request_vectors",
    "show_some",
    "split_paths",
    "unused_name",
    "without_courtesies",
    "without_placeholders",
    "write_draft",
]
