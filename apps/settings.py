"""The settings of a workspace; the only reader of the environment and of tunechain.toml."""

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SettingsSourceError
from typing_extensions import override

from apps.errors import SettingsError, WorkspaceError
from apps.sources.addresses import check_address
from llms.errors import TextEncodingError
from llms.field_errors import describe_fault, field_of
from llms.texts import decode_text
from llms.texts.private_data import PrivateKind

SETTINGS_NAME = "tunechain.toml"
STARTER_NAME = "starter"
_PREFIX = "TUNECHAIN_"
_SECRETS = frozenset({"webhook_url", "webhook_secret", "smtp_password", "sources"})
_WORKSPACE_VARIABLE = f"{_PREFIX}WORKSPACE"
_OTHER_VARIABLES = frozenset({f"{_PREFIX}DATA"})  # read by tests and benchmarks: the folder of public data sets
_TRACING = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(_Section):
    """Which models are used; a reference is a folder, a hub id or `all-MiniLM-L6-v2`."""

    encoder: str = "all-MiniLM-L6-v2"
    encoder_engine: Literal["auto", "torch", "openvino"] = "auto"
    encoder_precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    chat: str = ""  # empty: answers quote the knowledge base; "starter": the small model in this package
    chat_engine: Literal["auto", "torch", "openvino"] = "auto"
    chat_precision: Literal["auto", "float32", "bfloat16", "int8", "int4"] = "auto"
    chat_process: Literal["auto", "own", "shared"] = "auto"  # auto: its own where it is served
    chat_memory_mb: int = Field(default=0, ge=0)  # above it, its own process is started again; 0: no ceiling
    chat_cache_mb: int = Field(default=1024, gt=0)  # of what the chat model keeps of prompts, to read them once
    chat_max_tokens: int = Field(default=256, ge=1)  # of an answer, its reasoning included
    chat_temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    chat_thinking: Literal["auto", "on", "off"] = "auto"  # auto: as the model's template has it
    chat_adapter: str = ""  # folder of a PEFT adapter, relative to the workspace
    device: str = "auto"
    allow_download: bool = False

    @model_validator(mode="before")
    @classmethod
    def _take_earlier_name(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "chat_dtype" in values:  # of chat_precision, which comes first
            values = {"chat_precision": values["chat_dtype"], **values}
            del values["chat_dtype"]
        return values


class FinetuningSettings(_Section):
    """How the classifiers of the workspace are trained."""

    method: Literal["full", "head", "auto"] = "full"
    epochs: int = Field(default=6, ge=1)
    seed: int = 0


class CustomerServiceSettings(_Section):
    """Where the records lie and when an answer is good enough."""

    folder: Path = Path("customer_service")
    outside_intent: str = ""  # of rows in intents.csv that are about nothing the templates answer
    min_relevance: float = Field(default=0.35, ge=0.0, le=1.0)
    word_weight: float = Field(default=0.25, gt=0.0, allow_inf_nan=False)
    wrong_answer_budget: float = Field(default=0.05, gt=0.0, lt=1.0)  # share of messages; read by the answer router
    false_hit_budget: float = Field(default=0.02, gt=0.0, lt=1.0)  # of known_questions.yaml
    clarify_probability: float = Field(default=0.8, ge=0.0, le=1.0)
    link_hosts: tuple[str, ...] = ()  # other links never stand in answers from the knowledge base
    clarify_text: str = "What is it about: 1. {first}, or 2. {second}?"
    language_workspaces: tuple[Path, ...] = ()  # their customer service answers messages in their language
    handover_text: str = "I am not sure about this one, so I am passing it to a colleague, who will get back to you."
    conversations: str = Field(default="", pattern="^(postgres(ql)?://.+)?$")  # empty: a file of the workspace
    decisions_with_text: bool = False  # whether the log of decisions holds what customers wrote


class TextFilterSettings(_Section):
    """What answers may not hold, and which messages are left to people."""

    private_data: tuple[PrivateKind, ...] = ()  # of others, in what a chat model writes
    lists: str = ""  # file of words and phrases in the workspace, such as "text_filter.yaml"
    classifier: str = ""  # folder of a classifier, relative to the workspace
    labels: tuple[str, ...] = ()  # of the classifier, which hold a text back


class MonitoringSettings(_Section):
    """Where the records lie and how many false alarms are accepted."""

    folder: Path = Path("monitoring")
    false_alarms_per_topic_month: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    warm_up_days: float = Field(default=7.0, gt=0.0, le=366.0)
    time_zone: str = "UTC"  # whose day and weekend people follow, such as "Asia/Shanghai"
    negative_label: str = ""  # "": the label of the sentiment model that is read as this, such as "Negative" or "负面"
    positive_label: str = ""
    sources: tuple[SecretStr, ...] = ()  # folders, feeds and Redis streams that the server reads; may hold passwords

    @field_validator("sources")
    @classmethod
    def _check_sources(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for address in value:
            check_address(address.get_secret_value())
        return value


class AlertSettings(_Section):
    """Who is told of alerts of opinion monitoring."""

    log: bool = True
    file: str = ""  # of one JSON object a line, in the workspace
    webhook_url: SecretStr = SecretStr("")  # http:// or https://; it may hold a token
    webhook_secret: SecretStr = SecretStr("")  # of the signature
    mail_to: tuple[str, ...] = ()
    mail_from: str = "tunechain@localhost"
    smtp_host: str = "localhost"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_security: Literal["none", "starttls", "tls"] = "none"
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    max_per_day: int = Field(default=20, ge=1)  # the others come in one digest
    max_age_hours: float = Field(default=24.0, gt=0.0)  # of what is told: a recorded stream is no news; inf: all

    @field_validator("webhook_url")
    @classmethod
    def _check_url(cls, value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
            is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_usable = False
        if value.get_secret_value() and not is_usable:
            msg = "it must be an address that begins with http:// or https://"
            raise ValueError(msg)
        return value

    @field_validator("mail_from", "mail_to")
    @classmethod
    def _check_address(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for address in (value,) if isinstance(value, str) else value:
            if not re.fullmatch(r"[^@\s,<>]+@[^@\s,<>]+", address):
                msg = f"a mail address has the form name@host, got {address!r}"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _check_login(self) -> "AlertSettings":
        if self.smtp_user and self.smtp_security == "none" and self.smtp_host not in ("localhost", "127.0.0.1", "::1"):
            msg = 'smtp_user would send its password unencrypted; set smtp_security to "starttls" or "tls"'
            raise ValueError(msg)
        return self


class RecommendationSettings(_Section):
    """Where the records lie and how varied a list is."""

    folder: Path = Path("recommendation")
    diversity: float = Field(default=0.5, ge=0.0, le=1.0)
    filter_already_seen: bool = True
    look_again_days: float = Field(default=7.0, ge=0.0)  # what was looked at comes again after them; inf: never
    exploration_share: float = Field(default=0.0, ge=0.0, lt=1.0)  # of places after the second, for new items


class ServerSettings(_Section):
    """Where the server listens, and how often one key may ask; other addresses than loopback need keys."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    requests_per_minute: float = Field(default=120.0, gt=0.0, allow_inf_nan=False)
    burst: int = Field(default=30, ge=1)
    max_running: int = Field(default=2, ge=1, le=1_000)
    max_waiting: int = Field(default=16, ge=0, le=100_000)
    deadline_s: float = Field(default=120.0, gt=0.0, allow_inf_nan=False)
    send_timeout_s: float = Field(default=10.0, gt=0.0, allow_inf_nan=False)
    head_timeout_s: float = Field(default=10.0, gt=0.0, allow_inf_nan=False)
    max_connections: int = Field(default=1_000, ge=1)
    drain_s: float = Field(default=1.0, ge=0.0, le=600.0)
    min_free_mb: int = Field(default=100, ge=0)
    shutdown_s: int = Field(default=20, ge=1, le=600)


def _read_tenants(value: object) -> object:
    """Return the pairs of a table of tenants; settings are values, which a dict is not."""
    if not isinstance(value, Mapping):
        return value
    for name, folder in value.items():
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", str(name)):
            msg = f"a tenant's name is of a-z, 0-9, _ and -, at most 63 long; got {name!r}"
            raise ValueError(msg)
        if not isinstance(folder, str | Path) or not str(folder):
            msg = f"the tenant {name!r} needs the folder of a workspace, got {folder!r}"
            raise ValueError(msg)
    return tuple(sorted(value.items()))


TenantFolders = Annotated[tuple[tuple[str, Path], ...], BeforeValidator(_read_tenants)]


class _TomlSource(TomlConfigSettingsSource):
    """The settings file, whose bytes are read like those of every other file."""

    @override
    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        values = tomllib.loads(decode_text(file_path.read_bytes()))
        if "workspace" in values:
            msg = f"setting 'workspace' of {file_path} has no effect: the workspace is the file's folder; remove it"
            raise SettingsError(msg)
        return values


class Settings(BaseSettings):
    """Everything that can be set; `TUNECHAIN_MODELS__CHAT=...` in the environment overrides `[models] chat`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=_PREFIX, env_nested_delimiter="__")

    workspace: Path = Field(exclude=True)
    language: Literal["en", "zh"] = "en"  # of reports, and of what staff read about answers
    tracing: bool = False  # whether LangChain may send what is asked and answered to LangSmith
    models: ModelSettings = ModelSettings()
    finetuning: FinetuningSettings = FinetuningSettings()
    customer_service: CustomerServiceSettings = CustomerServiceSettings()
    text_filter: TextFilterSettings = TextFilterSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    alerts: AlertSettings = AlertSettings()
    recommendation: RecommendationSettings = RecommendationSettings()
    server: ServerSettings = ServerSettings()
    tenants: TenantFolders = ()  # NAME = "folder" of a workspace of its own, for the owners NAME and NAME/...
    _built_in: Path | None = PrivateAttr(default=None)

    def as_served(self) -> "Settings":
        """Return these settings as a server uses them: a chat model that breaks must not take the server with it."""
        if self.models.chat_process != "auto":
            return self
        return self.model_copy(update={"models": self.models.model_copy(update={"chat_process": "own"})})

    def with_encoder(self, encoder: str, *, built_in: Path) -> "Settings":
        """Return these settings with another encoder, what is trained and indexed with it in a folder of its own."""
        changed = self.model_copy(update={"models": self.models.model_copy(update={"encoder": encoder})})
        changed._built_in = built_in  # of this very class
        return changed

    @property
    def models_folder(self) -> Path:
        """Where trained models lie."""
        return (self._built_in or self.workspace) / "models"

    @property
    def index_folder(self) -> Path:
        """Where vector stores lie."""
        return (self._built_in or self.workspace) / "index"

    @property
    def vector_cache(self) -> Path:
        """Where vectors of indexed texts are kept, so that a text that only moved is not embedded again."""
        return self.workspace / "index" / "vectors.sqlite"

    @property
    def encoder_change_folder(self) -> Path:
        """Where everything is built for another encoder, as long as that is not finished."""
        return self.workspace / ".encoder-change"

    @property
    def conversations_file(self) -> Path:
        """Where conversations are kept, unless a database is set."""
        return self.workspace / "conversations.sqlite"

    @property
    def monitoring_file(self) -> Path:
        """Where the live monitor keeps its state."""
        return self.workspace / "monitoring.sqlite"

    @property
    def feedback_file(self) -> Path:
        """Where it is kept what people thought of answers."""
        return self.workspace / "feedback.sqlite"

    @property
    def events_file(self) -> Path:
        """Where it is kept what people did with items."""
        return self.workspace / "events.sqlite"

    def records_folder(self, section: CustomerServiceSettings | MonitoringSettings | RecommendationSettings) -> Path:
        """Return the folder of a section's records."""
        return self.workspace / section.folder

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        workspace: Path = init_settings()["workspace"]
        return init_settings, env_settings, _TomlSource(settings_cls, workspace / SETTINGS_NAME)


def load_settings(workspace: Path | None = None) -> Settings:
    """Return the settings of a workspace; see `find_workspace`.

    Raises:
        SettingsError: for a setting that does not exist or has a value it cannot have.
    """
    folder = find_workspace(workspace)
    _refuse_unknown_variables()
    try:
        return Settings(workspace=folder)
    except SettingsSourceError as error:
        msg = f"an environment variable {_PREFIX}... cannot be used: {error}; it must hold JSON, or name one setting"
        raise SettingsError(msg) from error
    except TextEncodingError as error:
        msg = f"{folder / SETTINGS_NAME} {error}"
        raise SettingsError(msg) from error
    except tomllib.TOMLDecodeError as error:
        msg = f"{folder / SETTINGS_NAME} is no valid TOML: {error}"
        raise SettingsError(msg) from error
    except OSError as error:
        msg = f"{folder / SETTINGS_NAME} cannot be read: {error.strerror}"
        raise SettingsError(msg) from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        is_secret = not _SECRETS.isdisjoint(problem["loc"])
        fault = describe_fault(problem, show_value=not is_secret)
        msg = f"setting {field_of(problem)!r} of {folder / SETTINGS_NAME} (or its environment variable): {fault}"
        raise SettingsError(msg) from error


def read_settings_text(workspace: Path) -> str:
    """Return what the settings file of a workspace says."""
    return decode_text((workspace / SETTINGS_NAME).read_bytes())


def refuse_encoder_from_environment() -> None:
    """Refuse an encoder that is set in the environment: it would win over a change of the file.

    Raises:
        SettingsError: naming the variable.
    """
    for name in sorted(os.environ):
        if name.upper() in (f"{_PREFIX}MODELS", f"{_PREFIX}MODELS__ENCODER"):
            msg = f"the environment variable {name} wins over {SETTINGS_NAME}; remove it, then change the encoder"
            raise SettingsError(msg)


def find_workspace(workspace: Path | None = None) -> Path:
    """Return the workspace: the one given, else TUNECHAIN_WORKSPACE, else the nearest upwards from here.

    Raises:
        WorkspaceError: if there is none.
    """
    named = workspace or (Path(name) if (name := os.environ.get(_WORKSPACE_VARIABLE)) else None)
    if named is not None:
        if (named / SETTINGS_NAME).is_file():
            return named.resolve()
        msg = f"{named} is no workspace (it has no {SETTINGS_NAME}); make one with: tunechain init {named}"
        raise WorkspaceError(msg)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / SETTINGS_NAME).is_file():
            return folder
    msg = (
        f"no {SETTINGS_NAME} in {here} or above it; make a workspace with: tunechain init DIR, "
        "or name one with --workspace DIR"
    )
    raise WorkspaceError(msg)


def _refuse_unknown_variables() -> None:
    """Refuse what looks like a setting of ours but is none: a misspelt name must not be ignored."""
    for name in sorted(os.environ):
        section = name.upper().removeprefix(_PREFIX).split("__")[0].lower()
        is_ours = name.upper().startswith(_PREFIX) and name.upper() not in _OTHER_VARIABLES
        if is_ours and section not in Settings.model_fields:
            known = ", ".join(sorted(Settings.model_fields))
            msg = f"the environment variable {name} names no setting; after {_PREFIX} comes one of: {known}"
            raise SettingsError(msg)


def hold_back_tracing(settings: Settings) -> str | None:
    """Keep LangChain from sending customers' words away, unless the settings ask for it; return what to tell people.

    A developer often has a tracing variable set in the shell, and forgets it.
    """
    asked = [name for name in _TRACING if os.environ.get(name, "").strip().lower() in ("true", "1")]
    if not asked:
        return None
    if settings.tracing:
        return f"what is asked and answered here is sent to LangSmith: {asked[0]} is set, and tracing = true"
    for name in _TRACING:
        os.environ[name] = "false"
    if cached := sys.modules.get("langsmith.utils"):
        cached.get_env_var.cache_clear()  # it reads the environment once
    return f"{asked[0]} is set in the environment, but nothing is traced; tracing = true in tunechain.toml allows it"


def prepare_process() -> None:
    """Set what the model libraries read from the environment when they load; call it before they do.

    Values that are set already stay.
    """
    # threads that wait for work sleep instead of spinning: on a busy machine training is 2 to 10 times faster
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # the same for NumPy's; 2 to the 4th clock ticks
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
