"""Chinese names: a surname of the table with a title, or behind and before words that come with a name."""

import re
from collections.abc import Iterator

from llms.texts.private_data.name_tables import (
    COMPOUND_SURNAMES,
    GIVEN_CHARACTERS,
    SINGLE_SURNAMES,
)
from llms.texts.private_data.spans import Place, longest_places
from llms.texts.scripts import HAN

_SINGLE = "".join(sorted(SINGLE_SURNAMES - {"谢"}))
_SURNAME = f"(?:{'|'.join(sorted(COMPOUND_SURNAMES))}|(?<!谢)谢(?!谢)|[{_SINGLE}])"
# characters of sentences, which hardly any given name holds
_NO_GIVEN = (
    "我你您他她它的是在有想要了和与跟到请问已不没也都就及或被把给让从对为这那哪怎什吗呢吧啊呀哦嗯哈"
    "买退换查寄收号下单付款快递客服先女手电话联系地址身份本人个几"
)
_GIVEN = f"(?:(?![{_NO_GIVEN}])[{HAN}])"
_TITLES = (
    "先生|女士|小姐|太太|老师|经理|师傅|大夫|医生|主任|同学|阿姨|叔叔|店长|主管|老板|总监|同志|教授|律师|警官"
    r"|总(?=[您你好说,.!，。！：:\s]|\Z)"
)
_FULL = rf"{_SURNAME}(?!{_TITLES}){_GIVEN}{{1,2}}"
_FOREIGN = rf"[{HAN}]{{1,6}}[·•・][{HAN}]{{1,8}}"
_TITLED = re.compile(rf"(?<![任如为几其于])(?P<said>{_SURNAME}{_GIVEN}{{0,2}})(?={_TITLES})")
_STRONG = re.compile(
    r"(?:我叫做|我叫|本人叫|(?:名字|姓名|收件人|收件|收货人|取件人|代收人|备注|联系人|寄件人|签收人|收款人|付款人|户名|持卡人|投保人|被保险人|下单人"
    r"|购买人|客户名|真名|抬头)[是为叫]?|换成|换到|转给|写着|上面是|应该是|应为|乘客|旅客|患者|署名|改成|改为|写的是|填的是|登记的是|名下是)"
    rf"[\s:,“\"']{{0,3}}(?P<said>{_FOREIGN}|{_FULL})"
)
_WEAK = re.compile(
    r"(?:(?:您好|你好|谢谢|签名|落款|经办人)[,，:：]?|我是|这是|他是|她是|本人|亲爱的|尊敬的|感谢|找|帮|替|给|让|联系|转接|转给|叫|跟"
    r"|专员|顾问|管家|师傅|同事|快递员|朋友|客户|老公|老婆|女儿|儿子|爸爸?|妈妈?|爷爷|奶奶|哥哥?|姐姐?|弟弟?|妹妹?|邻居|前台|室友|领导|同学|客服|工程师|会员)"
    rf"\s?(?P<said>{_FOREIGN}|{_FULL})"
    r"(?=[\s,.!?;:，。！？；：、~）)】\x00的这那吗吧呢啊帮说来在去打给要想已没会就也把被接签收代替]|\Z)"
)
_DID = re.compile(
    rf"(?:是|由|跟|让|被)(?P<said>{_FULL})(?=(?:接待|处理|帮|负责|联系|跟进|回复|送|打|说|给|告诉|答应|承诺|受理|签|代|收))"
)
_CHARACTER = f"[{''.join(sorted(GIVEN_CHARACTERS))}]"
_SIGN = r"[\s,.!?;:，。！？；：、“”（）()<>\x00]"
_BARE = re.compile(  # a surname and two characters of given names, before signs and small words
    rf"(?P<said>{_SURNAME}{_CHARACTER}{{2}})(?=(?:{_SIGN}|[的吗吧呢啊在说帮也就要想没已和跟与给您你收这那是]|女士|先生)|\Z)"
)
_BEHIND = re.compile(
    rf"(?:\A|(?<={_SIGN}))(?P<said>{_FULL})"
    r"(?=(?:这个名字|的(?:订单|快递|包裹|账户|账号|手机|地址|电话|名字|卡|退款|会员|身份证|名义|件)"
    r"|收(?![到货费取藏])|签收|[,，]\s?(?:电话|手机|\x00|地址)|\s?\x00))"
)
_SHORT = re.compile(  # two characters, where signs leave no doubt
    rf"(?:(?:是|给了?|找|叫)(?P<behind>{_SURNAME}{_CHARACTER})(?=[,.!?;，。！？；\n]|\Z)"
    rf"|(?:\A|(?<=\n))(?P<greeted>{_SURNAME}{_CHARACTER}{{1,2}})(?=您好|你好))"
)
_FAMILY = re.compile(rf"(?:我|免贵|本人|贵|客户)姓(?P<said>{_SURNAME})")
_LITTLE = re.compile(
    rf"(?:我是|叫我|找|联系)(?:小|阿|老)(?P<friend>{_SURNAME})(?![{HAN}])"
    rf"|(?:客服|专员|顾问|管家|店小二|助理)\s?小(?![时米程白方金单])(?P<staff>{_SURNAME})"
)
_WORDS = (  # that begin with a surname and are no names
    "高中 安卓 华为 管理 代理 双方 单身 包邮 于是 全新 金卡 司机 应届 向导 米粉 "
    "成年 党员 路人 常客 贵宾 白领 万能 商家 方便 时候 任何 那位 全部 关于 关系 "
    "关注 解决 解释 应该 应当 和你 和您 和我 来自 来电 单号 时间 原价 原来 明天 "
    "明年 成功 计划 安排 安装 方法 方式 方案 强制 连接 简单 包装 包裹 商品 商店 "
    "应用 都是 全款 别人 高级 高端 白色 黄色 金色 蓝色 米色 花色 路上 车上 房间 "
    "边上 马上 常见 平台 平时 文件 文字 项目 章程 左右 向您 牛奶 石头 银行 银卡 "
    "金额 程序 武汉 温州 江苏 安徽 海南 单位 华北 华东 华南 江西 江南 宁波 贺卡 "
    "温度 温馨 严重 易碎 易坏 盛大 高清 高明 高兴 方正 白云 金龙 黄河 江山 平安 "
    "安心 安静 常青 童装 乐高 花呗 柏油 卫生 查询 查看 查收 谷歌 古董 池子 景点 "
    "游戏 甘草 井盖 桑拿 沙发 保修 保证 保价 保险 官方 官网 台式 银色 和平 明细 "
    "明白 周末 周一 周二 周三 周四 周五 周六 周日 周年 周边 路痴 车牌 毕竟 关键 "
    "关心 吉林 毕业 欧洲 商业 文化 曾经 古朝鲜 华文明 苏锡常 江米 牛菲力 白石山 黄种 田园 "
    "乐园 乐天 万美 谈公平 "
)
_NO_NAMES = re.compile("|".join(_WORDS.split()))
_NO_ENDINGS = "人员户家客粉卡店机器件品费单量价包装货码版款级类种型号站"


def find_chinese_names(text: str) -> Iterator[Place]:
    """Yield names without titles such as 先生."""
    places = [found.span("said") for found in _TITLED.finditer(text) if not _NO_NAMES.match(found["said"])]
    places += [found.span("said") for found in _STRONG.finditer(text) if not _NO_NAMES.match(found["said"])]
    for expression in (_WEAK, _BEHIND, _DID, _BARE):
        for found in expression.finditer(text):
            said = found["said"]
            if not _NO_NAMES.match(said) and said[-1] not in _NO_ENDINGS:
                places.append(found.span("said"))
    places += [found.span(found.lastgroup or 0) for found in _LITTLE.finditer(text)]
    for found in _SHORT.finditer(text):
        if not _NO_NAMES.match(found[found.lastgroup or 0]):
            places.append(found.span(found.lastgroup or 0))
    places += [found.span("said") for found in _FAMILY.finditer(text)]
    return longest_places(places)
