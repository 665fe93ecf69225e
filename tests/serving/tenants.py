"""Two tenants on one server: whether one sees what is the other's, or can tell by the time what it asked."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy.stats import mannwhitneyu

from apps.keys import KeyStore
from apps.settings import load_settings
from tests.serving.client import Reply, ask
from tests.serving.figures import Figure, Part, none_of, plain
from tests.serving.served import build_shop, serve

__all__ = ["build_tenants", "run_tenants"]

_MARKS = {"acme": "quartzmark", "beta": "cobaltmark"}
_WORDS = ("card", "late", "lost", "bank", "when", "this", "that", "item")  # as long as each other
_UNLIKE_WORDS = ("a", "lost", "parcel", "international")
_PROMPT_WORDS = 150
_P_VALUE = 0.01
_MAX_SHOWN = 5
_START_S = 600

Request = tuple[str, str, Any]


def build_tenants(folder: Path, chat: Path, encoder: Path) -> Path:
    """Return the main workspace of a server with two tenants whose records hold a word of their own everywhere."""
    for name, mark in _MARKS.items():
        build_shop(folder / name, chat, encoder, mark=mark)
    main = folder / "main"
    shutil.copytree(folder / "acme", main)
    with (main / "tunechain.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tenants]\n" + "".join(f"{name} = '../{name}'\n" for name in _MARKS))
    return main


@dataclass
class _Tenant:
    """One tenant: its keys, its word, and the ids of its conversations."""

    name: str
    keys: dict[str, str]  # of anna, a customer, and of boss, one of the staff
    mark: str
    conversations: list[str] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)  # those of them that anna has


def run_tenants(
    main: Path, *, num_queries: int, num_pairs: int, engines: Sequence[str] = ("openvino", "torch"), seed: int = 0
) -> Part:
    """Let both tenants ask everything there is, about their own things and the other's, then time what they ask.

    Args:
        main: as `build_tenants` made it.
        num_queries: of both, over all routes.
        num_pairs: of prompts that the other tenant asked and of others, for each engine.
        engines: of the chat model, whose memory of prompts is what might tell.
        seed: of everything random.
    """
    tenants = _tenants(main)
    source, figures = random.Random(seed), list[Figure]()
    for engine in engines:
        _set_engine(main, engine)
        with serve(main) as served:
            asyncio.run(_wait_for(served.port, tenants))
            if not figures:
                figures += asyncio.run(_ask_everything(served.port, tenants, num_queries, source))
            figures += asyncio.run(_time_prompts(served.port, tenants, num_pairs, source, engine))
    about = (
        "Each tenant's records hold a word of its own; its staff and its customers use all routes, with their"
        " own ids and the other's. The times are of prompts to the chat model that the other tenant had just "
        "asked, and of new ones of the same length (Mann-Whitney, two-sided; the effect is the chance that a "
        "prompt asked before is slower, 0.5 if nothing tells). Prompts of its own show whether the test would"
        " see a memory of prompts."
    )
    return Part(title="Two tenants", about=about, figures=tuple(figures))


def _tenants(main: Path) -> tuple[_Tenant, _Tenant]:
    store = KeyStore.of(load_settings(main))
    first, second = (
        _Tenant(
            name,
            {
                "anna": store.add(f"{name}/anna", role="customer")[1],
                "boss": store.add(f"{name}/boss", role="staff")[1],
            },
            mark,
        )
        for name, mark in _MARKS.items()
    )
    store.close()
    return first, second


async def _wait_for(port: int, tenants: tuple[_Tenant, _Tenant]) -> None:
    """Return once both are ready, which the readiness of the main workspace does not tell."""
    for tenant in tenants:
        async with asyncio.timeout(_START_S):
            reply = await ask(port, "GET", "/v1/inbox", key=tenant.keys["boss"])
            while reply.status == 503:
                await asyncio.sleep(0.1)
                reply = await ask(port, "GET", "/v1/inbox", key=tenant.keys["boss"])


def _set_engine(main: Path, engine: str) -> None:
    for folder in (main, *(main.parent / name for name in _MARKS)):
        file = folder / "tunechain.toml"
        lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("chat_engine")]
        lines.insert(lines.index("[models]") + 1, f"chat_engine = '{engine}'")
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


# --- everything there is


async def _ask_everything(
    port: int, tenants: tuple[_Tenant, _Tenant], num_queries: int, source: random.Random
) -> list[Figure]:
    statuses, crossings, own = Counter[int](), list[str](), 0
    pairs = (tenants, tenants[::-1])
    for number in range(num_queries):
        tenant, other = pairs[number % 2]
        who = source.choice(("anna", "boss"))
        make = source.choice(_REQUESTS)
        method, path, body = make(tenant, other, source)
        reply = await ask(port, method, path, body, key=tenant.keys[who])
        if make is _begin and who == "anna" and reply.status == 200:
            tenant.kept.add(path.split("/")[3])
        statuses[reply.status] += 1
        own += tenant.mark.encode() in reply.body
        if other.mark.encode() in reply.body or _is_strange(make, reply):
            crossings.append(f"{tenant.name}/{who} {method} {path}: {reply.status} {reply.body[:300]!r}")
    kept = [await _keeps(port, tenant) for tenant in tenants]
    shown = ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))
    return [
        plain("queries", f"{num_queries:,}: {shown}"),
        plain("answers that hold the tenant's own word", f"{own:,}"),
        none_of("answers with what is the other's", len(crossings)),
        none_of("conversations that the other one could change", sum(count for count in kept)),
        none_of("answers of 5xx, and connections without an answer", _num_failed(statuses)),
        *(plain("an answer with what is the other's", crossing) for crossing in crossings[:_MAX_SHOWN]),
    ]


def _num_failed(statuses: Counter[int]) -> int:
    return sum(count for status, count in statuses.items() if status >= 500 or status < 200)


async def _keeps(port: int, tenant: _Tenant) -> int:
    """Return how many of a tenant's conversations are gone, or hold less than its own words."""
    num_missing = 0
    for conversation in tenant.kept:
        reply = await ask(port, "GET", f"/v1/conversations/{conversation}", key=tenant.keys["anna"])
        num_missing += reply.status != 200 or tenant.mark.encode() not in reply.body
    return num_missing


def _begin(tenant: _Tenant, _other: _Tenant, source: random.Random) -> Request:
    """Send a message of a conversation that anna keeps; boss has one of the same id of his own."""
    if not tenant.conversations or source.random() < 0.1:
        tenant.conversations.append(f"{source.getrandbits(128):032x}")
    path = f"/v1/conversations/{source.choice(tenant.conversations)}/messages"
    return "POST", path, {"message_id": f"m{source.getrandbits(60)}", "text": f"{tenant.mark} where is my parcel"}


def _read_others(_: _Tenant, other: _Tenant, source: random.Random) -> Request:
    owner = source.choice(("", f"?owner={other.name}/anna", f"?owner={other.name}", "?owner=local"))
    return "GET", f"/v1/conversations/{_some(other, source)}{owner}", None


def _delete_others(_: _Tenant, other: _Tenant, source: random.Random) -> Request:
    return "DELETE", f"/v1/conversations/{_some(other, source)}?owner={other.name}/anna", None


def _answer_others(_: _Tenant, other: _Tenant, source: random.Random) -> Request:
    path = f"/v1/conversations/{_some(other, source)}/answers?owner={other.name}/anna"
    return "POST", path, {"text": "Hello.", "close": True}


def _judge_others(_: _Tenant, other: _Tenant, source: random.Random) -> Request:
    path = f"/v1/conversations/{_some(other, source)}/turns/m1.reply/feedback?owner={other.name}/anna"
    return "POST", path, {"thumb": "up"}


def _cite_others(_: _Tenant, other: _Tenant, source: random.Random) -> Request:
    owner = source.choice(("", f"?owner={other.name}/anna"))
    return "GET", f"/v1/conversations/{_some(other, source)}/turns/m1.reply/citations/0{owner}", None


def _ask_anything(_tenant: _Tenant, _other: _Tenant, source: random.Random) -> Request:
    text = source.choice(("How full should the battery be?", "my money back", "which cable", "where is my parcel"))
    return "POST", source.choice(("/v1/ask", "/v1/ask/stream")), {"text": text}


def _complete(_tenant: _Tenant, _other: _Tenant, source: random.Random) -> Request:
    messages = [{"role": "user", "content": source.choice(("my money back", "How full should the battery be?"))}]
    body = {"model": source.choice(("customer-service", "chat")), "messages": messages, "max_tokens": 16}
    return "POST", "/v1/chat/completions", body


def _post(tenant: _Tenant, _other: _Tenant, source: random.Random) -> Request:
    post = {
        "id": f"{tenant.mark}-{source.getrandbits(60)}",
        "time": "2026-04-02T09:30:00Z",
        "source": tenant.mark,
        "text": f"the parcel {tenant.mark} is lost",
    }
    return "POST", "/v1/posts", {"posts": [post]}


def _fixed(method: str, path: str, body: Any = None) -> Callable[[_Tenant, _Tenant, random.Random], Request]:
    return lambda _tenant, _other, _source: (method, path, body)


def _some(tenant: _Tenant, source: random.Random) -> str:
    return source.choice(tenant.conversations or [f"{source.getrandbits(128):032x}"])


def _is_strange(make: Callable[..., Request], reply: Reply) -> bool:
    """Return whether something of the other one was done, though nothing of it was shown."""
    return make in (_delete_others, _answer_others, _judge_others) and reply.status < 400


_REQUESTS: tuple[Callable[[_Tenant, _Tenant, random.Random], Request], ...] = (
    _begin,
    _begin,
    _read_others,
    _delete_others,
    _answer_others,
    _judge_others,
    _cite_others,
    _ask_anything,
    _complete,
    _post,
    _fixed("GET", "/v1/me"),
    _fixed("GET", "/v1/conversations?limit=200"),
    _fixed("GET", "/v1/conversations?everyone=true&limit=200"),
    _fixed("GET", "/v1/inbox?limit=200"),
    _fixed("GET", "/v1/alerts"),
    _fixed("GET", "/v1/models"),
    _fixed("GET", "/readyz"),
    _fixed("POST", "/v1/classify", {"model": "intent", "texts": ["my money back"]}),
    _fixed("POST", "/v1/recommend", {"user": "u1"}),
    _fixed("POST", "/v1/recommend", {"user": "anna"}),
    _fixed("POST", "/v1/embeddings", {"model": "embeddings", "input": "my money back"}),
)


# --- times


async def _time_prompts(
    port: int, tenants: tuple[_Tenant, _Tenant], num_pairs: int, source: random.Random, engine: str
) -> list[Figure]:
    first, second = tenants
    others = await _time_pairs(port, first, second, num_pairs, source)
    own = await _time_pairs(port, second, second, num_pairs, source)
    lengths = await _time_pairs(port, first, second, num_pairs, source, words=_UNLIKE_WORDS)
    p_value, effect = _compared(*others)
    return [
        Figure(
            name=f"{engine}: {num_pairs:,} prompts that the other tenant had asked, and new ones, all of one length",
            value=_shown(p_value, effect),
            target=f"p >= {_P_VALUE}",
            is_met=p_value >= _P_VALUE,
            is_of_clock=True,
        ),
        plain(f"{engine}: the same, prompts that the tenant itself had asked", _shown(*_compared(*own))),
        plain(f"{engine}: the same as the first, prompts of any length", _shown(*_compared(*lengths))),
    ]


def _shown(p_value: float, effect: float) -> str:
    return f"p = {p_value:.2g}, effect {effect:.2f}"


def _compared(known: list[float], new: list[float]) -> tuple[float, float]:
    """Return the p-value, and the chance that a known prompt takes longer than a new one."""
    test = mannwhitneyu(known, new, alternative="two-sided")
    return float(test.pvalue), float(test.statistic) / (len(known) * len(new))


async def _time_pairs(
    port: int,
    asks_first: _Tenant,
    asks: _Tenant,
    num_pairs: int,
    source: random.Random,
    words: Sequence[str] = _WORDS,
) -> tuple[list[float], list[float]]:
    """Return the seconds of prompts that one had asked before another, and of new ones, in random order."""
    known, new = list[float](), list[float]()
    for _ in range(num_pairs):
        prompt, fresh = (" ".join(source.choices(words, k=_PROMPT_WORDS)) for _ in range(2))
        await _seconds_of(port, asks_first, prompt)
        both = [(prompt, known), (fresh, new)]
        source.shuffle(both)
        for text, times in both:
            times.append(await _seconds_of(port, asks, text))
    return known, new


async def _seconds_of(port: int, tenant: _Tenant, prompt: str) -> float:
    body = {"model": "chat", "messages": [{"role": "user", "content": prompt}], "max_tokens": 1}
    reply = await ask(port, "POST", "/v1/chat/completions", body, key=tenant.keys["boss"])
    if reply.status != 200:
        msg = f"a prompt was not answered: {reply.status} {reply.body[:300]!r}"
        raise RuntimeError(msg)
    return reply.seconds
