"""Gain of the starter chat model over quoting, on questions of the sample shop that its training never read.

Run: python -m benchmarks.starter_model [--folder FOLDER] [--card] [--show]

The intent classifier decides which questions reach the articles at all; it is trained here by its last layer only,
which takes seconds. `--card` writes the figures into the README.md beside the weights and seals the folder again.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from apps.evaluate import read_knowledge_questions
from apps.readers import read_templates
from apps.settings import SETTINGS_NAME, Settings, load_settings
from apps.training import index_knowledge, train_workspace_classifier
from apps.workspace import create_workspace
from apps.workspace_models import STARTER_FOLDER, open_classifier, open_embeddings, open_store
from benchmarks.machine import processor
from chains.customer_service import ServiceReply, ServiceRequest, build_customer_service_chain
from chains.customer_service.evaluation import ServiceQuestion, ServiceScores, evaluate_service
from llms import LocalChatModel
from llms.manifest import load_chat_manifest, save_manifest
from retrievers import HybridRetriever

CARD = """---
language: en
license: apache-2.0
pipeline_tag: text-generation
---

# Starter chat model

{parameters:,} weights in bfloat16, a Qwen2 with a tokenizer of its own. It repeats a sentence of the passages in its
prompt and names the passage, or says UNKNOWN. It is there to try the way from a chat model to a checked answer without
any download, not for answering customers: set `chat = "starter"` under `[models]` in `tunechain.toml`. English only.

## How it was made

`python -m apps.samples.make_starter_model FOLDER`: seed {seed}, one pass over {num_conversations:,} conversations drawn
from the English sample records (articles, approved answers and what customers wrote about them, item descriptions)
and from the sentence patterns in `starter_facts.yaml`, with names, numbers and order changed each time; 25 minutes on
two cores that other work shared. {num_held_out} conversations were held out, with a loss of {held_out_loss:.3f} per
token. The questions below (`questions.csv`) were read by no part of it; the articles they are about were among the
passages.

## Measured

`python -m benchmarks.starter_model`, {machine}. Each question runs through the whole chain, once with this model and
once with quotes only; an intent classifier trained by its last layer keeps many from the articles. An answer of the
model is sent only if `chains/customer_service/grounding.py` finds its numbers, names and most of its words in the
passages it names; else the quotes are sent.

{table}

## Limits

It learnt to copy, but in so short a training hardly to choose: of several sentences it often takes the same one,
whatever the question is. Grounding says that an answer stands in the article, not that it answers the question. The
quotes are better answers, which is why no workspace uses this model unless it is told to.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A knowledge question, the reply with the model, and the one made of quotes."""

    question: ServiceQuestion
    reply: ServiceReply
    quoted: ServiceReply

    @property
    def is_composed(self) -> bool:
        """Whether the model's own answer was sent."""
        return self.reply.route == "answer" and self.reply.text != self.quoted.text

    @property
    def is_right_article(self) -> bool:
        """Whether an article that answers is cited."""
        return any(citation.source == self.question.article for citation in self.reply.citations)


def ask_all(settings: Settings, folder: Path) -> tuple[dict[str, ServiceScores], list[Asked]]:
    """Return the scores with the model in `folder` and without, and what became of each knowledge question."""
    section = settings.customer_service
    model = LocalChatModel(model=str(folder), engine="torch", max_tokens=120)
    chains = {
        name: build_customer_service_chain(
            classifier=open_classifier(settings, "intent"),
            templates=read_templates(settings.records_folder(section) / "templates.yaml"),
            retriever=HybridRetriever(store=open_store(settings, "knowledge"), word_weight=section.word_weight),
            embeddings=open_embeddings(settings),
            chat_model=chat_model,
        )
        for name, chat_model in (("starter", model), ("quotes", None))
    }
    questions = read_knowledge_questions(settings.records_folder(section) / "questions.csv")
    scores = {name: evaluate_service(chain, questions) for name, chain in chains.items()}
    asked = []
    for question in (question for question in questions if question.article):
        replies = [chain.invoke(ServiceRequest(text=question.text)) for chain in chains.values()]
        asked.append(Asked(question=question, reply=replies[0], quoted=replies[1]))
    return scores, asked


def make_table(scores: dict[str, ServiceScores], asked: list[Asked], *, num_right: int | None = None) -> str:
    """Return all figures as Markdown.

    Args:
        num_right: of the composed answers, how many a reader found to answer the question.
    """
    reached = [row for row in asked if row.quoted.route == "answer"]
    composed = [row for row in reached if row.is_composed]
    rows = [
        ("knowledge questions", len(asked), len(asked)),
        ("answered from articles", len(reached), len(reached)),
        ("composed by the model, all found in its passages", len(composed), 0),
        ("quotes sent instead (unknown, no passage named, or not found in it)", len(reached) - len(composed), "all"),
        ("composed answers that cite the right article", sum(row.is_right_article for row in composed), "-"),
        (
            "composed answers that answer the question, by reading",
            "not judged" if num_right is None else num_right,
            "-",
        ),
        (
            "share of all knowledge questions answered with the right article",
            f"{scores['starter'].questions_answered:.3f}",
            f"{scores['quotes'].questions_answered:.3f}",
        ),
        (
            "share answered without the right article",
            f"{scores['starter'].questions_wrong:.3f}",
            f"{scores['quotes'].questions_wrong:.3f}",
        ),
        (
            "words per answer, mean",
            f"{_mean_words(reached, quoted=False):.0f}",
            f"{_mean_words(reached, quoted=True):.0f}",
        ),
    ]
    lines = ["| | starter model | quotes only |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {ours} | {theirs} |" for name, ours, theirs in rows)])


def _mean_words(asked: list[Asked], *, quoted: bool) -> float:
    return sum(len((row.quoted if quoted else row.reply).text.split()) for row in asked) / max(1, len(asked))


def write_card(folder: Path, table: str) -> None:
    """Write the model card and seal the folder again."""
    manifest = load_chat_manifest(folder)
    card = CARD.format(
        parameters=manifest.total_parameters,
        seed=manifest.seed,
        num_conversations=int(manifest.metrics["num_conversations"]),
        num_held_out=int(manifest.metrics["num_held_out"]),
        held_out_loss=manifest.metrics["held_out_loss"],
        machine=processor(),
        table=table,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    save_manifest(manifest, folder)


def main() -> None:
    """Measure, print, and on request write the model card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=STARTER_FOLDER)
    parser.add_argument("--card", action="store_true")
    parser.add_argument("--show", action="store_true", help="print every question with its answer")
    parser.add_argument("--num-right", type=int, help="composed answers that a reader found right")
    parser.add_argument("--workspace", type=Path, help="a workspace with sample records that was built before")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        settings = load_settings(arguments.workspace or _build_workspace(Path(temporary) / "workspace"))
        scores, asked = ask_all(settings, arguments.folder)
    table = make_table(scores, asked, num_right=arguments.num_right)
    print(table)
    for row in asked if arguments.show else ():
        kind = "composed" if row.is_composed else row.reply.route
        print(
            f"\n{row.question.text} ({row.question.article})\n  {kind}: {row.reply.text}\n  quotes: {row.quoted.text}"
        )
    if arguments.card:
        write_card(arguments.folder, table)


def _build_workspace(folder: Path) -> Path:
    create_workspace(folder)
    text = (folder / SETTINGS_NAME).read_text("utf-8").replace('method = "full"', 'method = "head"')
    (folder / SETTINGS_NAME).write_text(text, encoding="utf-8")
    settings = load_settings(folder)
    train_workspace_classifier(settings, "intent", show_progress=False)
    index_knowledge(settings)
    return folder


if __name__ == "__main__":
    main()
