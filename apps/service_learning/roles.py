"""Who wrote a message: words for customers, staff and programs in logs, and what only one of them would say."""

import re
from collections.abc import Iterable, Mapping

from apps.service_learning.layout import ANY_ROLE
from chains.customer_service.learning import LoggedRole
from llms.texts import fold_text

_WORDS: Mapping[LoggedRole | None, str] = {
    "customer": """
        customer user usr client visitor guest requester end-user enduser end_user buyer human consumer lead contact
        inbound incoming in external caller member patient 客户 用户 买家 顾客 访客 来访者 消费者 咨询者 提问者 访问者
    """,
    "agent": """
        agent staff support operator admin representative rep csr employee seller shop outgoing outbound out sales
        advisor team_member teammate company 客服 坐席 座席 人工 店小二 商家 卖家 店铺 员工 专员 顾问 人工客服
    """,
    "bot": """
        bot assistant ai chatbot robot auto automated model gpt sys 机器人 智能客服 助手 ai客服 自动回复 智能助手
        系统回复
    """,
    None: "system tool function action note internal event private developer 系统 系统消息 备注 通知",
}
_ROLES = {word: role for role, words in _WORDS.items() for word in words.split()}
_STAFF_NAME = re.compile(
    r"客服|小二|旗舰店|专营店|专卖店|官方|售后|售前|店铺|商家|坐席|support|service|helpdesk|\bteam\b|\bagent\b",
    re.IGNORECASE,
)
_BOT_NAME = re.compile(r"机器人|智能|自动回复|助手|\bbot\b|chatbot|assistant", re.IGNORECASE)
_STAFF_WORDS = re.compile(
    r"""
    how[ ](?:can|may)[ ]i[ ](?:help|assist) | what[ ]can[ ]i[ ]do[ ]for[ ]you
  | thank(?:s|[ ]you)[ ]for[ ](?:contacting|reaching|calling|your[ ]patience|writing|waiting)
  | is[ ]there[ ]anything[ ]else | (?:we|i)[ ]apologi[sz]e | we[ ]are[ ]sorry[ ](?:to|for)
  | i(?:'d|[ ]would)[ ]be[ ]happy[ ]to | happy[ ]to[ ]help | dear[ ]customer | let[ ]me[ ](?:check|look)
  | bear[ ]with[ ]me
  | may[ ]i[ ]have[ ]your | could[ ]you[ ]please[ ]provide
  | your[ ](?:order|refund|parcel)[ ](?:has[ ]been|was|will[ ]be) | we[ ]have[ ](?:sent|shipped|refunded)
  | 请问有什么可以帮|为您|帮您|亲[,，~！!]|亲亲|感谢您的|请您稍等|抱歉给您|给您带来|很高兴为您|还有其他问题|欢迎光临
  | 麻烦您提供|请您提供|您好[,，]?这里是|祝您|您的(?:订单|包裹|问题|反馈)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_CUSTOMER_WORDS = re.compile(
    r"""
    \bmy[ ](?:order|account|parcel|package|card|refund|item)\b | where[ ]is[ ]my | i[ ](?:want|need|would[ ]like)[ ]to
  | i[ ](?:have[ ]not|haven't|never)[ ]received | i[ ]bought | i[ ]ordered | can[ ]i[ ](?:get|return|have|change)
  | how[ ]do[ ]i | i[ ]was[ ]charged | doesn't[ ]work | not[ ]working
  | 我的(?:订单|快递|包裹|账号|手机)|我买的|我要退|我想|怎么还没|什么时候发货|什么时候到|能不能退|可以退吗|有货吗|在吗
  | 多少钱|怎么办
    """,
    re.IGNORECASE | re.VERBOSE,
)


def known_role(word: str) -> tuple[bool, LoggedRole | None]:
    """Return whether a word of a log says who wrote, and who that is; None for what is no message.

    Example:
        >>> known_role("End-User"), known_role("系统"), known_role("Anna")
        ((True, 'customer'), (True, None), (False, None))
    """
    plain = fold_text(word).strip("[]()【】：: ")
    return plain in _ROLES, _ROLES.get(plain)


def role_of_name(name: str) -> LoggedRole | None:
    """Return whom the name of a speaker gives away: a program, or staff; None where it could be anybody's."""
    is_known, role = known_role(name)
    if is_known:
        return role
    return "bot" if _BOT_NAME.search(name) else "agent" if _STAFF_NAME.search(name) or ":" in name else None


def resolve_role(word: str, roles: Mapping[str, LoggedRole | None]) -> tuple[bool, LoggedRole | None]:
    """Return whether it is said who writes under a word, and who: first by what a person said, then by known words."""
    if word in roles:
        return True, roles[word]
    is_known, role = known_role(word)
    return (True, role) if is_known else (ANY_ROLE in roles, roles.get(ANY_ROLE))


def who_is(speaker: str, roles: Mapping[str, LoggedRole | None]) -> tuple[bool, LoggedRole | None]:
    """Return whether it is known who a speaker is, and who: as `resolve_role`, and by what the name itself says."""
    is_known, role = resolve_role(speaker, roles)
    by_name = None if is_known else role_of_name(speaker)
    return is_known or by_name is not None, role or by_name


def staff_phrases(texts: Iterable[str]) -> int:
    """Return in how many texts something stands that staff says and customers hardly do."""
    return sum(_STAFF_WORDS.search(text) is not None for text in texts)


def customer_phrases(texts: Iterable[str]) -> int:
    """Return in how many texts something stands that customers say and staff hardly does."""
    return sum(_CUSTOMER_WORDS.search(text) is not None and not _STAFF_WORDS.search(text) for text in texts)


def look_swapped(customer_texts: list[str], staff_texts: list[str]) -> bool:
    """Return whether customers speak as staff does and staff as customers do, clearly."""
    of_staff = staff_phrases(customer_texts)
    of_customers = customer_phrases(staff_texts) if of_staff else 0  # most conversations end here
    if not of_customers:
        return False
    return of_staff + of_customers > 2 * (staff_phrases(staff_texts) + customer_phrases(customer_texts))
