"""From logs to a service: groups against true intents, a simulated review, suggested intents, time and memory.

Run: `python -m benchmarks.service_from_logs --out docs/benchmarks/service_from_logs.md`; the data sets lie in the
folder TUNECHAIN_DATA.
"""

import argparse
import csv
import gzip
import heapq
import json
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apps.service_learning.learning import find_groups, read_into
from apps.service_learning.review import GroupReview
from apps.service_learning.state import LearningState
from benchmarks.classifiers import DEFAULT_DATA
from benchmarks.machine import processor
from chains.customer_service.learning import (
    NUM_WORDINGS,
    GroupingOptions,
    LoggedConversation,
    LoggedMessage,
    cluster_vectors,
    find_request,
    request_vectors,
    show_some,
    split_paths,
)
from llms import LocalClassifier, LocalEmbeddings
from llms.arrays import FloatArray, IntArray
from llms.finetuning import ClassifierOptions, finetune_classifier
from llms.finetuning.data import LabelledText, LabelledTexts
from llms.texts import text_key
from llms.texts.private_data import find_private, put_placeholders

NUM_ANSWERS = 100  # of the person in the simulated review
ACCEPTED_FROM = 2 / 3  # of these, which must be of one intent
SUGGESTED = 3
CHINESE_WORD_WEIGHT = 1.0  # as a Chinese workspace has it with the default encoder
TARGETS = {"bitext": 0.80, "banking77": 0.75}
SETS = {"bitext": ("utterance", "intent"), "banking77": ("text", "category")}
TITLES = {"bitext": "Bitext", "banking77": "Banking77"}


@dataclass(frozen=True)
class Part:
    """The different texts of a part of a data set, and their true intents.

    Attributes:
        meaning: vectors of the encoder alone, which the baselines work with.
        vectors: those that requests are grouped by.
    """

    texts: list[str]
    labels: list[str]
    meaning: FloatArray
    vectors: FloatArray

    @property
    def num_intents(self) -> int:
        """How many true intents there are."""
        return len(set(self.labels))


def read_part(data: Path, name: str, part: str, encoder: LocalEmbeddings) -> Part:
    text_column, label_column = SETS[name]
    with (data / name / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row[text_column].strip(), row[label_column]) for row in csv.DictReader(file)]
    unique = {text_key(text): (text, label) for text, label in reversed(rows)}
    texts, labels = [text for text, _ in unique.values()], [label for _, label in unique.values()]
    return Part(texts, labels, encoder.embed_array(texts), request_vectors(texts, encoder))


# --- groups against intents


def by_communities(part: Part) -> IntArray:
    return cluster_vectors(part.vectors)


def by_kmeans(part: Part) -> IntArray:
    from sklearn.cluster import KMeans

    found: IntArray = KMeans(part.num_intents, n_init=3, random_state=0).fit_predict(part.meaning)
    return found


def by_density(part: Part) -> IntArray:
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reduced = PCA(15, random_state=0).fit_transform(part.meaning)
        found: IntArray = HDBSCAN(min_cluster_size=10, copy=True).fit_predict(reduced)
    return found


METHODS: dict[str, Callable[[Part], IntArray]] = {
    "communities of the graph of neighbours (ours)": by_communities,
    "k-means, told the right number of intents": by_kmeans,
    "BERTopic's recipe: fewer dimensions, then HDBSCAN": by_density,
}


def groups_section(data: Path, encoder: LocalEmbeddings) -> list[str]:
    from sklearn.metrics import adjusted_mutual_info_score

    lines = [
        "## Groups against true intents",
        "",
        "Adjusted mutual information between groups and true intents, without labels; 1 is the same grouping, 0 what "
        "chance gives. The method and its numbers were chosen on the training parts alone. UMAP, by which BERTopic "
        "reduces dimensions, is not installed here: PCA to 15 dimensions stands in for it, so that its row is below "
        "what BERTopic itself may reach. What HDBSCAN leaves out counts as one group.",
        "",
        "| set | texts | intents | method | groups | left out | adjusted mutual information | target |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in SETS:
        for kind in ("train", "test"):
            part = read_part(data, name, kind, encoder)
            for title, method in METHODS.items():
                found = method(part)
                score = adjusted_mutual_info_score(part.labels, found)
                alone = np.mean(found == -1)
                target = f"{TARGETS[name]:.2f}" if method is by_communities else ""
                lines.append(
                    f"| {TITLES[name]}, {kind} | {len(part.texts):,} | {part.num_intents} | {title} | "
                    f"{len(set(found.tolist()) - {-1})} | {alone:.0%} | {score:.3f} | {target} |"
                )
                print(lines[-1], file=sys.stderr)
    return [*lines, ""]


# --- a review that is simulated


@dataclass
class Review:
    """What a person's answers made of groups.

    Attributes:
        intents: of each row, as the person said; None where they never came to it.
        answers: how many they gave: accepts, merges (a name that was given before) and splits.
        splits: how many of these were splits.
    """

    intents: list[str | None]
    answers: int = 0
    splits: int = 0


def simulate_review(part: Part, group_of: IntArray) -> Review:
    """Return what a person makes of groups who sees some wordings of each, the largest group first.

    Where most of them are of one intent, they name it; else they have the group split. A name that was given before
    merges the groups.
    """
    review = Review(intents=[None] * len(part.texts))
    waiting: list[tuple[int, int, IntArray]] = []
    for number in range(int(group_of.max()) + 1):
        rows = np.flatnonzero(group_of == number)
        heapq.heappush(waiting, (-len(rows), number, rows))
    while waiting and review.answers < NUM_ANSWERS:
        _, _, rows = heapq.heappop(waiting)
        if len(rows) < GroupingOptions().min_requests:
            continue
        centre = part.vectors[rows].mean(axis=0)
        rows = rows[np.argsort(-(part.vectors[rows] @ centre), kind="stable")]
        shown = [part.labels[row] for row in show_some(rows.tolist(), NUM_WORDINGS)]
        name, count = Counter(shown).most_common(1)[0]
        review.answers += 1
        paths = split_paths(part.vectors[rows])
        if count >= ACCEPTED_FROM * len(shown) or not paths[0]:
            for row in rows:
                review.intents[row] = name
            continue
        review.splits += 1
        for side in "01":
            half = rows[[path[0] == side for path in paths]]
            heapq.heappush(waiting, (-len(half), len(part.texts) * review.answers + int(side), half))
    return review


def review_section(data: Path, encoder: LocalEmbeddings) -> list[str]:
    lines = [
        "## After a review",
        "",
        f"A simulated person answers {NUM_ANSWERS} times about the groups of the training part: they see "
        f"{NUM_WORDINGS} wordings of a group, the largest first, and accept it under the name that two thirds of them "
        "have (a name given before merges), or have it split. The classifier is trained on what they accepted, and on "
        "all true labels beside, the last layer only; both answer the test part.",
        "",
        "| set | answers, of these splits | rows named, right of these | accuracy after it | with all true labels | "
        "share | target |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in SETS:
        train, test = (read_part(data, name, kind, encoder) for kind in ("train", "test"))
        review = simulate_review(train, by_communities(train))
        named = [
            (text, found, true)
            for text, found, true in zip(train.texts, review.intents, train.labels, strict=True)
            if found
        ]
        right = np.mean([found == true for _, found, true in named])
        reviewed = _accuracy([LabelledText(text, found) for text, found, _ in named], test)
        full = _accuracy(
            [LabelledText(text, label) for text, label in zip(train.texts, train.labels, strict=True)], test
        )
        lines.append(
            f"| {TITLES[name]} | {review.answers}, {review.splits} | {len(named) / len(train.texts):.1%}, {right:.1%} "
            f"| {reviewed:.3f} | {full:.3f} | {reviewed / full:.1%} | 90 % |"
        )
        print(lines[-1], file=sys.stderr)
    return [*lines, ""]


def _accuracy(rows: list[LabelledText], test: Part) -> float:
    with tempfile.TemporaryDirectory() as folder:
        options = ClassifierOptions(method="head", seed=0, show_progress=False)
        finetune_classifier(LabelledTexts(rows=rows), Path(folder) / "model", options)
        replies = LocalClassifier(Path(folder) / "model").batch(test.texts)
    return float(np.mean([reply.label == label for reply, label in zip(replies, test.labels, strict=True)]))


# --- suggested intents


def suggestions_section(data: Path, encoder: LocalEmbeddings) -> list[str]:
    share, count, groups = _crosswoz(data, encoder)
    hits = _abcd(data, encoder)
    return [
        "## Suggested intents",
        "",
        f"The true annotation among the first {SUGGESTED} suggestions.",
        "",
        "| log | requests | suggestions | share | target |",
        "|---|---|---|---|---|",
        f"| CrossWOZ (Chinese), the domain of the first request | {count} of the test part | {groups} groups of the "
        f"validation part, each named by the domain of most of its requests | {share:.3f} | 0.80 |",
        f"| ABCD sample, the flow | {len(hits)} | the 10 flows, each described by its guidelines | "
        f"{np.mean(hits):.3f} | 0.80 |",
        "",
        "The sample of ABCD has three conversations, so its figure says little.",
        "",
    ]


def _crosswoz(data: Path, encoder: LocalEmbeddings) -> tuple[float, int, int]:
    (known, domains), (asked, expected) = (
        _crosswoz_part(data / "crosswoz" / f"{name}.json.gz") for name in ("val", "test")
    )
    options = GroupingOptions(word_weight=CHINESE_WORD_WEIGHT)
    joined = request_vectors([*known, *asked], encoder, options)
    vectors, questions = joined[: len(known)], joined[len(known) :]
    group_of = cluster_vectors(vectors, options)
    names, centres = [], []
    for number in range(int(group_of.max()) + 1):
        rows = np.flatnonzero(group_of == number)
        if len(rows) >= GroupingOptions().min_requests:
            names.append(Counter(domains[row] for row in rows).most_common(1)[0][0])
            centres.append(vectors[rows].mean(axis=0))
    nearest = np.argsort(-(questions @ np.array(centres).T), axis=1, kind="stable")[:, :SUGGESTED]
    found = [want in {names[place] for place in places} for want, places in zip(expected, nearest, strict=True)]
    return float(np.mean(found)), len(found), len(names)


def _crosswoz_part(path: Path) -> tuple[list[str], list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        dialogues = json.load(file)
    texts, domains = [], []
    for name, dialogue in dialogues.items():
        messages = tuple(
            LoggedMessage(role="customer" if message["role"] == "usr" else "agent", text=message["content"])
            for message in dialogue["messages"]
        )
        request = find_request(LoggedConversation(id=name, source=path.name, messages=messages))
        acts = [
            act
            for message in dialogue["messages"]
            for act in message["dialog_act"]
            if act[1] not in ("greet", "thank", "bye", "none")
        ]
        if request is not None and acts:
            texts.append(request.text)
            domains.append(acts[0][1])
    return texts, domains


def _abcd(data: Path, encoder: LocalEmbeddings) -> list[bool]:
    guidelines = json.loads((data / "abcd" / "guidelines.json").read_text("utf-8"))
    flows = {_plain(name): json.dumps(value, ensure_ascii=False)[:2_000] for name, value in guidelines.items()}
    vectors = encoder.embed_array([f"{name} {text}" for name, text in flows.items()])
    hits = []
    for sample in json.loads((data / "abcd" / "abcd_sample.json").read_text("utf-8")):
        messages = tuple(
            LoggedMessage(role=role, text=text) for role, text in sample["original"] if role in ("customer", "agent")
        )
        request = find_request(LoggedConversation(id=str(sample["convo_id"]), source="abcd", messages=messages))
        order = np.argsort(-(encoder.embed_array([request.text if request else ""])[0] @ vectors.T), kind="stable")
        hits.append(_plain(sample["scenario"]["flow"]) in [list(flows)[place] for place in order[:SUGGESTED]])
    return hits


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


# --- time and memory


def scale_section(data: Path, encoder: LocalEmbeddings, count: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        state = LearningState(Path(folder) / "learning.sqlite")
        started = time.perf_counter()
        read_into(state, _conversations(data, count), replace_private=_replace)
        read = time.perf_counter() - started
        find_groups(state, embeddings=encoder, encoder="default")
        took = time.perf_counter() - started
        groups = GroupReview(state).list_groups()
        size = (Path(folder) / "learning.sqlite").stat().st_size
        state.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [
        "## Time and memory",
        "",
        f"{count:,} conversations, each asking something else: two texts of Banking77 and Bitext in one message, with "
        "a name, a number of an order and an answer.",
        "",
        "| step | measured | target for 100,000 |",
        "|---|---|---|",
        f"| reading, private data replaced | {read / 60:.1f} minutes | |",
        f"| all of it, {len(groups)} groups drafted | {took / 60:.1f} minutes | 15 minutes |",
        f"| most memory at a time | {memory:.2f} GB | 4 GB |",
        f"| the file of the state | {size / 2**20:.0f} MB | |",
        "",
    ]


def _conversations(data: Path, count: int) -> Iterator[LoggedConversation]:
    rng = random.Random(0)
    texts: list[str] = []
    for name, (column, _) in SETS.items():
        with (data / name / "train.csv").open(encoding="utf-8", newline="") as file:
            texts += [row[column].strip() for row in csv.DictReader(file)]
    for number in range(count):
        order = f"VT-{rng.randrange(10**6):06d}"
        said = f"Hi, I am Anna Schmidt. {rng.choice(texts)} My order is {order}. {rng.choice(texts)}"
        answer = f"Dear Anna, we looked at {order}; this is answer {number % 300} of our list of answers."
        messages = (LoggedMessage(role="customer", text=said), LoggedMessage(role="agent", text=answer))
        yield LoggedConversation(id=str(number), source="made", messages=messages, customer=f"c{number % 30_000}")


def _replace(text: str) -> tuple[str, Sequence[tuple[str, str]]]:
    spans = find_private(text)
    return put_placeholders(text, spans), [(span.kind, span.text) for span in spans]


FALLS_SHORT = """\
## What falls short

- Banking77 after 100 answers: 72 % of what all true labels bring, not 90 %. It has 77 intents that differ by a word,
  so that 100 answers are hardly more than one for each, and a third of them are splits. Tried on the training part:
  fewer and larger groups (65 %), accepting from three quarters of the wordings on (71 %), and leaving out rows whose
  neighbours the person named otherwise (no change). Letting the person divide the wordings they see, instead of
  answering yes or no, would bring more with each answer, and is not built.
- The test part of Banking77 has 40 texts of an intent, and its groups are a little below the target; so is k-means
  that is told their number. On Bitext k-means that is told the right number is ahead, or level; nobody is there to
  tell it.
- 100,000 conversations were not measured: the run had to fit between others. Time grows somewhat faster than the
  number of different requests, since each is compared with all others.
"""


def join_pages(pages: Sequence[Path]) -> str:
    """Return the pages of several runs as one, each with its command and its machine, and what falls short."""
    title, rests = "", []
    for page in pages:
        title, _, rest = page.read_text("utf-8").partition("\n")
        rests.append(rest.strip())
    return "\n\n".join([title, *rests, FALLS_SHORT])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--parts", default="groups,review,suggestions,scale")
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--join", type=Path, nargs="+", help="pages of runs of single parts, made into one")
    arguments = parser.parse_args()
    if arguments.join:
        arguments.out.write_text(join_pages(arguments.join), encoding="utf-8")
        return
    data = Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA))  # noqa: TID251  # no workspace here
    encoder = LocalEmbeddings()
    sections: dict[str, Callable[[], list[str]]] = {
        "groups": lambda: groups_section(data, encoder),
        "review": lambda: review_section(data, encoder),
        "suggestions": lambda: suggestions_section(data, encoder),
        "scale": lambda: scale_section(data, encoder, arguments.conversations),
    }
    lines = [
        "# From logs to a service",
        "",
        f"Command: `python -m benchmarks.service_from_logs --parts {arguments.parts} "
        f"--conversations {arguments.conversations}`, seed 0, the default encoder. Measured on "
        f"{time.strftime('%-d %B %Y')}: {os.cpu_count()} cores, {processor()}, shared with other jobs.",
        "",
    ]
    for name in arguments.parts.split(","):
        lines += sections[name]()
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
