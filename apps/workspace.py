"""Creation of a workspace: a folder of records and settings that its owner replaces by their own."""

import re
import shutil
from pathlib import Path
from typing import Literal

from apps.errors import WorkspaceError
from apps.settings import SETTINGS_NAME
from apps.settings_file import set_encoder

Language = Literal["en", "zh"]
_SAMPLES = Path(__file__).parent / "samples"
# lines of Chinese settings for an encoder that does not read Chinese, which say what holds for another one
_WITHOUT_CHINESE = re.compile(r"^(?=(?:min_relevance|word_weight) = .*；懂中文的编码器：)", re.MULTILINE)
_SETTINGS_TEXT = {
    "en": """\
# Settings of this workspace. Everything here is optional; an unknown name is an error.
# An environment variable wins over this file: TUNECHAIN_MODELS__CHAT=my-model

language = "en"                # of reports, and of what staff read about answers; "zh" for Chinese

[models]
encoder = "all-MiniLM-L6-v2"   # folder or hub id of a sentence encoder
# encoder_engine = "auto"      # "openvino" exports the encoder once and is faster on a CPU; "torch"
# encoder_precision = "auto"   # "float32", "bfloat16"; with openvino also "int8", the fastest
chat = ""                      # folder or hub id of a chat model; empty: answers quote the knowledge base
# chat_engine = "auto"         # "torch" or "openvino"; auto takes what is fastest and right for the model
# chat_precision = "auto"      # "float32", "bfloat16", or weights of 8 or 4 bits: "int8", "int4"
# chat_max_tokens = 256        # longest answer, reasoning included
# chat_thinking = "auto"       # "off" switches the reasoning of models that can do without

[finetuning]
method = "full"                # "head" trains the last layer only, in seconds; "auto" asks held-out rows what pays
epochs = 6

[customer_service]             # intents.csv, templates.yaml, knowledge/*.md
min_relevance = 0.35           # below it a passage does not answer a question; 0 to 1
# outside_intent = "other"     # the intent of rows in intents.csv that are about anything else
# word_weight = 0.25           # of shared words beside meaning; more where the encoder does not know the language
# language_workspaces = ["shop-zh"]  # workspaces whose customer service answers in their language
# conversations = ""           # empty: a file here, for one server; "postgresql://..." for several
# decisions_with_text = false  # true: the log of decisions holds what customers wrote

# clarify_probability = 0.8    # offer the two likeliest intents from here on; 1 never asks
# link_hosts = ["shop.example"]  # whose links may stand in answers from the knowledge base
# wrong_answer_budget = 0.05   # share of all messages that may be answered wrong; less means more handovers
# false_hit_budget = 0.02      # of known_questions.yaml: messages that may get the answer of another question

# [text_filter]                # what replies may not hold, and which messages are left to people
# lists = "text_filter.yaml"   # incoming and outgoing lists of words
# private_data = ["card", "iban", "id_number"]  # of others, in what a chat model writes

[monitoring]                   # labelled.csv, stream.jsonl
false_alarms_per_topic_month = 0.1
# time_zone = "Europe/Berlin"  # whose day and weekend the writers of posts follow
# sources = ["incoming", "https://news.example.org/rss", "redis://localhost:6379/0?stream=posts"]  # read by the server

# [alerts]                     # who is told of alerts, beside the log
# file = "alerts.jsonl"
# webhook_url = "https://hooks.example.org/x"
# mail_to = ["press@example.org"]
# smtp_host = "mail.example.org"

[recommendation]               # items.csv, events.csv
diversity = 0.5                # 0: by interest alone; 1: as varied as possible
# look_again_days = 7          # after which what was looked at and not bought comes again
# exploration_share = 0.0      # of the places after the second, for items that hardly anybody has used

# [server]                     # other addresses than 127.0.0.1 need keys: tunechain keys add NAME --role staff
# requests_per_minute = 120    # of one key

# [tenants]                    # owners with a workspace of their own
# acme = "../acme"             # for the keys of acme and acme/NAME
""",
    "zh": """\
# 本工作区的设置。每一项都可以省略；写错名称会报错。
# 环境变量优先于本文件，例如：TUNECHAIN_MODELS__CHAT=my-model

language = "zh"                # 报告的语言，也是客服人员看到的说明所用的语言

[models]
encoder = "all-MiniLM-L6-v2"   # 句子编码器：文件夹或模型仓库名
# encoder_engine = "auto"      # 可选 "openvino"（首次使用时导出，CPU 上更快）、"torch"
# encoder_precision = "auto"   # 可选 "float32"、"bfloat16"；用 openvino 时还可选最快的 "int8"
chat = ""                      # 对话模型：文件夹或模型仓库名；留空则直接引用知识库原文
# chat_engine = "auto"         # 可选 "torch"、"openvino"；auto 自动选择对该模型最快且正确的引擎
# chat_precision = "auto"      # 可选 "float32"、"bfloat16"，或 8 位、4 位权重："int8"、"int4"
# chat_max_tokens = 256        # 回答的最大长度（含推理）
# chat_thinking = "auto"       # "off" 关闭可不推理的模型的推理

[finetuning]
method = "full"                # "head" 只训练最后一层，几秒钟即可完成；"auto" 由留出数据决定是否值得训练全部
epochs = 6

[customer_service]             # intents.csv、templates.yaml、knowledge/*.md
min_relevance = 0.3            # 相关度低于此值的段落不用于回答，取值 0 到 1；懂中文的编码器：0.35
# outside_intent = "other"     # intents.csv 中与所有意图都无关的消息所用的意图名
word_weight = 1.0              # 词语相对语义的权重；默认编码器只懂英文，所以靠词语；懂中文的编码器：0.25
# clarify_probability = 0.8    # 两个最可能意图的概率之和达到此值时，反问客户是哪一个；1 表示从不反问
# link_hosts = ["shop.example"]  # 知识库答案中允许出现的链接域名
# wrong_answer_budget = 0.05   # 允许答错的消息比例；越小，转人工越多
# false_hit_budget = 0.02      # known_questions.yaml：允许误配到其他问题的比例
clarify_text = "请问您想问的是：1. {first}，还是 2. {second}？"
# language_workspaces = ["shop-en"]  # 用其他语言回答顾客的工作区
# conversations = ""           # 留空：对话保存在本文件夹，供一个服务使用；多个服务共用请填 "postgresql://..."
# decisions_with_text = false  # 设为 true 时，决策日志会包含顾客的原话
handover_text = "这个问题我不太确定，已经转给人工客服，同事会尽快回复您。"

# [text_filter]                # 回复中不得出现的内容，以及交给人工处理的消息
# lists = "text_filter.yaml"   # incoming（来信）和 outgoing（回复）的词表
# private_data = ["card", "iban", "id_number"]  # 对话模型不得写出的他人隐私

[monitoring]                   # labelled.csv、stream.jsonl
false_alarms_per_topic_month = 0.1
# time_zone = "Asia/Shanghai"  # 发帖者所在的时区，决定昼夜与周末的划分
# sources = ["incoming", "https://news.example.org/rss", "redis://localhost:6379/0?stream=posts"]  # 服务器读取

# [alerts]                     # 除日志外，还通知谁
# file = "alerts.jsonl"
# webhook_url = "https://hooks.example.org/x"
# mail_to = ["press@example.org"]
# smtp_host = "mail.example.org"

[recommendation]               # items.csv、events.csv
diversity = 0.5                # 0：只看兴趣；1：尽量多样
# look_again_days = 7          # 看过但没买的商品，多少天后可以再次出现
# exploration_share = 0.0      # 第二位之后的位置中，留给几乎没人用过的商品的比例

# [server]                     # 监听 127.0.0.1 以外的地址需要密钥：tunechain keys add 名称 --role staff
# requests_per_minute = 120    # 每个密钥每分钟的请求数

# [tenants]                    # 拥有独立工作区的租户
# acme = "../acme"             # 用于 acme 和 acme/名称 的密钥
""",
}


def with_encoder(text: str, encoder: str) -> str:
    """Return settings with another encoder, and without what they say for one that reads English only."""
    return set_encoder(_WITHOUT_CHINESE.sub("# ", text), encoder)


def refuse_used_folder(folder: Path) -> None:
    """Refuse a folder that already holds anything, since nothing is ever overwritten.

    Raises:
        WorkspaceError: naming the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"{folder} is not empty; name a new folder, so that nothing is overwritten"
        raise WorkspaceError(msg)


def create_workspace(folder: Path, *, language: Language = "en", encoder: str | None = None) -> list[str]:
    """Write settings and sample records into `folder` and return the files' paths below it.

    Args:
        folder: a new or an empty one.
        language: of the sample records.
        encoder: the one to use; None takes the one that is installed with this library.

    Raises:
        WorkspaceError: if the folder already holds anything, or cannot be written.
    """
    refuse_used_folder(folder)
    text = _SETTINGS_TEXT[language] if encoder is None else with_encoder(_SETTINGS_TEXT[language], encoder)
    try:
        shutil.copytree(_SAMPLES / language, folder, dirs_exist_ok=True)
        # the settings come last: where they are, the workspace is complete
        (folder / SETTINGS_NAME).write_text(text, encoding="utf-8")
    except OSError as error:
        # a copy that fails for many files is one error with a list of them
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        msg = f"{folder} cannot be written: {reason}; remove what was written of it, and name a place with room"
        raise WorkspaceError(msg) from error
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
