"""Ids of posts, users and items: one form in files, in the Python interface and over HTTP."""

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from apps.server.schemas import PostsRequest, RecommendRequest, WireEvent, WirePost
from apps.tool_arguments import RecommendArguments
from chains.monitoring import Post
from chains.recommendation import RecommendationRequest
from retrievers import Event, Item

TIME = "2026-03-02T09:30:00+01:00"
POST = {"source": "forum", "text": "x", "time": TIME}
# type, its other values, the name of its id
TYPES = [
    (Post, POST, "id"),
    (WirePost, POST, "id"),
    (Event, {"item": "a", "event": "view", "time": TIME}, "user"),
    (Event, {"user": "u", "event": "view", "time": TIME}, "item"),
    (WireEvent, {"item": "a", "event": "view", "time": TIME}, "user"),
    (Item, {"title": "T"}, "id"),
    (RecommendationRequest, {}, "user"),
    (RecommendRequest, {}, "user"),
    (RecommendArguments, {}, "user"),
]


@pytest.mark.parametrize(("kind", "values", "name"), TYPES)
@pytest.mark.parametrize("given", [7, 7.0, np.int64(7), "7", " 7\t", "７", "7\u200b", "\ufeff7"])
def test_what_is_read_the_same_is_the_same_id(kind: type[BaseModel], values, name, given):
    assert getattr(kind.model_validate(values | {name: given}), name) == "7"


@pytest.mark.parametrize(("kind", "values", "name"), TYPES)
@pytest.mark.parametrize("given", [True, 7.5, float("nan"), None, ["7"], "", "  ", "\u200b"])
def test_what_names_nobody_is_refused(kind: type[BaseModel], values, name, given):
    with pytest.raises(ValidationError):
        kind.model_validate(values | {name: given})


def test_capital_letters_and_zeros_in_front_count():
    assert [Item(id=given, title="T").id for given in ("A1", "a1", "007", "u_042-B")] == ["A1", "a1", "007", "u_042-B"]


def test_the_interface_for_programs_still_names_a_text():
    properties = PostsRequest.model_json_schema()["$defs"]["WirePost"]["properties"]
    assert (properties["id"]["type"], properties["id"]["maxLength"]) == ("string", 200)
    with pytest.raises(ValidationError):
        WirePost.model_validate(POST | {"id": "x" * 201})
