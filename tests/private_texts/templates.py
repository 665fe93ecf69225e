"""Templates, names and forms of numbers of the development part of `making`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What one part is made of.

    In patterns, `9` stands for a digit, `^` for a capital letter, and a backslash keeps what follows.
    Slots with `~` look like private data and are none.
    """

    private: Mapping[str, Sequence[str]]
    plain: Mapping[str, Sequence[str]]
    given: Mapping[str, Sequence[str]]
    families: Sequence[str]
    surnames: Sequence[str]
    hosts: Sequence[str]
    addresses: Mapping[str, Sequence[str]]
    phones: Mapping[str, Sequence[str]]
    ids: Sequence[str]
    ibans: Sequence[tuple[str, str]]
    orders: Mapping[str, Sequence[str]]
    regions: Sequence[str]
    lookalikes: Mapping[str, Sequence[str]]


DEVELOPMENT = Pool(
    private={
        "en": [
            "Hi, my name is {name} and my order {order_number} has not arrived.",
            "my name is {name:lower}, i never got the parcel",
            "Dear {name:given},\nthank you for your message.\nBest regards,\n{name}",
            "Please call me back at {phone}, it is urgent.",
            "You can reach me on {phone} or at {email}.",
            "I was charged twice on {card}, please refund.",
            "Refund it to {iban}, thanks.",
            "My passport number is {id_number}.",
            "Ship it to {address}, please.",
            "I moved, my new address is {address}.",
            "Hello Mr. {name:family}, we sent the invoice to {email}.",
            "The tracking number is {order_number}, no movement since {~date}.",
            "This is {name} speaking, order number {order_number}, paid {~price}.",
            "Where is {order_number}?",
            "{email} is my account, the old one was {email}.",
            "Thanks {name:given}! That worked.",
            "I'm {name:given} from support, how can I help?",
            "Name: {name}\nPhone: {phone}\nAddress: {address}",
            "the courier left it at {address} but I live elsewhere",
            "card number {card}, expires {~expiry}",
            "My social security number is {id_number}, do you need it?",
            "Order #{order_number:bare} was placed on {~date} for {~price}.",
        ],
        "zh": [
            "您好，我叫{name}，订单号{order_number}还没到。",
            "我的手机号是{phone}，请尽快联系我",
            "收货地址：{address}，收件人{name}，电话{phone}",
            "请寄到{address}",
            "我的邮箱是{email}，发票发这里",
            "身份证号{id_number}，麻烦核实一下",
            "银行卡{card}被扣了两次款",
            "{name:surname}先生您好，您的退款已到账",
            "我是{name}，想问一下什么时候发货",
            "运单号{order_number}三天没更新了",
            "{name}的快递还在路上吗",
            "地址改成{address}行吗？",
            "亲爱的{name}，感谢您的来信",
            "退到{card}这张卡，户名{name}",
            "{name:surname}女士的电话{phone}打不通",
            "单号：{order_number}，{~date}下单，{~price}",
            "用{email}登录不了，验证短信发到{phone}也没收到",
        ],
    },
    plain={
        "en": [
            "I paid {~price} on {~date} for the {~model}.",
            "The {~model} runs firmware {~version} since {~date}.",
            "It took {~duration}, and the display shows {~measure}.",
            "I am Unhappy with the service, it is the third time.",
            "Is the {~model} in stock? I need {~quantity} of them.",
            "Hi there, thanks for the help! Best regards",
            "Dear customer, our office opens at {~time} on Monday.",
            "Error {~code} after updating to {~version}.",
            "Is delivery free above {~price}? It says {~measure}.",
            "Hello Support, does it work with Windows and Android?",
        ],
        "zh": [
            "这个{~model}多少钱？{~price}能便宜吗",
            "{~date}下的单，到现在{~duration}了还没发货",
            "固件升级到{~version}以后报错{~code}",
            "请问满{~price}包邮吗，{~quantity}起订？",
            "尺寸是{~measure}吗，我知道上次那款不是",
            "客服您好，请问几点下班，{~time}还在吗",
            "我是新用户，第一次买，怎么用优惠券",
            "高级会员有什么权益？温度要调到多少",
            "于是我就下单了，马上到货吗",
        ],
    },
    given={
        "en": [
            "Anna",
            "James",
            "Maria",
            "Robert",
            "Priya",
            "Mohammed",
            "Chloe",
            "Wei",
            "Fatima",
            "Lukas",
            "Siobhan",
            "Kenji",
            "Olga",
            "Diego",
        ],
        "zh": [
            "伟",
            "芳",
            "娜",
            "秀英",
            "敏",
            "静",
            "丽",
            "强",
            "磊",
            "军",
            "洋",
            "勇",
            "艳",
            "杰",
            "娟",
            "小明",
            "志强",
            "晓红",
            "建国",
        ],
    },
    families=[
        "Smith",
        "Schmidt",
        "O'Brien",
        "Garcia",
        "Patel",
        "Nguyen",
        "Müller",
        "Johnson",
        "van Dijk",
        "Kowalski",
        "Tanaka",
        "Rossi",
        "McDonald",
        "Silva",
    ],
    surnames=[
        "王",
        "李",
        "张",
        "刘",
        "陈",
        "杨",
        "赵",
        "黄",
        "周",
        "吴",
        "徐",
        "孙",
        "欧阳",
        "司马",
        "林",
        "何",
        "郭",
        "马",
    ],
    hosts=["example.com", "mail.example.org", "example.co.uk", "163.example.cn", "posteo.example"],
    addresses={
        "en": [
            "\\12 Oak Street, Springfield, IL 99999",
            "999 Maple Avenue Apt 9B, Austin, TX 78799",
            "99 High Street, Leeds LS1 9AB",
            "Hauptstraße 99, 99999 Berlin",
            "9 rue de la Paix, 75099 Paris",
            "999 W 99th St, New York, NY 10099",
            "PO Box 9999, Denver, CO 80299",
            "99 Park Lane, Bristol BS9 9XY",
            "Flat 9, 99 Church Road, London SW9 9AA",
        ],
        "zh": [
            "广东省深圳市南山区科技园南路9号9栋999室",
            "北京市朝阳区建国路99号9号楼9999室",
            "上海市浦东新区世纪大道999号99楼",
            "浙江省杭州市西湖区文三路999号",
            "成都市武侯区天府大道北段9999号9栋9单元999",
            "江苏省苏州市工业园区星湖街999号",
            "武汉市洪山区珞喻路999号华中小区9栋999",
        ],
    },
    phones={
        "en": [
            "(\\299) 555-0999",
            "\\399-555-0199",
            "+1 \\499 555 0199",
            "+44 20 7946 0999",
            "07700 900999",
            "+49 30 9999999",
            "020 7946 0999",
        ],
        "zh": ["138\\09999999", "139-9999-9999", "186 9999 9999", "010-69999999", "+86 158\\09999999"],
    },
    ids=["X9999999", "536-29-9999", "C09X99T9"],
    ibans=[
        ("DE", "999999999999999999"),
        ("GB", "WEST99999999999999"),
        ("FR", "99999999999999999999999"),
        ("NL", "ABNA9999999999"),
    ],
    orders={
        "en": ["VT-999999", "ORD-99999", "1\\19-9999999-9999999", "AB99999999", "999999999"],
        "zh": ["VT-999999", "20231999999999999", "SF1999999999999", "DD99999999"],
        "bare": ["99999", "999999"],
    },
    regions=["110105", "310104", "440305", "330106", "510107"],
    lookalikes={
        "price": ["$99.99", "$1,299.00", "99 EUR", "£9.50", "999元", "¥99.9"],
        "date": ["2024-0\\9-19", "March 9, 2024", "0\\9/19/2024", "19.0\\9.2024", "3月9日", "2024年9月19日"],
        "model": ["WH-1000XM9", "RTX 4099", "SM-G99^B", "iPhone 19 Pro", "GTX-1099", "CR2032"],
        "version": ["9.9.9", "v19.9", "9.99.9-beta"],
        "duration": ["9 days", "99 minutes", "9天", "99小时"],
        "measure": ["99 cm", "199x99 mm", "9.99 kg", "99%", "220V"],
        "quantity": ["99", "9 pieces", "9件"],
        "time": ["9:30", "19:45", "9 pm", "8点半"],
        "code": ["404", "E-99", "0x8007999F", "5\\09"],
        "expiry": ["\\09/27", "11/2\\9"],
    },
)
