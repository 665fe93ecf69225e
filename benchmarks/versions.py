"""Speed of this version beside an older one: chat, store, embeddings, waiting customers.

Run: python -m benchmarks.versions --baseline TREE [--rounds 5] [--only NAME ...] [--out FILE]

TREE is a git worktree of an older commit. Each measurement is a process of its own that imports public names only; the
two versions take turns, so that both meet the same machine. Compared are the medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import processor

HERE = Path(__file__).resolve().parent.parent

_START = """
import json, sys, threading, time
from pathlib import Path
folder = Path(sys.argv[1])
def best(work, times=3):
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)
"""
PROGRAMS = {
    "chat": """
from benchmarks.chat_models import build_chat_model
from llms import LocalChatModel
model = folder / "chat"
if not model.exists():
    build_chat_model(model, "30M")
for engine in ("torch", "openvino"):
    chat = LocalChatModel(model=str(model), engine=engine, max_tokens=32, temperature=0.0)
    prompts = [f"Tell me about parcel number {n} and its way to me" for n in range(16)]
    chat.batch(prompts[:2])
    result[f"chat on {engine}, 16 prompts, s"] = best(lambda: chat.batch(prompts))
    result[f"chat on {engine}, one prompt, s"] = best(lambda: chat.invoke(prompts[3]))
""",
    "store": """
import shutil
import numpy as np
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
shutil.rmtree(folder / "store", ignore_errors=True)
store = FaissStore(folder / "store", embedding=HashedEmbeddings(dimension=384))
vectors = np.random.default_rng(0).normal(size=(20_000, 384)).astype("float32")
texts = [f"document {n} about parcel {n % 97} and refund {n % 31}" for n in range(len(vectors))]
def add():
    for start in range(0, len(texts), 1000):
        part = slice(start, start + 1000)
        metadata = [{"price": n % 100} for n in range(start, start + 1000)]
        store.add_vectors(texts[part], vectors[part], metadata, ids=[str(n) for n in range(start, start + 1000)])
result["store, 20,000 documents in batches, s"] = best(add, 1)
def add_one():
    for n in range(200):
        store.add_vectors([f"one {n}"], vectors[n : n + 1], [{"price": 1}], ids=[f"one-{n}"])
result["store, 200 durable adds, s"] = best(add_one, 1)
def search(**filters):
    for n in range(200):
        store.similarity_search_by_vector(vectors[n].tolist(), k=10, **filters)
search()
result["store, 200 searches, s"] = best(search)
result["store, 200 filtered searches, s"] = best(lambda: search(filter={"price": 7}))
def find_words():
    for n in range(200):
        store.keyword_search(f"refund parcel {n}", k=10)
result["store, 200 keyword searches, s"] = best(find_words)
store.close()
""",
    "words": """
import random, shutil
import numpy as np
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
shutil.rmtree(folder / "words", ignore_errors=True)
store = FaissStore(folder / "words", embedding=HashedEmbeddings(dimension=8))
chance = random.Random(0)
english = [f"{a}{b}" for a in ("ship", "pay", "card", "ring", "lamp", "shop", "mail") for b in range(3000)]
chinese = [chr(0x4E00 + n) + chr(0x5000 + 7 * n % 4000) for n in range(4000)]
def text(n):
    words = [min(int(chance.paretovariate(0.7)), 20_000) for _ in range(30)]
    if n % 2:
        return " ".join(english[word % len(english)] for word in words)
    return "".join(chinese[word % len(chinese)] for word in words)
texts = [text(n) for n in range(100_000)]
vectors = np.random.default_rng(0).normal(size=(len(texts), 8)).astype("float32")
def add():
    for start in range(0, len(texts), 5000):
        part = slice(start, start + 5000)
        names = [str(n) for n in range(start, start + 5000)]
        store.add_vectors(texts[part], vectors[part], [{}] * 5000, ids=names)
result["words, 100,000 documents added, s"] = best(add, 1)
def find():
    for n in range(0, 100_000, 500):
        store.keyword_search(texts[n][:24], k=10)
find()
result["words, 200 keyword searches of 100,000, s"] = best(find, 5)
store.close()
""",
    "embeddings": """
from llms import LocalEmbeddings
sentences = [f"Where is my order number {n}, it should have come {n % 9} days ago?" for n in range(600)]
for engine in ("torch", "openvino"):
    embeddings = LocalEmbeddings(engine=engine, precision="float32")
    embeddings.embed_documents(sentences[:50])
    result[f"embeddings on {engine}, 600 sentences, s"] = best(lambda: embeddings.embed_array(sentences))
""",
    "waiting": """
from langchain_core.documents import Document
from chains import build_customer_service_chain
from chains.customer_service import TemplateBook
from llms import LocalEmbeddings
from llms.fakes import FixedClassifier
from retrievers import FaissStore, HybridRetriever
embeddings = LocalEmbeddings(engine="openvino", precision="float32")
things = ["charger", "camera", "laptop", "phone", "lamp", "router", "monitor", "keyboard"]
pages = [
    Document(f"The {things[n % 8]} of series {n} charges in {n % 50 + 3} minutes. Keep it dry and clean.", id=str(n))
    for n in range(2000)
]
store = FaissStore(embedding=embeddings)
store.add_documents(pages)
chain = build_customer_service_chain(
    classifier=FixedClassifier({"open": "hours"}),
    templates=TemplateBook(answers={"hours": "9-5."}),
    retriever=HybridRetriever(store=store),
    embeddings=embeddings,
)
def ask(customer):
    for n in range(12):
        chain.invoke(f"How long does the {things[(customer + n) % 8]} of series {customer * 12 + n} charge?")
def all_ask():
    threads = [threading.Thread(target=ask, args=(customer,)) for customer in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
ask(50)
result["8 customers, 12 quotes each, s"] = best(all_ask, 2)
result["one customer, 24 approved answers, s"] = best(lambda: [chain.invoke("When are you open?") for _ in range(24)])
""",
}
_END = "\nprint(json.dumps(result))\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {"before": {}, "now": {}}
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(arguments.rounds):
            for name in arguments.only:
                versions = [("before", arguments.baseline), ("now", HERE)]
                for version, tree in versions if round_ % 2 else versions[::-1]:
                    for what, seconds in _measure(PROGRAMS[name], tree, Path(folder) / version).items():
                        found[version].setdefault(what, []).append(seconds)
    lines = _page(found, arguments)
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", "utf-8")


def _measure(program: str, tree: Path, folder: Path) -> dict[str, float]:
    """Return the seconds of each measurement of one program, run in the version in `tree`."""
    folder.mkdir(exist_ok=True)  # one a version: each would find the other's exports outdated and make its own
    command = [sys.executable, "-c", f"{_START}\nresult = {{}}\n{program}{_END}", str(folder)]
    # with -c, the packages of the working directory come before installed ones
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)  # noqa: S603  # our own program
    if done.returncode:
        msg = f"a measurement in {tree} failed: {done.stderr[-2000:]}"
        raise RuntimeError(msg)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _page(found: dict[str, dict[str, list[float]]], arguments: argparse.Namespace) -> list[str]:
    lines = [
        "# Speed before and after the restructuring",
        "",
        f"Written by `python -m benchmarks.versions --baseline TREE --rounds {arguments.rounds}` on "
        f"{datetime.now(UTC):%Y-%m-%d}, {processor()}. Medians of {arguments.rounds} processes of each version, which "
        "took turns; below 1 is faster than before.",
        "",
        "| what | before | now | ratio |",
        "|---|---|---|---|",
    ]
    for what, before in found["before"].items():
        old, new = statistics.median(before), statistics.median(found["now"][what])
        lines.append(f"| {what} | {old:.3f} | {new:.3f} | {new / old:.2f} |")
    return lines


if __name__ == "__main__":
    main()
