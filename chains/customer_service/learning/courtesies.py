"""Greetings, thanks and other sentences that say nothing of what a message is about, in English and Chinese."""

import re

from llms.texts import fold_text, split_sentences

# Patterns are matched against sentences that `fold_text` made plain.
_OPENING = re.compile(
    r"^(?:(?:hi|hello|hey|hiya|greetings|good (?:morning|afternoon|evening|day)|dear)\b"
    r"(?: (?:there|again|all|team|everyone|everybody|support|sir|madam|sir or madam|customer|customer service))?"
    r"(?: \{\w+\})?[\s,.!:;-]*)+"
    # not where the characters begin another word, such as 亲自 or 你好像
    r"|^(?:(?:亲爱的|亲们?(?![自戚子人友密手测肤眼属])|[您你]好(?![像多大久歹吃看用几坏不])"
    r"|哈喽|嗨|[早中晚]上好|[上中下]午好|在吗|在么|在不在|有人吗|客服(?=[，,\s!！]|[您你]好|在))"
    r"[啊呀哦的~,，.。!！?？、\s]*)+"
)
_THANKS = (
    r"(?:many |much )?thanks?(?: (?:you|so much|a lot|very much|in advance|again|for [^.?!]{0,60}))*|thx|cheers|ty",
    r"(?:thank you|thanks) for (?:contacting|reaching|your|waiting)[^?!]{0,80}",
    r"you're welcome|my pleasure|no problem",
)
_SMALL_TALK = (
    r"(?:best|kind|warm)? ?regards.*|sincerely.*|bye(?: bye)?|goodbye|have a [^.?!]{0,30}|excuse me",
    r"how are you(?: doing)?(?: today)?|(?:i )?hope (?:you|this)[^.?!]{0,40}|nice to meet you",
    r"(?:i'm |i am |we are |we're )?(?:so |very |really |terribly )?sorry(?: (?:to hear|about|for)[^.?!,]{0,80})?",
    r"my name is [^.?!]{0,40}|this is \{\w+\}[^.?!]{0,40}",
)
_ASKS_FOR_HELP = (
    r"(?:can|could|would) (?:you|someone|anyone|somebody)(?: please)? (?:help|assist)(?: me)?(?: out| please)?",
    r"(?:i have|i've got|i had|got) (?:a|an|another|some)(?: quick)? (?:question|problem|issue)s?",
    r"i (?:need|want|would like)(?: some| your)? help|please help(?: me)?|help(?: me)?(?: please)?",
    r"(?:is )?(?:anyone|anybody|someone|somebody) (?:there|here)",
)
_OFFERS_HELP = (
    r"i(?:'d| would|'ll| will) be (?:happy|glad) to (?:help|assist)[^.?!]{0,40}",
    r"i can (?:certainly )?help(?: you)?(?: with that)?|how (?:can|may) i help.*|what can i do for you.*",
)
_CHINESE_ASIDES = (
    r"(?:非常|十分|万分|太)?(?:感谢|谢谢|多谢|谢了|辛苦)[^?？]{0,12}|再见|拜拜|祝[您你][^?？]{0,20}|不客气|没关系",
    r"麻烦[您你]?了?|请问一?下?|我?想?(?:咨询|问)一?下|有[个点些]?问题[想要]?(?:问|咨询)?(?:一下|下)?",
    r"很?(?:高兴|荣幸)为[您你]服务[^?？]{0,12}|(?:请问)?有什么(?:可以|能)?帮(?:[您你]|到[您你])[^?？]{0,8}",
    r"(?:非常|很|实在)?(?:抱歉|不好意思|对不起)[^?？]{0,16}",
)
_ASIDE = re.compile(
    r"^(?:(?:ok(?:ay)?|yes|no|sure|great|perfect|alright|got it|i see)[\s,.!]*)*"
    rf"(?:{'|'.join((*_THANKS, *_SMALL_TALK, *_ASKS_FOR_HELP, *_OFFERS_HELP))})?[\s,.!?]*(?:please)?[\s,.!?]*$"
    rf"|^(?:好的?|嗯+|哦+|行|可以|是的?|对|收到|明白了?|知道了)?[,，\s]*(?:{'|'.join(_CHINESE_ASIDES)})?"
    r"[啊呀哦呢吧了的~,，.。!！?？、\s]*$"
)
_CLOSING = re.compile(
    r"(?:[\s,;.-]+(?:many )?(?:thanks|thank you|thx)(?: (?:so much|a lot|very much|in advance))?[\s.!]*"
    r"|[\s,，。]*(?:谢谢|多谢|感谢|麻烦了)[您你啦了哦啊~!！.。]*)$",
    re.IGNORECASE,
)
_WAIT = re.compile(
    r"\b(?:(?:(?:just |give me )?(?:a|one)) (?:moment|second|minute|sec)|bear with me|please (?:hold|wait)|hold on"
    r"|let me (?:check|look|see|pull|take|have|find|get|try)"
    r"|(?:i am|i'm|i will|i'll) (?:just )?(?:check|look|pull|tak)(?:ing)?\b)"
    r"|稍等|稍候|请等|等一下|(?:我|[帮为给][您你])(?:这边)?[看查](?:一下|下|询)|正在(?:为您)?[查核]"
)


def without_courtesies(text: str) -> list[str]:
    """Return the sentences of a message that are no greeting, no thanks and no filling.

    Example:
        >>> without_courtesies("Good morning, can I cancel my order? Thanks in advance!")
        ['can I cancel my order?']
        >>> without_courtesies("亲，在吗？我的订单能取消吗，谢谢")
        ['我的订单能取消吗']
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    pieces = [line[start:end] for line in lines for start, end in split_sentences(line, (0, len(line)))]
    return [sentence for piece in pieces if (sentence := _without_edges(piece))]


def _without_edges(sentence: str) -> str:
    """Return a sentence without the greeting before it and the thanks behind it; "" if nothing else is said."""
    text = _cut_opening(sentence.strip())
    text = _CLOSING.sub("", text).strip() if text else text
    folded = fold_text(text)
    return "" if not any(map(str.isalnum, folded)) or _ASIDE.match(folded) else text


def _cut_opening(sentence: str) -> str:
    # matched on plain characters; where folding changes the length, case alone is ignored
    folded = fold_text(sentence)
    found = _OPENING.match(folded if len(folded) == len(sentence) else sentence.lower())
    return sentence[found.end() :].lstrip(" ,，.。!！~、;；:：-") if found else sentence


def asks_to_wait(sentence: str) -> bool:
    """Return whether somebody only says that an answer is to come.

    Example:
        >>> asks_to_wait("One moment please, I am checking that."), asks_to_wait("请您稍等，我帮您查一下。")
        (True, True)
    """
    return _WAIT.search(fold_text(sentence)) is not None
