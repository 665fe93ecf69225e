"""Columns of tables and keys of records: what each means, guessed by its name and its values."""

from collections import Counter
from collections.abc import Mapping, Sequence

from apps.service_learning.layout import ANY_ROLE
from apps.service_learning.roles import known_role, role_of_name, staff_phrases
from apps.service_learning.times import parse_time
from chains.customer_service.learning import LoggedRole
from llms.texts import fold_text

_NAMES: Mapping[str, str] = {  # meaning -> names of columns, the surest first, without signs and spaces
    "conversation": """
        conversationid conversation convid chatid dialogueid dialogid sessionid session threadid thread ticketid caseid
        convoid 会话id 会话编号 对话id 对话编号 会话 对话 聊天id 工单id 工单编号 工单号
    """,
    "time": """
        time timestamp createdat datetime sentat messagetime msgtime sendtime date created createtime
        时间 发送时间 消息时间 创建时间 日期时间 日期 提问时间
    """,
    "role": """
        role senderrole sendertype speaker authortype sender author from usertype direction inbound who msgfrom type
        角色 发送方 发送者类型 说话人 发言人 发送者 发送人 消息来源 身份 昵称
    """,
    "text": """
        text message content body utterance msg messagetext comment description messagebody
        消息内容 聊天内容 消息 内容 文本 正文 描述
    """,
    "question": """
        question query customermessage customerquestion userquestion instruction prompt usermessage request input q user
        customer 问题 用户问题 客户问题 提问 咨询内容 顾客问题 用户提问
    """,
    "answer": """
        answer response reply agentanswer agentreply agentmessage output completion assistant botanswer a agent
        回答 答案 客服回复 回复 解答 回复内容 客服回答
    """,
    "subject": "subject title summary 主题 标题",
    "customer": """
        customerid userid customer requesterid requester requesteremail buyer client contactid contact user
        客户id 客户编号 用户id 买家昵称 买家 客户 用户 顾客
    """,
    "resolved": "isresolved resolved solved status state 是否解决 已解决 解决状态 工单状态 状态",
    "rating": "rating csat satisfaction satisfactionscore score feedback thumbs stars 评分 满意度 评价 服务评价",
    "tags": "tags tag category topic label intent 标签 分类 类别 问题类型",
}
_MOST_ROLES = 12
_SHARE_OF_TIMES = 0.8
_FEWEST_CONVERSATIONS = 3


def guess_columns(header: Sequence[str], rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return meaning -> column, by the names first and then by the values; what nothing speaks for is left out."""
    plain = {_plain(name): name for name in reversed(header)}
    found: dict[str, str] = {}
    for meaning, names in _NAMES.items():
        for name in names.split():
            if name in plain and plain[name] not in found.values():
                found[meaning] = plain[name]
                break
    if {"question", "answer"} <= found.keys() and "role" in found and "text" not in found:
        del found["role"]  # "from" of a table of pairs is a channel
    if not {"question", "answer"} <= found.keys():
        _give_back(found, plain)
    return _by_values(found, header, rows)


def guess_roles(
    column: str, speakers: Sequence[tuple[str, str, str]]
) -> tuple[dict[str, LoggedRole | None], list[str]]:
    """Return who each speaker of a column is, and warnings about what was guessed.

    Args:
        column: its name.
        speakers: conversation, speaker and text of messages.
    """
    counts = Counter(speaker for _, speaker, _ in speakers)
    if _plain(column) in ("inbound", "iscustomer", "fromcustomer") and {fold_text(name) for name in counts} <= {
        "true",
        "false",
        "1",
        "0",
    }:
        return {name: "customer" if fold_text(name) in ("true", "1") else "agent" for name in counts}, []
    roles = {name: known_role(name)[1] for name in counts if known_role(name)[0]}
    strangers = [name for name in counts if name not in roles]
    if not strangers:
        return roles, []
    return _roles_of_names(strangers, speakers, roles)


def _roles_of_names(
    strangers: list[str], speakers: Sequence[tuple[str, str, str]], roles: dict[str, LoggedRole | None]
) -> tuple[dict[str, LoggedRole | None], list[str]]:
    conversations: dict[str, set[str]] = {}
    for conversation, speaker, _ in speakers:
        conversations.setdefault(speaker, set()).add(conversation)
    for name in strangers:
        if (role := role_of_name(name)) is not None:
            roles[name] = role
        elif len(conversations[name]) >= _FEWEST_CONVERSATIONS:
            roles[name] = "agent"
    staff = [name for name in strangers if roles.get(name) in ("agent", "bot")]
    if not any(role in ("agent", "bot") for role in roles.values()):
        says = {name: staff_phrases(text for _, who, text in speakers if who == name) for name in strangers}
        best = max(strangers, key=says.__getitem__)
        if says[best]:
            roles[best], staff = "agent", [best]
    if not any(role == "customer" for role in roles.values()):
        roles[ANY_ROLE] = "customer"
    shown = ", ".join(staff[:5]) or "nobody"
    return roles, [
        f"the roles are guessed from names: {shown} for the company, all others customers; name them if not so"
    ]


def _give_back(found: dict[str, str], plain: Mapping[str, str]) -> None:
    """Take single questions or answers as what else their names could mean."""
    for meaning in ("question", "answer"):
        name = found.pop(meaning, None)
        if name is not None and meaning == "question" and "text" not in found:
            found["text"] = name
    for name in _NAMES["customer"].split():
        if "customer" not in found and name in plain and plain[name] not in found.values():
            found["customer"] = plain[name]


def _by_values(found: dict[str, str], header: Sequence[str], rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    free = [name for name in header if name not in found.values()]
    cells = {name: [row[name] for row in rows if row.get(name, "").strip()] for name in free}
    if "role" not in found and "question" not in found:
        fitting = [
            name
            for name in free
            if cells[name] and len(set(cells[name])) <= _MOST_ROLES and all(known_role(cell)[0] for cell in cells[name])
        ]
        if fitting:
            found["role"] = fitting[0]
            free.remove(fitting[0])
    if "time" not in found:
        timed = [
            name
            for name in free
            if cells[name] and _share_of_times(cells[name][:50]) >= _SHARE_OF_TIMES and not cells[name][0].isdecimal()
        ]
        if timed:
            found["time"] = timed[0]
            free.remove(timed[0])
    if "text" not in found and "question" not in found:
        lengths = {name: sum(map(len, cells[name])) / len(cells[name]) for name in free if cells[name]}
        if lengths:
            found["text"] = max(lengths, key=lengths.__getitem__)
    if "conversation" not in found and "id" in (plain := {_plain(name): name for name in header}):
        ids = [row.get(plain["id"], "") for row in rows]
        if plain["id"] not in found.values() and ("role" not in found or len(set(ids)) < len(ids)):
            found["conversation"] = plain["id"]
    return found


def _share_of_times(cells: Sequence[str]) -> float:
    return sum(parse_time(cell) is not None for cell in cells) / len(cells)


def _plain(name: str) -> str:
    return "".join(character for character in fold_text(name) if character.isalnum())
