"""Trainer of the starter chat model on the sample records; run `python -m apps.samples.make_starter_model FOLDER`.

It is taught one thing: to repeat the sentence of numbered passages that answers a question, and the passage's number.
The conversations are drawn from one seed: sentences of the sample records beside made-up ones, whose names, numbers and
order always change, so that they have to be copied and cannot be learnt by heart. The questions of `questions.csv` are
never read here; `python -m benchmarks.starter_model` asks them.
"""

import csv
import random
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from langchain_core.documents import Document

from chains.customer_service.quoting import split_passage
from chains.prompts import load_prompt
from llms.finetuning import ChatTrainingOptions, finetune_chat
from llms.finetuning.data import Conversation, Conversations
from llms.finetuning.starter_model import UntrainedChatOptions, save_untrained_chat, store_in_bfloat16
from llms.manifest import load_chat_manifest, save_manifest
from retrievers import keyword_terms

SAMPLES: Final = Path(__file__).parent
SEED: Final = 20
UNKNOWN: Final = "UNKNOWN"  # what the chain's prompt asks for where the passages do not answer
STOP_WORDS: Final = frozenset(
    re.findall(
        r"\S+",
        "the and for with that this from are is was were has have not but you your our can will may must than then "
        "when what which who how why its it's they them their there these those into onto over under also only each "
        "every one does did been being more most very just about after before while",
    )
)
WORD: Final = re.compile(r"[A-Za-z][A-Za-z'-]{2,}")
NUMBER: Final = re.compile(r"\d+")
_UNITS: Final = frozenset({"days", "hours", "minutes", "seconds", "months", "years"})


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence and questions that it answers."""

    sentence: str
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """A title and facts about it, as an article's section."""

    title: str
    heading: str
    facts: tuple[Fact, ...]

    @property
    def text(self) -> str:
        """What the chain shows of it: the title, perhaps a heading, and the sentences."""
        heading = f"## {self.heading}\n\n" if self.heading else ""
        return f"{self.title}\n\n{heading}" + " ".join(fact.sentence for fact in self.facts)


class FactWriter:
    """Draws passages of both kinds."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        content = yaml.safe_load((SAMPLES / "starter_facts.yaml").read_text("utf-8"))
        self.facts: list[dict[str, list[str]]] = content["facts"]
        self.fillers: dict[str, list[str]] = content["fillers"]
        self.keyword_asks: list[str] = content["keyword_asks"]
        self.records = list(_record_passages())
        self.asked = _asked_of_answers([sentence for _, _, sentences in self.records for sentence in sentences])

    def passage(self, *, num_facts: int) -> Passage:
        """Return a passage from the records or, mostly, a made-up one."""
        return self._from_records(num_facts) if self.random.random() < 0.45 else self._made_up(num_facts)

    def _made_up(self, num_facts: int) -> Passage:
        subjects = {name: self._fill(name) for name in ("thing", "name", "location")}
        chosen = self.random.sample(self.facts, num_facts)
        facts = []
        for fact in chosen:
            fixed = subjects | {name: self._fill(name) for name in _slots(fact) - set(subjects)}
            sentence = self.random.choice(fact["says"]).format(**fixed)
            facts.append(Fact(_sentence(sentence), tuple(ask.format(**fixed) for ask in fact["asks"])))
        title, heading = (_sentence(text) for text in self.random.sample(list(subjects.values()), 2))
        return Passage(title, self.random.choice((heading, "")), tuple(facts))

    def _from_records(self, num_facts: int) -> Passage:
        title, heading, sentences = self.random.choice(self.records)
        start = self.random.randrange(max(1, len(sentences) - num_facts + 1))
        facts = []
        for sentence in sentences[start : start + num_facts]:
            # other figures each time, so that they are read and not remembered
            changed = NUMBER.sub(self._other_number, sentence)
            asked = self.asked.get(sentence) or [self._keyword_question(changed, title) for _ in range(2)]
            facts.append(Fact(changed, tuple(asked)))
        return Passage(title, heading, tuple(facts))

    def _keyword_question(self, sentence: str, title: str) -> str:
        words = [word.lower() for word in WORD.findall(sentence) if word.lower() not in STOP_WORDS]
        about = [word.lower() for word in WORD.findall(title) if word.lower() not in STOP_WORDS]
        count = min(len(words), self.random.choice((1, 2, 2, 3, 3, 4)))
        places = sorted(self.random.sample(range(len(words)), count))
        chosen = [words[place] for place in places] + (about[:2] if self.random.random() < 0.3 else [])
        return self.random.choice(self.keyword_asks).format(words=" ".join(chosen))

    def _other_number(self, match: re.Match[str]) -> str:
        if self.random.random() < 0.3:
            return match.group()
        digits = [self.random.choice("123456789"), *(self.random.choice("0123456789") for _ in match.group()[1:])]
        return "".join(digits)

    def _fill(self, slot: str) -> str:
        if slot in _UNITS:
            return self._some(slot)
        if f"{slot}s" in self.fillers:
            return self.random.choice(self.fillers[f"{slot}s"])
        name = "".join(self.random.choices(self.fillers["syllables"], k=self.random.randint(2, 3))).capitalize()
        return self._named(slot, name) or self._counted(slot)

    def _named(self, slot: str, name: str) -> str:
        pick = self.random.choice
        return {
            "thing": f"{name} {pick(self.fillers['nouns'])}",
            "name": name,
            "location": pick([name, pick(self.fillers["places"])]),
            "code": f"{name.upper()[:4]}{self.random.randint(1, 99)}",
            "person": f"{pick(['Ms', 'Mr', 'Dr'])} {name}",
        }.get(slot, "")

    def _counted(self, slot: str) -> str:
        pick, number = self.random.choice, self.random.randint
        cents = f"${number(1, 99)}.{number(0, 9)}0"
        return {
            "money": pick([f"${number(2, 999)}", cents, f"${number(1, 9)},{number(0, 9)}00"]),
            "percent": f"{number(1, 95)} percent",
            "watts": pick([f"{number(2, 240)} watts", self._some("amperes"), f"{number(2, 48)} volts"]),
            "size": f"{pick([8, 16, 32, 64, 128, 256, 512, number(1, 9)])} {pick(['GB', 'TB', 'MB'])}",
            "metres": pick([self._some("metres"), f"{number(1, 99)} cm", f"{number(1, 9)}.{number(1, 9)} metres"]),
            "clock": f"{number(1, 12)} {pick(['am', 'pm'])}",
            "age": f"{number(3, 18)} years",
            "grams": f"{number(12, 990)} grams",
            "number": str(pick([number(2, 12), 10 * number(2, 50)])),
        }[slot]

    def _some(self, unit: str) -> str:
        return f"{self.random.choice([*self.fillers['counts'], str(self.random.randint(2, 99))])} {unit}"


def conversations(writer: FactWriter, count: int, *, passages: int, facts: int, turns: int) -> Iterator[Conversation]:
    """Yield conversations of several questions about the same passages; those in use have one."""
    prompt = load_prompt("chains.customer_service", "answer", variables=["passages"])
    draw = writer.random
    for _ in range(count):
        shown = [writer.passage(num_facts=draw.randint(1, facts)) for _ in range(draw.randint(1, passages))]
        text = "\n\n".join(f"[{i}] {passage.text}" for i, passage in enumerate(shown, start=1))
        system = prompt.invoke({"passages": text, "question": ""}).to_messages()[0].content
        asked = [(fact, f"{fact.sentence} [{i}]") for i, p in enumerate(shown, start=1) for fact in p.facts]
        pairs = [(draw.choice(fact.questions), answer) for fact, answer in draw.sample(asked, min(turns, len(asked)))]
        if draw.random() < 0.3:
            stray = writer.passage(num_facts=1).facts[0]
            pairs.insert(draw.randrange(len(pairs) + 1), (draw.choice(stray.questions), UNKNOWN))
        messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
        for question, answer in pairs:
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        yield Conversation(messages)


def train(folder: Path, *, num_conversations: int = 1_800) -> None:
    """Train a model that can repeat, and nothing else, to find what to repeat."""
    writer = FactWriter(SEED)
    rows = list(conversations(writer, num_conversations, passages=3, facts=3, turns=5))
    texts = [message["content"] for row in rows for message in row.messages]
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / "untrained"
        save_untrained_chat(texts, base, UntrainedChatOptions(seed=SEED))
        options = ChatTrainingOptions(
            base=str(base),
            epochs=1,
            batch_size=6,
            learning_rate=1e-3,
            held_out_share=0.02,
            seed=SEED,
            device="cpu",
            resume=False,
            track="none",
        )
        trained = finetune_chat(Conversations(rows), folder, options)
    store_in_bfloat16(folder)
    manifest = load_chat_manifest(folder)
    # its base was in a folder that is gone
    save_manifest(manifest.model_copy(update={"base_model": "untrained", "base_fingerprint": ""}), folder)
    sys.stderr.write(f"{trained.metrics}\n")


def _record_passages() -> Iterator[tuple[str, str, list[str]]]:
    """Yield title, heading and sentences of the sample records: articles, approved answers, item descriptions."""
    for path in sorted((SAMPLES / "en/customer_service/knowledge").glob("*.md")):
        text = path.read_text("utf-8")
        title = text.splitlines()[0].lstrip("# ")
        for section in re.split(r"\n(?=## )", text):
            heading = section.splitlines()[0].lstrip("# ") if section.startswith("## ") else ""
            yield from _titled(title, heading, section)
    for name, answer in _approved_answers().items():
        yield from _titled(name.replace("_", " ").capitalize(), "", answer)
    for row in _read_csv("recommendation/items.csv"):
        yield from _titled(row["title"], "", row["description"])


def _titled(title: str, heading: str, text: str) -> Iterator[tuple[str, str, list[str]]]:
    sentences = [sentence.text for sentence in split_passage(Document(page_content=text))]
    known = [sentence for sentence in sentences if len(sentence) < 220 and len(WORD.findall(sentence)) > 2]
    if known:
        yield title, heading, known


def _asked_of_answers(sentences: Sequence[str]) -> dict[str, list[str]]:
    """Return for sentences of approved answers what customers wrote that shares most words with them, if any did."""
    answers = _approved_answers()
    asked: dict[str, list[str]] = {}
    for row in _read_csv("customer_service/intents.csv"):
        words = set(keyword_terms(row["text"])) - set(keyword_terms(" ".join(STOP_WORDS)))
        candidates = [sentence for sentence in sentences if sentence in answers.get(row["intent"], "")]
        best = max(candidates, key=lambda sentence: len(words & set(keyword_terms(sentence))), default="")
        if len(words & set(keyword_terms(best))) > 1 and len(row["text"]) < 200:
            asked.setdefault(best, []).append(row["text"])
    return asked


def _approved_answers() -> dict[str, str]:
    content = yaml.safe_load((SAMPLES / "en/customer_service/templates.yaml").read_text("utf-8"))
    return {name: re.sub(r"\{\w+\}", "VT-204918", answer) for name, answer in content["answers"].items()}


def _read_csv(name: str) -> list[dict[str, str]]:
    with (SAMPLES / "en" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _slots(fact: dict[str, list[str]]) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", " ".join([*fact["says"], *fact["asks"]])))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


if __name__ == "__main__":
    train(Path(sys.argv[1]))
