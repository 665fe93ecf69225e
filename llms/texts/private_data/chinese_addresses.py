"""Chinese postal addresses: chains of regions, roads, houses and rooms."""

import re
from collections.abc import Iterator

from llms.texts.private_data.spans import Place, joined_places
from llms.texts.scripts import HAN

_REGIONS = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西"
    "|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门|石家庄|太原|沈阳|大连|长春|哈尔滨|南京|苏州|无锡|常州|南通|徐州"
    "|扬州|杭州|宁波|温州|嘉兴|绍兴|金华|台州|合肥|芜湖|福州|厦门|泉州|漳州|南昌|赣州|济南|青岛|烟台|潍坊|临沂|郑州|洛阳"
    "|武汉|宜昌|襄阳|长沙|株洲|衡阳|广州|深圳|珠海|佛山|东莞|中山|惠州|汕头|江门|湛江|南宁|桂林|柳州|海口|三亚|成都|绵阳"
    "|贵阳|遵义|昆明|大理|丽江|拉萨|西安|咸阳|宝鸡|兰州|西宁|银川|乌鲁木齐|呼和浩特|包头|保定|唐山|邯郸|廊坊|秦皇岛|大同"
    "|台北|高雄|九龙"
)
_SUFFIXES = "省市区县旗州镇乡村路街道巷弄里段号栋幢座楼室层苑园厦场院城庄坊期户组队桥寓墅府舍"
_TEXT = rf"(?:(?![{_SUFFIXES}])[{HAN}0-9A-Za-z#-])"
_PART = re.compile(
    rf"(?P<name>{_TEXT}{{0,12}}+)"
    rf"(?P<suffix>自治区|自治州|胡同|单元|新村|[{_SUFFIXES}](?:区|内|(?=\d))?)[ ,，、]?"
)
_ROAD = re.compile("[路街道巷弄段]|胡同|桥")
_REGION = re.compile("[省市区县旗州镇乡村]|自治区|自治州")
_HOUSE = re.compile("[号栋幢座楼室层户期组苑园厦场院城庄坊寓墅府舍]|单元|新村|里")
_NO_ROAD = frozenset(
    re.findall("..", "知道难道味道渠道频道报道管道通道一路网路线路电路走路半路马路手段阶段时段网段频段思路")
)
_CUE = re.compile(
    "(?:收货地址|地址|寄送至|寄送到|配送至|配送到|派送到|邮寄到|快递到|寄回|寄到|寄往|寄至|送到|送至|送往|发到|发往|发至"
    "|改成|改为|改到|换成|换到|住在|位于|家在|人在|搬到|搬去|搬至|就在|填成|写成|是|到|在|至|往|为|从|给|叫|去|回)[是为:：]?"
)
_UNIT = re.compile(
    r"[ ,，]?(?:[A-Za-z]?\d{1,5}(?:[-－—#]\d{1,5}){0,3}(?:[号室栋座层楼户房舍]|单元)?|之\d{1,3}|[A-Za-z](?:座|栋|区))"
    r"{1,4}"
)
_UNTIL_SIGN = r"[^,，。;；！？\n\x00]"
_SAID = re.compile(
    r"地址(?:是在|[是在为]|改成|改为|填的是)?[:： ]{0,2}"
    rf"(?P<said>(?={_UNTIL_SIGN}{{0,30}}[{_SUFFIXES}]){_UNTIL_SIGN}{{5,60}})"
)
_BESIDE = re.compile("(?:[东南西北]?(?:侧|门|口|面)|对面|旁边?|门口|附近|内)*(?:[(（][^()（）\n]{1,24}[)）])?")
_NO_ADDRESS = re.compile("[吗呢吧？?]|怎么|什么|哪|不对|错|可以|能不能")


def find_chinese_addresses(text: str) -> Iterator[Place]:
    """Yield chains of parts that name roads, regions and numbered houses, and what is said to be an address."""
    places = list(_chains(text))
    places += [found.span("said") for found in _SAID.finditer(text) if not _NO_ADDRESS.search(found["said"])]
    return iter(joined_places(places))


def _chains(text: str) -> Iterator[Place]:
    chain: list[re.Match[str]] = []
    for part in _PART.finditer(text):
        if chain and not _goes_on(chain[-1], part):
            yield from _address(text, chain)
            chain = []
        chain.append(part)
    yield from _address(text, chain)


def _goes_on(before: re.Match[str], part: re.Match[str]) -> bool:
    return part.start() == before.end() and not (part["name"] == "" and before["name"] == "" and not part["suffix"])


def _address(text: str, chain: list[re.Match[str]]) -> Iterator[Place]:
    chain = _without_words_before(chain)
    if not chain:
        return
    regions = [part for part in chain if _REGION.match(part["suffix"])]
    roads = [part for part in chain if _is_road(part)]
    houses = [part for part in chain if _HOUSE.match(part["suffix"]) and part["name"]]
    has_number = any(character.isdecimal() for part in chain for character in part["name"])
    knows_region = re.search(_REGIONS, chain[0]["name"]) is not None
    if not (
        (roads and houses and has_number)
        or (houses and has_number and (regions or knows_region))
        or ((regions or knows_region) and roads and len(chain) > 2)
        or (len(regions) > 2)
        or (knows_region and len(regions) > 1 and houses)
    ):
        return
    start = chain[0].start("name") + _words_before(chain[0]["name"])
    end = chain[-1].end("suffix")
    if unit := _UNIT.match(text, end):
        end = unit.end()
    if beside := _BESIDE.match(text, end):
        end = beside.end()
    yield start, end


def _without_words_before(chain: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return a chain from the part on that names a known region, or else from the first that follows a cue."""
    for place, part in enumerate(chain):
        if re.search(_REGIONS, part["name"] + part["suffix"]):
            return chain[place:]
    for place, part in enumerate(chain):
        if _CUE.search(part["name"]):
            return chain[place:]
    return chain


def _is_road(part: re.Match[str]) -> bool:
    return (
        _ROAD.match(part["suffix"]) is not None
        and part["name"] != ""
        and (part["name"][-1:] + part["suffix"][:1]) not in _NO_ROAD
    )


def _words_before(name: str) -> int:
    if region := re.search(_REGIONS, name):
        return region.start()
    cues = list(_CUE.finditer(name))
    return cues[-1].end() if cues and cues[-1].end() < len(name) else 0
