"""Files written by an earlier version, and what that version answered from them.

Of its alerts the moment is not compared, and of its lists of recommendations only the length: that version weighed the
rounding errors of its processor (see `chains.recommendation.click_model.SMALLEST_SPREAD`), and lists go by the time at
which they are asked for.

`ARCHIVE` holds one of each: a workspace with its models, indexes, keys and conversations, stores, and trained models
of every task. It stays as it is, since it stands for what users have on their disks. It is packed because most of a
classifier's weights are zeros, and so that no checkout changes a byte.

`python -m tests.written_before NAME` writes NAME.zip and NAME.json with the code at hand. Names of models are relative
to the unpacked folder, which must be the current one whenever a file is opened.
"""

import contextlib
import json
import logging
import multiprocessing
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from unittest.mock import patch

from fastapi.testclient import TestClient
from langchain_core.documents import Document
from typer.testing import CliRunner

from apps.cli import app
from llms import LocalChatModel, LocalClassifier, LocalEmbeddings, LocalReranker, LocalTagger, SqliteByteStore
from retrievers import FaissStore, HybridRetriever
from tests import tiny_models
from tests.apps.workspaces import surge_posts, write_csv, write_jsonl, write_workspace

__all__ = ["ARCHIVE", "EXPECTED", "QUESTIONS", "flatten", "unpack"]

ARCHIVE = Path(__file__).parent / "data" / "written_before.zip"
EXPECTED = ARCHIVE.with_suffix(".json")

MESSAGES = ("where is my parcel 99", "my money back please", "i lost the card 4", "Who won the match?")
POSTS = ("the parcel is lost and late 30", "my card is back 31", "the parcel is here 32")
INDEX_COUNTS = ("added", "updated", "removed", "unchanged", "failed")
REVIEWED = "Is a short cable enough?"
SETTINGS = """
[models]
encoder = "encoder"
encoder_engine = "torch"
encoder_precision = "float32"
device = "cpu"
[finetuning]
method = "head"
[customer_service]
clarify_probability = 1.0
min_relevance = 0.7
"""
KNOWN_QUESTIONS = """\
- id: gift-wrapping
  question: Do you wrap presents?
  answer: "Yes. It costs $4 per item."
  wordings: ["Can my order be gift wrapped?"]
- id: parking
  question: Is there parking at your shops?
  answer: "Our shops have free parking at the door."
"""
THINGS = ("card", "parcel", "order")
# what no program reads again, or makes anew by itself
LEFT_OUT = ("*.html", "*.lock", "data_report.md", "runs", "__pycache__")


# --- asking: each returns plain values that `expected.json` can hold


def ask_workspace():
    """Labels, answers, alerts and recommendations of the workspace, and whether its index is up to date."""
    classifiers = {
        name: [_label(reply) for reply in _classifier(f"shop/models/{name}").batch(list(texts))]
        for name, texts in (("intent", MESSAGES), ("topic", POSTS), ("sentiment", POSTS))
    }
    questions = (*MESSAGES, "How full should the battery be?", "Can my order be gift wrapped?")
    names = ("text", "route", "intent", "citations", "open_question")
    replies = [_pick(_run_json("ask", "-w", "shop", question)[0], names) for question in questions]
    # those of the archive say the same again and again, which makes them copies that raise no alert
    write_jsonl(Path("posts.jsonl"), surge_posts(size=30))
    names = ("id", "topic", "state")
    alerts = [_pick(alert, names) for alert in _run_json("watch", "-w", "shop", "posts.jsonl")]
    lists = [_run_json("recommend", "-w", "shop", user, "-k", "5")[0] for user in ("u3", "u4", "a newcomer")]
    return {
        "classifiers": classifiers,
        "replies": dict(zip(questions, replies, strict=True)),
        "alerts": alerts,
        "recommended": {listed["user"]: len({item["id"] for item in listed["items"]}) for listed in lists},
        "index": [_pick(report, INDEX_COUNTS) for report in _run_json("index", "-w", "shop")],
        "cached vectors": len(list(SqliteByteStore("shop/index/vectors.sqlite").yield_keys())),
    }


def ask_promotion():
    """Answers with the model and the entries that a review brought, and after going back to those before."""
    questions = (REVIEWED, "my money back 3")
    answers = {}
    for state in ("promoted", "before"):
        if state == "before":
            _run("service", "rollback", "-w", "shop")
        replies = [_run_json("ask", "-w", "shop", question)[0] for question in questions]
        labels = _classifier("shop/models/intent").batch(list(MESSAGES))
        answers[state] = {
            "replies": [_pick(reply, ("text", "route", "intent")) for reply in replies],
            "intent": [_label(reply) for reply in labels],
        }
    return answers


def ask_store():
    """Documents found by meaning, by words, by both and by a filter, also in a folder of namespaces."""
    embeddings = _embeddings()
    with FaissStore("store", embedding=embeddings, index="hnsw") as store:
        cheap = {"price": {"$lt": 20}}
        hybrid = HybridRetriever(store=store).invoke("lost card 7")
        answers = {
            "count": len(store),
            "near": _scored(store.similarity_search_with_score("my lost card 7", k=4)),
            "near and cheap": _scored(store.similarity_search_with_score("my lost card 7", k=4, filter=cheap)),
            "words": _scored(store.keyword_search("lost parcel", k=3)),
            "both": [document.id for document in hybrid],
            "cheap": [[document.id, document.metadata] for document in store.find(cheap)],
            "removed": store.get_by_ids(["d1"]),
        }
    answers["namespaces"] = FaissStore.namespaces("tenants")
    for name in answers["namespaces"]:
        with FaissStore("tenants", namespace=name, embedding=embeddings) as store:
            answers[name] = [[document.page_content, document.metadata] for document in store.all_documents()]
    return answers


def ask_models():
    """Answers of a trained classifier, one that needs its base, a tagger, an encoder and a reranker."""
    texts = list(MESSAGES)
    documents = [Document("the order 3 is late"), Document("my money is back"), Document("the order 21 is late")]
    reranked = LocalReranker("reranker", device="cpu", precision="float32").compress_documents(
        documents, "where is order 21"
    )
    tagger = LocalTagger("tagger", device="cpu", precision="float32", engine="torch")
    return {
        "classifier": [_label(reply) for reply in _classifier("classifier").batch(texts)],
        "classifier_on_base": [_label(reply) for reply in _classifier("classifier_on_base").batch(texts)],
        "tagger": [tagging.model_dump(mode="json") for tagging in tagger.batch(["my parcel is lost 7", *texts])],
        "embeddings": _embeddings("embeddings").embed_documents(texts[:2]),
        "reranker": [[document.page_content, document.metadata["rerank_score"]] for document in reranked],
    }


def ask_chat():
    """Continuations of a chat model by itself and with its adapter."""
    chat = LocalChatModel(
        model="chat", adapters={"orders": "chat_adapter"}, engine="torch", dtype="float32", device="cpu", max_tokens=24
    )
    questions = ["hi 3", "where is my order?"]
    return {
        "base": [chat.invoke(question).text for question in questions],
        "adapter": [chat.bind(adapter="orders").invoke(question).text for question in questions],
    }


def ask_conversations():
    """Everything said in the workspace's conversations, who waits, and what there is to review."""
    keys = _read_json("keys.json")
    with serve("shop") as client:
        staff, anna = (_bearer(keys[name]) for name in ("desk", "anna"))
        found = client.get("/v1/conversations", headers=anna).json()["conversations"]
        views = [client.get(f"/v1/conversations/{one['conversation']}", headers=anna).json() for one in found]
        inbox = client.get("/v1/inbox", headers=staff).json()
        revoked = client.get("/v1/me", headers=_bearer(keys["former"])).status_code
    return {
        "conversations": views,
        # the others came later
        "inbox": _pick(inbox, ("waiting", "num_waiting")),
        "status of a revoked key": revoked,
        "keys": _run_json("keys", "list", "-w", "shop"),
        # the source came later; it is what the conversations say
        "review": [
            {name: value for name, value in item.items() if name != "source"}
            for item in _run_json("service", "review", "-w", "shop")
        ],
    }


def ask_going_on():
    """What is said when the customer repeats a message and answers a question, and staff ends a hand-over."""
    keys = _read_json("keys.json")
    staff, anna = (_bearer(keys[name]) for name in ("desk", "anna"))
    with serve("shop") as client:
        (waiting,) = client.get("/v1/inbox", headers=staff).json()["waiting"]
        found = client.get("/v1/conversations", headers=anna).json()["conversations"]
        (other,) = [one["conversation"] for one in found if one["conversation"] != waiting["conversation"]]
        places = [f"/v1/conversations/{name}" for name in (other, waiting["conversation"])]
        body = {"text": "We have blocked it.", "close": True, "message_id": "s1"}
        client.post(f"{places[1]}/answers", params={"owner": "anna"}, json=body, headers=staff).raise_for_status()
        for place, number, text in (
            (places[0], 1, "where is my parcel 3"),
            (places[0], 2, "VT-1048"),
            (places[1], 2, "my money back 3"),
        ):
            body = {"message_id": f"m{number}", "text": text}
            client.post(f"{place}/messages", json=body, headers=anna).raise_for_status()
        views = [client.get(place, headers=anna).json() for place in places]
    return [[[turn["id"], turn["speaker"], turn["text"]] for turn in view["turns"]] for view in views]


def ask_recipe():
    """What a check of a recipe says of its rows, the figures of its training repeated, and what its report lacks."""
    recipe = ("finetune", "--recipe", "classifier/recipe.toml")
    (checked,) = _run_json(*recipe, "--check-only")
    (outcome,) = _run_json(*recipe, "--out", "again")
    old, new = (flatten(_read_json(f"{folder}/report.json")) for folder in ("classifier", "again"))
    return {
        "check": _pick(checked, ("num_rows", "rows_per_label", "num_near", "errors")),
        "metrics": _pick(outcome["metrics"], ("accuracy", "macro_f1")),
        "figures before": _read_json("classifier/report.json")["metrics"],
        "lacks": sorted(set(_names(old)) - set(_names(new))),
    }


QUESTIONS = {
    "workspace": ask_workspace,
    "promotion": ask_promotion,
    "store": ask_store,
    "models": ask_models,
    "chat": ask_chat,
    "conversations": ask_conversations,
    "going on": ask_going_on,
    "recipe": ask_recipe,
}


def flatten(value, path=""):
    """Return the leaves of nested lists and dicts by their paths, so that numbers can be compared nearly."""
    if not isinstance(value, dict | list) or not value:
        return {path: str(value) if isinstance(value, dict | list) else value}
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    return {leaf: found for name, inner in entries for leaf, found in flatten(inner, f"{path}/{name}").items()}


@contextlib.contextmanager
def serve(workspace):
    """Give a client of the application that `tunechain serve` would serve."""
    with patch("apps.server.serving.run_server") as run:
        _run("serve", "-w", workspace)
    with TestClient(run.call_args.args[0]) as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.05)
        yield client


def _classifier(folder):
    return LocalClassifier(folder, device="cpu", precision="float32", engine="torch")


def _embeddings(folder="encoder"):
    return LocalEmbeddings(folder, device="cpu", precision="float32", engine="torch")


def _label(reply):
    return _pick(reply.model_dump(mode="json"), ("label", "probabilities", "labels", "in_scope", "accepted"))


def _names(leaves):
    """The paths of leaves without the numbers of list entries."""
    return ["/".join(part for part in path.split("/") if not part.isdigit()) for path in leaves]


def _scored(found):
    return [[document.id, float(score)] for document, score in found]


def _pick(values, names):
    return {name: values[name] for name in names}


def _bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def _run(*args, text=None):
    result = CliRunner().invoke(app, list(args), input=text)
    if result.exit_code:
        raise AssertionError(result.output) from result.exception
    return result.stdout


def _run_json(*args):
    return [json.loads(line) for line in _run(*args, "--json").splitlines()]


def _read_json(path):
    return json.loads(Path(path).read_text("utf-8"))


# --- writing


def write(archive):
    """Write every file into a zip archive, and what is answered from them into a JSON file beside it."""
    logging.basicConfig(level=logging.ERROR)  # `tunechain serve` would log into a stream of its test runner
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "written"
        # in a process of its own, at whose end every file is closed
        process = multiprocessing.get_context("spawn").Process(target=_write_files, args=(folder,))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit("the files could not be written")
        _tidy(folder)
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
            for path in sorted(folder.rglob("*")):
                packed.write(path, path.relative_to(folder))
    answers = {}
    for question, ask in QUESTIONS.items():
        with tempfile.TemporaryDirectory() as name, contextlib.chdir(unpack(archive, Path(name))):
            answers[question] = _rounded(ask())
    text = json.dumps(answers, indent=1, ensure_ascii=False)
    archive.with_suffix(".json").write_text(f"{text}\n", encoding="utf-8")


def unpack(archive, folder):
    """Unpack the archive into `folder` and return it."""
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder


def _write_files(folder):
    logging.basicConfig(level=logging.ERROR)
    folder.mkdir(parents=True)
    with contextlib.chdir(folder):
        tiny_models.build_sentence_encoder(Path("encoder"))
        tiny_models.build_chat_model(Path("chat"))
        tiny_models.build_token_classifier(Path("tagger_base"), initializer_range=0.02)  # learns words in seconds
        _write_workspace()
        _write_stores()
        _write_models()
        _write_conversations()


def _tidy(folder):
    for pattern in LEFT_OUT:
        for path in list(folder.rglob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for log in folder.rglob("*.sqlite-wal"):
        with contextlib.closing(sqlite3.connect(str(log).removesuffix("-wal"))) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write_workspace():
    shop = write_workspace(Path("shop"), "encoder")
    (shop / "tunechain.toml").write_text(SETTINGS.lstrip(), encoding="utf-8")
    (shop / "customer_service" / "known_questions.yaml").write_text(KNOWN_QUESTIONS, encoding="utf-8")
    write_jsonl(Path("posts.jsonl"), surge_posts())
    _run("quickstart", "shop", "--json")


def _write_stores():
    draw = random.Random(0)
    texts = [f"my {draw.choice(THINGS)} is {draw.choice(('lost', 'late', 'back'))} {number}" for number in range(40)]
    metadata = [{"price": 3 * number % 50, "tags": ["a", "b"][: number % 3]} for number in range(40)]
    embeddings = _embeddings()
    with FaissStore("store", embedding=embeddings, index="hnsw") as store:
        store.add_texts(texts, metadata, ids=[f"d{number}" for number in range(40)])
        store.delete(["d1"])
        store.compact()
        store.add_texts(["my card is lost again 7"], [{"price": 7}], ids=["later"])
    for name in ("acme", "Müller & Co"):
        with FaissStore("tenants", namespace=name, embedding=embeddings) as store:
            store.add_texts([f"what {name} knows"], [{"owner": name}], ids=["only"])


def _write_models():
    labels = {"track": "where is my parcel {}", "refund": "my money back {}", "card": "i lost the card {}"}
    for name, numbers in (("train", range(10)), ("test", range(20, 23))):
        rows = [(text.format(number), label) for label, text in labels.items() for number in numbers]
        write_csv(Path(f"records/{name}.csv"), ("text", "label"), rows)
    tagged = [
        (f"my {thing} is lost {number}", [[3, 3 + len(thing), "thing"]]) for number in range(8) for thing in THINGS
    ]
    write_jsonl(Path("records/tagged.jsonl"), [{"text": text, "spans": spans} for text, spans in tagged])
    pairs = [(f"where is order {number}", f"the order {number} is late") for number in range(12)]
    write_csv(Path("records/pairs.csv"), ("query", "document"), pairs)
    chats = [
        {"messages": [{"role": "user", "content": f"hi {n}"}, {"role": "assistant", "content": f"order {n}"}]}
        for n in range(8)
    ]
    write_jsonl(Path("records/chats.jsonl"), chats)
    labelled = ("--train", "records/train.csv", "--test", "records/test.csv")
    _finetune("classifier", "classifier", *labelled, "--epochs", "4", "--learning-rate", "0.01")
    _finetune("classifier", "classifier_on_base", *labelled, "--method", "head", "--keep-adapter")
    tagged = ("--train", "records/tagged.jsonl", "--epochs", "12", "--learning-rate", "0.02", "--batch-size", "4")
    _finetune("tagger", "tagger", *tagged, "--method", "adapter", base="tagger_base")
    _finetune("embeddings", "embeddings", "--train", "records/pairs.csv", "--method", "lora", "--keep-adapter")
    _finetune("reranker", "reranker", "--train", "records/pairs.csv", "--learning-rate", "0.01", "--batch-size", "4")
    lora = ("--method", "lora", "--keep-adapter", "--rank", "4", "--epochs", "12", "--learning-rate", "0.05")
    _finetune("chat", "chat_adapter", "--train", "records/chats.jsonl", *lora, base="chat")


def _finetune(task, out, *args, base="encoder"):
    quiet = ("--device", "cpu", "--precision", "float32", "--track", "none", "--json")
    _run("finetune", task, "--base", base, "--out", out, *args, *quiet)


def _write_conversations():
    keys = {}
    for owner, role in (("anna", "customer"), ("desk", "staff"), ("former", "staff")):
        (made,) = _run_json("keys", "add", owner, "--role", role, "-w", "shop")
        keys[owner] = made["key"]
    _run("keys", "revoke", made["id"], "-w", "shop")
    Path("keys.json").write_text(json.dumps(keys, indent=1) + "\n", encoding="utf-8")
    anna = _bearer(keys["anna"])
    with serve("shop") as client:
        for texts in (("my money back 3", "where is my parcel 3"), (REVIEWED, "i lost the card 4")):
            place = f"/v1/conversations/{client.post('/v1/conversations', json={}, headers=anna).json()['id']}"
            for number, text in enumerate(texts):
                body = {"message_id": f"m{number}", "text": text}
                client.post(f"{place}/messages", json=body, headers=anna).raise_for_status()
            thumb = {"thumb": "down", "correction": "It could be shorter."}
            client.post(f"{place}/turns/m0.reply/feedback", json=thumb, headers=anna).raise_for_status()
    _run("service", "review", "-w", "shop", text="a\nThe short one.\ni\nrefund\n")
    (report,) = _run_json("service", "retrain", "-w", "shop")
    if not report["promoted"]:
        raise AssertionError(report["reason"])


def _rounded(value):
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    write(Path(f"{sys.argv[1]}.zip").resolve())
