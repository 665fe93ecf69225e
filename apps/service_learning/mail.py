"""Cleaning of messages: mark-up, quoted history, signatures, greetings and attachments go, the concern stays."""

import re

from llms.texts import visible_text
from retrievers import read_html
from retrievers.errors import DocumentError

_TAG = re.compile(
    r"</?(?:html|body|div|p|br|span|table|td|a|b|strong|ul|li|font|blockquote|img)(?=[\s/>])[^<>]{0,500}>",
    re.IGNORECASE,
)
_HTML_QUOTE = re.compile(
    r"<blockquote\b|<div[^<>]{0,300}\b(?:class|id)\s?=\s?[\"']?(?:gmail_quote|yahoo_quoted|moz-cite-prefix|appendonsend"
    r"|divRplyFwdMsg|zendesk_quote|freshdesk_quote|isForwardContent)",
    re.IGNORECASE,
)
_QUOTE_BEGINS = re.compile(
    r"""
    ^[ \t>]*(?:
        (?:On|Am|Le|El)[ ][^\n]{5,160}(?:\n[^\n]{0,80})?(?:wrote|schrieb[^\n]{0,80}|a[ ]écrit|escribió)[ ]?:[ \t]*$
      | 在[^\n]{4,120}(?:写道|寫道)[:：][ \t]*$
      | -{2,}[ ]?(?:Original|Forwarded|Ursprüngliche|原始|转发|邮件原件)[^\n]{0,30}-{2,}[ \t]*$
      | \#\#-[^\n]{0,80}-\#\#
      | _{10,}[ \t]*$
      | (?:From|Von|De|发件人|寄件人)[:：][^\n]{1,200}\n(?:[^\n]{0,200}\n){0,3}?
        [ \t>]*(?:Sent|Date|To|Subject|Gesendet|An|Betreff|发送时间|日期|收件人|主题)[:：]
    )
    """,
    re.VERBOSE | re.MULTILINE,
)
_QUOTED_LINE = re.compile(r"^[ \t]{0,3}>")
_SIGNATURE_MARK = re.compile(r"^-- ?$")
_SIGN_OFF = re.compile(
    r"""
    ^[ \t]*(?:
        (?:(?:kind|best|warm|many)[ ])?(?:regards|wishes|thanks) | best | sincerely
      | yours(?:[ ](?:sincerely|faithfully|truly))? | cheers | thank[ ]you
      | mit[ ]freundlichen[ ]grüßen | cordialement
      | 此致|敬礼|祝好|顺颂商祺|谢谢|致礼|祝工作顺利
    )[ ]?[,.!，。！]?[ \t]*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_DEVICE = re.compile(
    r"^[ \t]*(?:Sent from my .{1,40}|Get Outlook for .{1,20}|发自我的.{1,20}|来自.{1,12}(?:邮箱|客户端)"
    r"|获取 ?Outlook.{0,20})[ \t]*$",
    re.IGNORECASE,
)
_DISCLAIMER = re.compile(
    r"^[^\n]{0,40}(?:this (?:e-?mail|message)[^\n]{0,60}(?:confidential|intended (?:only|solely))"
    r"|本邮件[^\n]{0,30}(?:机密|保密))",
    re.IGNORECASE,
)
_SALUTATION = re.compile(
    r"^(?:dear|hi|hello|hey|good (?:morning|afternoon|evening)|to whom it may concern|尊敬的|亲爱的|您好|你好)"
    r"[^\n.?？。]{0,40}[,，:：!！]?$",
    re.IGNORECASE,
)
_ATTACHMENT = re.compile(
    r"""
    \[(?:图片|表情|动画表情|语音|视频|文件|链接|位置|名片|小程序|聊天记录|红包|转账
        |(?:image|photo|picture|file|video|audio|attachment|sticker|cid|inline)\b)
    [^\[\]\n]{0,120}\](?:[ ]?[\w.-]{1,80}[.](?:pdf|docx?|xlsx?|png|jpe?g|gif|zip|txt|mp4|csv)\b)?
  | <(?:image|attachment|media|file)[^<>\n]{0,60}(?:omitted|[.]\w{2,4})>
  | ^[ \t]*(?:attachments?(?:\(s\))?|附件)[ ]?(?:\(\d{1,2}\))?[:：][^\n]{0,300}$
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_BLANK_LINES = re.compile(r"\n\s*\n+")
_SIGNATURE_LINES = 12  # a sign-off further up ends a paragraph, not a mail


def clean_message(text: str) -> str:
    r"""Return what somebody wrote in a message, without mark-up and all that mail programs and chats add to it.

    Left out are quoted history, signatures with their sign-off, devices, disclaimers, a salutation in a line of its
    own, and the names of attachments. A message that is nothing but forwarded text keeps it.

    Example:
        >>> clean_message("Dear team,\nmy box is broken.\nBest regards,\nAnna\n\nOn Mon, Anna Z wrote:\n> old")
        'my box is broken.'
        >>> clean_message("<p>Where is <b>it</b>?</p><blockquote>old</blockquote>"), clean_message("[图片]")
        ('Where is it?', '')
    """
    plain = visible_text(_without_markup(text).replace("\r\n", "\n").replace("\r", "\n"), keep_joiners=True)
    plain = _ATTACHMENT.sub("", plain)
    if "\n" in plain.strip():
        plain = _without_history(plain)
        plain = _without_signature(plain)
        plain = _without_salutation(plain)
    return _BLANK_LINES.sub("\n", plain).strip()


def _without_markup(text: str) -> str:
    if "<" not in text or not _TAG.search(text):
        return text
    quote = _HTML_QUOTE.search(text)
    own = text[: quote.start()] if quote else text
    for part in (own, text):  # a mail that is quoted as a whole is read as a whole
        try:
            plain = read_html(b"<meta charset=utf-8>" + part.encode("utf-8", "replace")).text
        except DocumentError:
            return text
        if plain.strip():
            return plain
    return ""


def _without_history(text: str) -> str:
    found = _QUOTE_BEGINS.search(text)
    own = text[: found.start()] if found else text
    own = "\n".join(line for line in own.split("\n") if not _QUOTED_LINE.match(line))
    return own if own.strip() else text


def _without_signature(text: str) -> str:
    lines = [line for line in text.strip().split("\n") if not _DEVICE.match(line)]
    for place, line in enumerate(lines):
        is_near_end = place >= len(lines) - _SIGNATURE_LINES
        ends = _SIGNATURE_MARK.match(line) or _DISCLAIMER.match(line) or (is_near_end and _SIGN_OFF.match(line))
        if ends and any(before.strip() for before in lines[:place]):
            return "\n".join(lines[:place])
    return "\n".join(lines)


def _without_salutation(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    return rest if rest.strip() and _SALUTATION.match(first.strip()) else text
