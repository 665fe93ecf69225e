"""Cleaning of messages: what mail programs and chats add goes, what somebody wrote stays."""

import pytest

from apps.service_learning.mail import clean_message
from tests.waiting import cpu_seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It broke.\n\nOn Mon, 1 Jan 2024 at 10:00, Anna <a@x.example> wrote:\n> old\n> older", "It broke."),
        ("It broke.\n\nAm 01.01.2024 um 10:00 schrieb Anna:\n> alt", "It broke."),
        ("坏了\n\n发件人: 客服 <a@x.example>\n发送时间: 2024年1月1日\n主题: Re\n\n旧内容", "坏了"),
        ("坏了\n在 2024年1月1日，客服写道：\n> 旧", "坏了"),
        ("It broke.\n-----Original Message-----\nFrom: x\nold", "It broke."),
        ("It broke.\n-- \nAnna\nAcme Ltd", "It broke."),
        ("It broke.\nKind regards,\nAnna\n+1 555", "It broke."),
        ("坏了\n此致\n敬礼\n安娜", "坏了"),
        ("It broke.\nSent from my iPhone", "It broke."),
        ("Dear support team,\nIt broke.", "It broke."),
        ("尊敬的客服：\n坏了", "坏了"),
        ("It broke [image: photo.png]\nAttachment(s): photo.png, b.pdf", "It broke"),
        ("[文件] 发票.pdf", ""),
        ("[图片]", ""),
        ("It broke.\nThis e-mail is confidential and intended only for you.", "It broke."),
        (
            '<html><body><p>It <b>broke</b>.</p><div class="gmail_quote">On Mon wrote: <p>old</p></div></body></html>',
            "It broke.",
        ),
        ("> only quoted\n> text", "> only quoted\n> text"),  # a forwarded message keeps what it is
        ("price < 5 and > 3", "price < 5 and > 3"),
        ("Thanks", "Thanks"),
        ("On Monday I wrote: nothing", "On Monday I wrote: nothing"),
    ],
)
def test_only_what_somebody_wrote_stays(text, expected):
    assert clean_message(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        ">",
        "> \n",
        "On ",
        "On a\n",
        "From: a\n",
        "<p>",
        "<div ",
        "[",
        "[image ",
        "-",
        "\n",
        "在",
        "<blockquote>",
        "regards\n",
    ],
)
def test_no_message_takes_long_to_clean(text):
    assert cpu_seconds(lambda: clean_message(text * (100_000 // len(text)))) < 60
