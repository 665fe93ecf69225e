"""Which encoder: accuracy, speed and memory of each, per task, beside simple baselines, in one run.

Run: python -m benchmarks.encoders [--parts intents,speed] [--encoders all-MiniLM-L6-v2,multilingual-e5-small]
    [--results FILE] [--out docs/benchmarks/which_encoder.md]

Nothing of an encoder is trained unless a part says so. With --results each part and encoder is appended to that file,
and the page shows the newest of each: they can be run one by one. Encoders that are not on this machine are left out;
`tunechain models add NAME` and `tunechain models trim multilingual-e5-small --languages zh,en` bring them.
"""

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.classifier_data import DATA_SETS, DataSet
from benchmarks.machine import processor
from benchmarks.results import append_result, read_results
from benchmarks.retrieval import DEPTH, Task, read_tasks
from llms import LocalClassifier, LocalEmbeddings, SqliteByteStore
from llms.classifier.lexical import LexicalModel
from llms.errors import ModelNotFoundError
from llms.finetuning import ClassifierOptions, finetune_classifier
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.finetuning.data.labelled_files import read_labelled_texts
from llms.finetuning.trainer.methods import Method
from retrievers import FaissStore, HybridRetriever

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"
SAMPLES = Path(__file__).parents[1] / "apps" / "samples"
ENCODERS = ("all-MiniLM-L6-v2", "multilingual-e5-small", "multilingual-e5-small-zh-en", "all-mpnet-base-v2")
BASELINE = "baseline"
_NUM_SPEED_TEXTS = 256

Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a part is measured with."""

    data: Path
    folder: Path  # for what is made on the way
    cache: SqliteByteStore | None

    def embeddings(self, encoder: str) -> LocalEmbeddings:
        """Return the encoder; its vectors are kept between runs where a cache was given."""
        return LocalEmbeddings(encoder, cache=self.cache)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One task, and what is hoped for.

    Attributes:
        measure: (run, encoder) -> figures.
        baseline: (run) -> figures by the name of a method without an encoder.
        targets: figure -> (encoder it is meant for, least value).
        languages: of its texts.
    """

    title: str
    about: str
    languages: str
    measure: Callable[[Run, str], Figures]
    baseline: Callable[[Run], Mapping[str, Figures]] = lambda _run: {}
    targets: Mapping[str, tuple[str, float]]


# --- classification


def _sample(name: str, column: str) -> Callable[[Run], DataSet]:
    def read(_run: Run) -> DataSet:
        folder = SAMPLES / "zh" / name
        train, test = (
            read_labelled_texts(folder.with_name(f"{folder.name}{part}.csv"), label_column=column).rows
            for part in ("", "_test")
        )
        return DataSet(train, test)

    return read


def _public(name: str) -> Callable[[Run], DataSet]:
    return lambda run: DATA_SETS[name](run.data)


def _thucnews(run: Run) -> DataSet:
    def rows(part: str) -> list[LabelledText]:
        lines = (run.data / "thucnews_titles" / f"{part}.txt").read_text("utf-8").splitlines()
        return [LabelledText(*line.rsplit("\t", 1)) for line in lines]

    return DataSet(rows("dev"), rows("test"))


def _classify(read: Callable[[Run], DataSet], *, method: Method = "head") -> Callable[[Run, str], Figures]:
    def measure(run: Run, encoder: str) -> Figures:
        data = read(run)
        folder = Path(tempfile.mkdtemp(dir=run.folder)) / "model"
        chosen = ClassifierOptions(base=encoder, method=method, show_progress=False, track="none")
        started = time.perf_counter()
        finetune_classifier(LabelledTexts(data.train), folder, chosen)
        seconds = time.perf_counter() - started
        replies = LocalClassifier(folder).batch([row.text for row in data.test])
        right = [reply.label == row.label for reply, row in zip(replies, data.test, strict=True)]
        return {"accuracy": sum(right) / len(right), "training, s": seconds}

    return measure


def _by_letters(read: Callable[[Run], DataSet]) -> Callable[[Run], Mapping[str, Figures]]:
    """Return the baseline: a linear support vector machine over character n-grams."""

    def measure(run: Run) -> Mapping[str, Figures]:
        data = read(run)
        labels = sorted({row.label for row in data.train})
        started = time.perf_counter()
        model = LexicalModel.fit([row.text for row in data.train], [labels.index(row.label) for row in data.train])
        seconds = time.perf_counter() - started
        predicted = model.scores([row.text for row in data.test]).argmax(axis=1)
        right = [labels[index] == row.label for index, row in zip(predicted, data.test, strict=True)]
        return {"character n-grams + linear SVM": {"accuracy": sum(right) / len(right), "training, s": seconds}}

    return measure


# --- retrieval


def _cmrc(run: Run) -> Task:
    return next(task for name, task in read_tasks(run.data).items() if name == "CMRC2018 dev")


def _stackfaq(run: Run) -> Task:
    return next(task for name, task in read_tasks(run.data).items() if name == "StackFAQ")


def _across_languages(run: Run) -> Task:
    """Return XQuAD's English questions over its Chinese paragraphs, which are translations of each other."""
    paragraphs = {}
    for language in ("en", "zh"):
        articles = json.loads((run.data / f"xquad/xquad.{language}.json").read_text("utf-8"))["data"]
        paragraphs[language] = [paragraph for article in articles for paragraph in article["paragraphs"]]
    english = next(task for name, task in read_tasks(run.data).items() if name == "XQuAD en")
    place = {paragraph["context"]: number for number, paragraph in enumerate(paragraphs["en"])}
    ids = {document.id: place[document.page_content] for document in english.documents}
    documents = [
        document.model_copy(update={"page_content": paragraphs["zh"][ids[document.id]]["context"]})
        for document in english.documents
    ]
    return replace(english, name="XQuAD, English questions, Chinese paragraphs", documents=documents)


def _retrieve(read: Callable[[Run], Task]) -> Callable[[Run, str], Figures]:
    def measure(run: Run, encoder: str) -> Figures:
        task = read(run)
        store = FaissStore(embedding=run.embeddings(encoder))
        texts, metadata = [found.page_content for found in task.documents], [found.metadata for found in task.documents]
        store.add_texts(texts, metadata, ids=[found.id for found in task.documents])
        retriever = HybridRetriever(store=store, k=DEPTH, group_by=task.group_by)
        hybrid = task.measure(lambda asked: [task.ids(found) for found in retriever.batch(list(asked))])
        depth = DEPTH if task.group_by is None else 5 * DEPTH
        alone = task.measure(
            lambda asked: [task.ids([found for found, _ in row]) for row in store.batch_search(asked, depth)]
        )
        return {**hybrid, **{f"{name}, meaning alone": value for name, value in alone.items()}}

    return measure


def _by_words(read: Callable[[Run], Task]) -> Callable[[Run], Mapping[str, Figures]]:
    """Return the baselines without an encoder: BM25, and cosines of TF-IDF."""

    def measure(run: Run) -> Mapping[str, Figures]:
        from benchmarks.retrieval import rank_by_tfidf
        from llms.fakes import HashedEmbeddings

        task = read(run)
        store = FaissStore(embedding=HashedEmbeddings())
        texts, metadata = [found.page_content for found in task.documents], [found.metadata for found in task.documents]
        store.add_texts(texts, metadata, ids=[found.id for found in task.documents])
        depth = DEPTH if task.group_by is None else 5 * DEPTH
        words = task.measure(
            lambda asked: [task.ids([found for found, _ in store.keyword_search(text, depth)]) for text in asked]
        )
        return {"BM25": words, "TF-IDF": task.measure(rank_by_tfidf(task))}

    return measure


# --- speed and memory


def _speed(_run: Run, encoder: str) -> Figures:
    """Return what a process of its own measures, since memory is that of a process."""
    command = [sys.executable, "-m", "benchmarks.encoders", "--speed-of", encoder]
    result = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # ours
    figures: Figures = json.loads(result.stdout.splitlines()[-1])
    return figures


def _measure_speed(encoder: str) -> Figures:
    rows = list(csv.DictReader((SAMPLES / "zh/customer_service/intents.csv").open(encoding="utf-8")))
    texts = [row["text"] for row in rows[:_NUM_SPEED_TEXTS]]
    embeddings = LocalEmbeddings(encoder, engine="torch", precision="float32")
    embeddings.embed_documents(texts[:16])
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        embeddings.embed_documents(texts)
        seconds.append(time.perf_counter() - started)
    memory = next(line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if "VmRSS" in line)
    folder = embeddings.folder
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {
        "short Chinese texts/s": len(texts) / min(seconds),
        "memory, MB": int(memory.split()[1]) / 1024,
        "weights, MB": size / 2**20,
        "dimensions": embeddings.dimension,
    }


_TRIED = (
    "## What was tried",
    "",
    "For the Chinese samples, on their training rows in five folds, three times, with the vectors of "
    "multilingual-e5-small (intents / topics / sentiment): the logistic regression that is used .910 / .938 / .769; "
    "the prompt `query: ` before every text or none, the same; a penalty four times weaker .907 / .933 / .767, "
    "sixteen times .900 / .927 / .753; standardised vectors .915 / .927 / .767; 64 whitened components .892 / .929 / "
    ".773; a linear support vector machine .915 / .949 / .793; one with a Gaussian kernel .892 / .902 / .740. None "
    "was taken: the best is within two standard errors of what is used.",
    "",
    "For relevance, on CMRC2018's trial part, right passage first / among five, and the relevance that 5 % of "
    "foreign questions reach: cosines as they are .970 / .993, 0.70; from three standard deviations below the mean of "
    "unrelated texts .981 / .996, 0.54; two .982 / .996, 0.50; one .981 / .997, 0.46; from the mean, as it is now, "
    ".981 / .998, 0.41. With the English encoder: .951 / .985, 0.55; .917 / .983, 0.41; .930 / .985, 0.42; .943 / "
    ".989, 0.43; .961 / .991, 0.43.",
)
E5, MPNET = "multilingual-e5-small", "all-mpnet-base-v2"
_SAMPLES = (  # part, title, what is learnt and asked, its rows, and the accuracy aimed at
    (
        "intents",
        "Intents of the Chinese sample shop",
        "480 messages learnt, 300 asked, 12 intents",
        _sample("customer_service/intents", "intent"),
        0.92,
    ),
    (
        "topics",
        "Topics of the Chinese sample headlines",
        "150 headlines learnt, 288 asked, 3 topics",
        _sample("monitoring/labelled", "topic"),
        0.90,
    ),
    (
        "sentiment",
        "Sentiment of the Chinese sample headlines",
        "150 headlines learnt, 288 asked, 3 sentiments",
        _sample("monitoring/labelled", "sentiment"),
        0.94,
    ),
)
PARTS: dict[str, Part] = {
    **{
        name: Part(
            title=title,
            about=f"{about}; `--method head`.",
            languages="zh",
            measure=_classify(rows),
            baseline=_by_letters(rows),
            targets={"accuracy": (E5, least)},
        )
        for name, title, about, rows, least in _SAMPLES
    },
    **{
        f"{name}-full": Part(
            title=f"{title}, trained in full",
            about="As above, with `--method full`: six epochs; the word vectors of e5 stay as they are.",
            languages="zh",
            measure=_classify(rows, method="full"),
            targets={"accuracy": (E5, least)},
        )
        for name, title, _, rows, least in _SAMPLES
    },
    "thucnews": Part(
        title="Topics of THUCNews headlines",
        about="10,000 headlines learnt, 10,000 asked, 10 topics; `--method head`.",
        languages="zh",
        measure=_classify(_thucnews),
        baseline=_by_letters(_thucnews),
        targets={"accuracy": (E5, 0.91)},
    ),
    "banking77": Part(
        title="Banking77",
        about="10,003 messages learnt, 3,080 asked, 77 intents; `--method head`.",
        languages="en",
        measure=_classify(_public("banking77")),
        baseline=_by_letters(_public("banking77")),
        targets={"accuracy": (MPNET, 0.95)},
    ),
    "cmrc2018": Part(
        title="CMRC2018 dev",
        about="3,219 Chinese questions, 848 paragraphs; the default `HybridRetriever`.",
        languages="zh",
        measure=_retrieve(_cmrc),
        baseline=_by_words(_cmrc),
        targets={"recall@1": (E5, 0.965), "recall@5": (E5, 0.997)},
    ),
    "xquad": Part(
        title="XQuAD, from English to Chinese",
        about="1,190 English questions, 240 Chinese paragraphs; the default `HybridRetriever`.",
        languages="en → zh",
        measure=_retrieve(_across_languages),
        baseline=_by_words(_across_languages),
        targets={"recall@5": (E5, 0.95)},
    ),
    "stackfaq": Part(
        title="StackFAQ",
        about="1,249 English questions, 125 FAQs with 719 answers; the default `HybridRetriever(group_by=...)`.",
        languages="en",
        measure=_retrieve(_stackfaq),
        baseline=_by_words(_stackfaq),
        targets={"P@1": (MPNET, 0.975)},
    ),
    "speed": Part(
        title="Speed and memory",
        about="256 short Chinese messages at once in float32 on PyTorch, the best of three; the memory of the process "
        "after that, libraries included. Other work ran beside it on the machine.",
        languages="zh",
        measure=_speed,
        targets={},
    ),
}


# --- the page


def main() -> None:
    """Measure the parts asked for, and write the page of all results known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help="names with commas between them; '' for none")
    parser.add_argument("--encoders", default=",".join(ENCODERS), help="names with commas between them")
    parser.add_argument("--results", type=Path, help="JSON lines, to which the results are appended")
    parser.add_argument("--cache", type=Path, help="folder outside the repository that keeps vectors between runs")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--speed-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.speed_of:
        print(json.dumps(_measure_speed(arguments.speed_of)))
        return
    names = [name for name in arguments.parts.split(",") if name]
    if unknown := set(names) - set(PARTS):
        parser.error(f"no such parts: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results = {(result["part"], result["what"]): result for result in read_results(arguments.results)}
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(os.environ.get("TUNECHAIN_DATA", DEFAULT_DATA))  # noqa: TID251
        cache = SqliteByteStore(arguments.cache / "vectors.sqlite") if arguments.cache else None
        run = Run(data=data, folder=Path(temporary), cache=cache)
        for name in names:
            for encoder in (BASELINE, *arguments.encoders.split(",")):
                for result in _measure(run, name, encoder):
                    results[result["part"], result["what"]] = result
                    print(json.dumps(result), flush=True)
                    append_result(arguments.results, result)
    if arguments.out:
        arguments.out.write_text(_page(results), encoding="utf-8")


def _measure(run: Run, name: str, encoder: str) -> list[dict[str, Any]]:
    """Return the results of one encoder, or of the baselines, on one part; none where the encoder is not here."""
    part = PARTS[name]
    try:
        found = part.baseline(run) if encoder == BASELINE else {encoder: part.measure(run, encoder)}
    except ModelNotFoundError as error:
        print(f"{encoder} is left out: {error}", file=sys.stderr)
        return []
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    return [{"part": name, "what": what, "figures": figures, "when": when} for what, figures in found.items()]


def _page(results: Mapping[tuple[str, str], dict[str, Any]]) -> str:
    measured = [name for name in PARTS if any(part == name for part, _ in results)]
    missing = [name for name in PARTS if name not in measured]
    lines = [
        "# Which encoder: figures",
        "",
        f"`python -m benchmarks.encoders`, {os.cpu_count()} cores, {processor()}, Python {platform.python_version()}, "
        "seed 0. The guide is [which encoder](../which-encoder.md).",
        "",
        "Unless a part says so, nothing of an encoder is trained: only the layer above it, or nothing at all. What had "
        "to be chosen for all encoders alike, such as where relevance begins, was chosen on CMRC2018's trial part and "
        "on training rows. "
        "multilingual-e5-small is the 4-bit file of the package index, unpacked; the original is a little better.",
        "",
        f"Parts measured: {', '.join(measured) or 'none'}."
        + (f" Not measured yet: {', '.join(missing)}." if missing else ""),
    ]
    for name in measured:
        lines += ["", *_section(name, {what: row for (part, what), row in results.items() if part == name})]
    return "\n".join([*lines, "", *_TRIED]) + "\n"


def _section(name: str, rows: Mapping[str, dict[str, Any]]) -> list[str]:
    part = PARTS[name]
    order = [*(what for what in rows if what not in ENCODERS), *(what for what in ENCODERS if what in rows)]
    figures = list(dict.fromkeys(figure for what in order for figure in rows[what]["figures"]))
    days = sorted({row["when"] for row in rows.values()})
    lines = [
        f"## {part.title}",
        "",
        f"{part.about} `--parts {name}`, {' to '.join(dict.fromkeys((days[0], days[-1])))}.",
    ]
    lines += ["", "| what | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for what in order:
        cells = [_shown(rows[what]["figures"].get(figure)) for figure in figures]
        lines.append("| " + " | ".join([f"**{what}**" if what in ENCODERS else what, *cells]) + " |")
    if verdicts := [_verdict(rows, figure, *target) for figure, target in part.targets.items()]:
        lines += ["", " ".join(verdicts)]
    return lines


def _verdict(rows: Mapping[str, dict[str, Any]], figure: str, encoder: str, least: float) -> str:
    if encoder not in rows:
        return f"Target: {figure} of {encoder} at least {least:g}; it was not measured yet."
    value = rows[encoder]["figures"][figure]
    verdict = "holds" if value >= least else f"**does not hold**, {least - value:.3f} are missing"
    return f"Target: {figure} of {encoder} at least {least:g}; it {verdict}."


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value > 1 else f"{value:.4f}"


if __name__ == "__main__":
    main()
