"""Settings: their sources, their precedence, and an error that names each mistake."""

import dataclasses

import pytest
from langsmith.utils import get_env_var, tracing_is_enabled

from apps.errors import SettingsError, WorkspaceError
from apps.settings import (
    SETTINGS_NAME,
    CustomerServiceSettings,
    Settings,
    find_workspace,
    hold_back_tracing,
    load_settings,
)
from chains.customer_service import ServiceOptions


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function content -> folder of a workspace with these settings; no variable of ours is set."""
    monkeypatch.delenv("TUNECHAIN_WORKSPACE", raising=False)

    def write_settings(content=""):
        raw = content if isinstance(content, bytes) else content.encode("utf-8")
        (tmp_path / SETTINGS_NAME).write_bytes(raw)
        return tmp_path

    return write_settings


def test_an_empty_file_gives_the_defaults(write):
    settings = load_settings(write())
    assert settings.models.encoder == "all-MiniLM-L6-v2"
    assert settings.finetuning.epochs == 6
    assert settings.server.host == "127.0.0.1"


def test_folders_lie_below_the_workspace(write, tmp_path):
    settings = load_settings(write("[monitoring]\nfolder = 'posts/en'\n"))
    assert settings.models_folder == tmp_path / "models"
    assert settings.index_folder == tmp_path / "index"
    assert settings.records_folder(settings.monitoring) == tmp_path / "posts" / "en"


def test_the_environment_wins_over_the_file_setting_by_setting(write, monkeypatch):
    folder = write("[models]\nchat = 'file'\ndevice = 'cpu'\n[finetuning]\nepochs = 3\n")
    monkeypatch.setenv("TUNECHAIN_MODELS__CHAT", "variable")
    monkeypatch.setenv("tunechain_finetuning__epochs", "2")
    settings = load_settings(folder)
    assert (settings.models.chat, settings.models.device, settings.finetuning.epochs) == ("variable", "cpu", 2)


def test_a_whole_section_may_be_given_as_json(write, monkeypatch):
    monkeypatch.setenv("TUNECHAIN_SERVER", '{"port": 9}')
    assert load_settings(write()).server.port == 9


def test_the_precision_of_the_chat_model_has_its_earlier_name_too(write, monkeypatch):
    folder = write('[models]\nchat_dtype = "int8"')
    assert load_settings(folder).models.chat_precision == "int8"
    monkeypatch.setenv("TUNECHAIN_MODELS__CHAT_PRECISION", "float32")
    assert load_settings(folder).models.chat_precision == "float32"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_chinese_file_with_or_without_a_byte_order_mark_is_read(write, mark):
    content = "# 设置\r\n[customer_service]\r\nhandover_text = \"转人工。\"\r\nfolder = '客服'\r\n".encode()
    settings = load_settings(write(mark + content))
    assert settings.customer_service.handover_text == "转人工。"
    assert settings.customer_service.folder.name == "客服"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[modles]\nchat = 'x'\n", "'modles'"),
        ("colour = 1\n", "'colour'"),
        ("[models]\nchta = 'x'\n", "'models.chta'"),
        ("[finetuning]\nepochs = 0\n", "'finetuning.epochs'"),
        ("[finetuning]\nmethod = 'heads'\n", "'finetuning.method'"),
        ("[customer_service]\nmin_relevance = 1.5\n", "'customer_service.min_relevance'"),
        ("[monitoring]\nfalse_alarms_per_topic_month = inf\n", "'monitoring.false_alarms_per_topic_month'"),
        ("[monitoring]\nwarm_up_days = nan\n", "'monitoring.warm_up_days'"),
        ("[monitoring]\nwarm_up_days = 1e12\n", "'monitoring.warm_up_days'"),
        ("[server]\nport = 65536\n", "'server.port'"),
        ("models = 1\n", "'models'"),
        ("workspace = '/elsewhere'\n", "'workspace' .* has no effect"),
        ("[models\n", "no valid TOML.*line 1"),
        ("[models]\n[models]\n", "no valid TOML"),
        ("[models]\nchat = '中文'\n".encode("gb18030"), "GB18030, .*iconv -f GB18030"),
        ("[models]\n".encode("utf-16-le"), "iconv -f UTF-16LE"),
        ('[customer_service]\nconversations = "mysql://localhost/x"\n', "customer_service.conversations"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_name_and_file(write, content, named):
    with pytest.raises(SettingsError, match=named) as caught:
        load_settings(write(content))
    assert SETTINGS_NAME in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("TUNECHAIN_MODLES__CHAT", "x", "TUNECHAIN_MODLES__CHAT names no setting"),
        ("TUNECHAIN_MODELS_CHAT", "x", "TUNECHAIN_MODELS_CHAT names no setting"),
        ("tunechain_port", "1", "tunechain_port names no setting"),
        ("TUNECHAIN_MODELS__CHTA", "x", "'models.chta'"),
        ("TUNECHAIN_FINETUNING__EPOCHS", "many", "'finetuning.epochs'"),
        ("TUNECHAIN_MODELS", "{", 'field "models"'),
    ],
)
def test_a_variable_that_cannot_be_is_refused_with_its_name(write, monkeypatch, variable, value, named):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=named):
        load_settings(write())


def test_the_variable_of_the_data_sets_is_no_setting_and_no_mistake(write, monkeypatch):
    monkeypatch.setenv("TUNECHAIN_DATA", "somewhere")
    assert load_settings(write()).models.chat == ""


def test_the_named_workspace_comes_before_the_variable_and_that_before_the_current_folder(tmp_path, monkeypatch):
    for name in ("named", "variable", "here/below"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("named", "variable", "here"):
        (tmp_path / name / SETTINGS_NAME).touch()
    monkeypatch.chdir(tmp_path / "here" / "below")
    monkeypatch.delenv("TUNECHAIN_WORKSPACE", raising=False)
    assert find_workspace() == tmp_path / "here"
    monkeypatch.setenv("TUNECHAIN_WORKSPACE", str(tmp_path / "variable"))
    assert find_workspace() == tmp_path / "variable"
    assert find_workspace(tmp_path / "named") == tmp_path / "named"
    monkeypatch.setenv("TUNECHAIN_WORKSPACE", "")
    assert find_workspace() == tmp_path / "here"


def test_the_workspace_is_absolute_so_that_a_later_change_of_folder_does_not_move_it(write, monkeypatch):
    folder = write()
    monkeypatch.chdir(folder.parent)
    workspace = find_workspace(folder.relative_to(folder.parent))
    assert workspace.is_absolute()
    assert workspace == folder


def test_what_is_no_workspace_is_refused_with_the_command_that_makes_one(tmp_path, monkeypatch):
    with pytest.raises(WorkspaceError, match=r"has no tunechain\.toml.*tunechain init .*/none"):
        find_workspace(tmp_path / "none")
    monkeypatch.setenv("TUNECHAIN_WORKSPACE", str(tmp_path / "unset"))
    with pytest.raises(WorkspaceError, match=r"tunechain init .*/unset"):
        load_settings()


def test_without_any_workspace_the_message_says_what_to_do(tmp_path, monkeypatch):
    if any((folder / SETTINGS_NAME).exists() for folder in tmp_path.parents):
        pytest.skip("the temporary folder lies in a workspace")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNECHAIN_WORKSPACE", raising=False)
    with pytest.raises(WorkspaceError, match="tunechain init DIR, or name one with --workspace DIR"):
        find_workspace()


def test_settings_are_values_equal_hashable_and_unchangeable(write):
    first, second = load_settings(write()), load_settings(write())
    assert first == second
    assert hash(first) == hash(second)
    with pytest.raises(ValueError, match="frozen"):
        first.models = None
    assert isinstance(first, Settings)


def test_defaults_of_settings_and_of_the_chain_are_the_same():
    # written twice, so that reading settings does not load the chains
    settings = CustomerServiceSettings()
    for field in dataclasses.fields(ServiceOptions):
        if field.name in CustomerServiceSettings.model_fields:
            assert getattr(settings, field.name) == field.default, field.name


@pytest.mark.parametrize("name", ["LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"])
@pytest.mark.parametrize("allowed", [False, True])
def test_tracing_needs_the_settings_whatever_the_environment_says(tmp_path, monkeypatch, name, allowed):
    for other in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(other, "")
    monkeypatch.setenv(name, "true")
    get_env_var.cache_clear()
    (tmp_path / SETTINGS_NAME).write_text("tracing = true\n" if allowed else "")
    try:
        note = hold_back_tracing(load_settings(tmp_path))
        assert bool(tracing_is_enabled()) is allowed
    finally:
        get_env_var.cache_clear()
    assert name in note
    assert ("sent to LangSmith" in note) is allowed


def test_without_a_tracing_variable_nothing_is_said(tmp_path, monkeypatch):
    for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / SETTINGS_NAME).write_text("")
    assert hold_back_tracing(load_settings(tmp_path)) is None


@pytest.mark.parametrize(("chosen", "served"), [("auto", "own"), ("own", "own"), ("shared", "shared")])
def test_a_served_chat_model_has_a_process_of_its_own_unless_that_is_unwanted(tmp_path, chosen, served):
    (tmp_path / SETTINGS_NAME).write_text(f'[models]\nchat_process = "{chosen}"\n', "utf-8")
    settings = load_settings(tmp_path)
    assert (settings.models.chat_process, settings.as_served().models.chat_process) == (chosen, served)
