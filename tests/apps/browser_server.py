"""A server over fakes for tests with a browser: `python -m tests.apps.browser_server FOLDER LANGUAGE [OWNER:ROLE ...]`.

Its first line says where it listens and which keys it has; it ends when its standard input does.
"""

import json
import socket
import sys
import threading
from datetime import timedelta
from pathlib import Path

import uvicorn

from apps.applications import Applications
from apps.event_log import EventLog
from apps.event_recorder import EventRecorder, LiveRecord
from apps.keys import KeyStore
from apps.server.app import create_app
from apps.settings import SETTINGS_NAME, load_settings
from chains.monitoring import build_monitoring_chain
from chains.recommendation import PHRASES, RecommendationChain, RecommendationOptions
from retrievers import Interactions, Item, ItemCatalogue, utc_now
from tests.apps.conftest import SENTIMENT, TOPIC, make_stream
from tests.apps.service_worlds import make_service_chain, write_service_workspace
from tests.apps.workspaces import write_jsonl
from tests.chains.recommendation.worlds import START, make_catalogue, make_chain, make_events, train_model

WORDS = {
    "en": "",
    "zh": '[customer_service]\nhandover_text = "这个问题我不太确定，已经转给人工客服，同事会尽快回复您。"\n',
}


HOSTILE = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>")


def make_shop(events_file: Path, language: str) -> tuple[RecommendationChain, EventRecorder]:
    """A shop whose people have known tastes, with two items that attack the page, and its log of events."""
    hostile = [Item(id=f"hostile{at}", title=f"hostile {text}", tags=(text,)) for at, text in enumerate(HOSTILE)]
    catalogue = ItemCatalogue([*make_catalogue().values(), *hostile])
    # events of the page are of today, so those of the shop are of the days before
    shift = utc_now() - timedelta(days=62) - START
    events = [event.model_copy(update={"time": event.time + shift}) for event in make_events()]
    interactions = Interactions(events, items=list(catalogue))
    log = EventLog(events_file)
    log.replace_file("events.csv", "made", events)
    options = RecommendationOptions(phrases=PHRASES[language])
    chain = make_chain(
        train_model(),
        catalogue=catalogue,
        interactions=interactions,
        record=LiveRecord(log, interactions, log.read()[1]),
        clock=utc_now,
        options=options,
    )
    return chain, EventRecorder(log=log, items=set(catalogue))


def main(folder: str, language: str, *holders: str) -> None:
    if (Path(folder) / SETTINGS_NAME).exists():  # it is started again
        settings = load_settings(Path(folder))
    else:
        text = f'language = "{language}"\n[server]\nburst = 1000\n{WORDS[language]}'
        settings = write_service_workspace(Path(folder), settings=text)
        write_jsonl(settings.workspace / "monitoring" / "stream.jsonl", make_stream())
    keys = {
        holder: KeyStore.of(settings).add(owner, role=role)[1]
        for holder in holders
        for owner, role in [holder.split(":")]
    }
    shop, recorder = make_shop(settings.events_file, language)
    chains = Applications(
        customer_service=make_service_chain(settings),
        monitoring=build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT),
        recommendation=shop,
        events=recorder,
        classifiers={"topic": TOPIC, "sentiment": SENTIMENT},
    )
    server = uvicorn.Server(uvicorn.Config(create_app(settings, applications=chains), log_level="warning"))
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(json.dumps({"address": f"http://127.0.0.1:{listener.getsockname()[1]}", "keys": keys}) + "\n")
    sys.stdout.flush()

    def stop_at_end_of_input() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    server.run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
