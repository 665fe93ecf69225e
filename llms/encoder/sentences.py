"""Built-in sentences: some to calibrate integer products with, others to measure vectors on.

No sentence stands in both lists, so that the measured closeness is not that of the sentences tuned on.
"""

_CALIBRATION_SENTENCES = (
    "Where is my parcel?",
    "I would like to return the blue jacket, it is too small.",
    "The meeting was moved from Tuesday to Thursday afternoon.",
    "How do I change the address of my account?",
    "Water boils at a lower temperature high up in the mountains.",
    "My card was declined twice although there is enough money on it.",
    "The committee published its yearly report on river pollution.",
    "Can you recommend a quiet hotel near the station?",
    "Error 503: the service is not available, please try again in 30 seconds.",
    "She planted tomatoes, beans and two rows of carrots behind the house.",
    "Patients who slept less than six hours scored lower in the memory test.",
    "Please cancel order 48213 and refund the amount to my bank.",
    "def area(width, height): return width * height",
    "The old bridge was closed after engineers found cracks in three of its pillars.",
    "Why was I charged a fee for taking out cash abroad?",
    "Shares of the car maker fell by four percent after the announcement.",
    "The protein binds to the receptor and slows down the growth of the cells.",
    "Great product, but the battery lasts only half a day.",
    "No.",
    "thanks a lot!!!",
    "The exchange rate in the app differs from the one on my statement, which of them counts?",
    "A short walk after lunch is said to help against tiredness in the afternoon.",
    "Invoice 2021-07 is due on 14 March; the total is 1,249.50 EUR including tax.",
    "The novel tells of two sisters who run a ferry on a wide, slow river.",
    "Turn the screw to the left until the lid comes off, then take out the filter.",
    "Top up failed, what now",
    "I never ordered this, and nobody answers the phone.",
    "Treatment with the drug did not change blood pressure in older adults.",
    "The train to the coast leaves from platform nine at 07:45.",
    "What documents do I need to prove who I am?",
    "Their new record sounds warmer than the last one, with more piano and fewer drums.",
    "SELECT name, price FROM items WHERE price < 20 ORDER BY price;",
    "Rain is expected in the north, while the south stays dry and sunny.",
    "He apologised for the delay and offered us a cup of tea.",
    "The lamp flickers whenever the washing machine starts to spin.",
    "Which of these two phones takes better pictures at night?",
    "我的包裹到哪里了？",
    "这件衣服太小了，我想退货。",
    "请问怎样修改我的收货地址？",
    "会议改到星期四下午三点举行。",
    "这家酒店离地铁站很近，早餐也不错。",
    "我的银行卡被拒绝了两次，可是余额明明够。",
    "研究人员发现，睡眠不足会影响记忆力。",
    "订单已经取消，退款会在三个工作日内到账。",
    "昨天的雨下得很大，公园里的路都被水淹了。",
    "不错！",
    "手机电池只能用半天，有点失望。",
    "公司公布了第三季度的业绩，收入比去年增长了百分之八。",
)

PROBES = (
    "Has my package been sent already?",
    "I want to give the shoes back because the sole came off on the first day.",
    "Which bus goes to the airport early in the morning?",
    "ok",
    "What is the fee for sending money to another country?",
    "The museum shows paintings of the sea by artists who never left their village.",
    "Somebody used my card in a shop that I have never been to.",
    "Children who read every day learn new words faster.",
    "The pump stops after ten minutes and the red light blinks three times.",
    "Please delete my account and all the data that belongs to it.",
    "Mice without this gene put on weight even with little food.",
    "The minister said on Monday that the new law would come into force in autumn.",
    "Is there a limit to how much I can pay with my phone?",
    "I love it, best headphones I ever had, five stars.",
    "ValueError: expected 3 values, got 2 (line 17)",
    "The soup tastes best on the second day, when the spices have had time to settle.",
    "Wind turbines produced more power than coal plants in the first half of the year.",
    "my pin is blocked how can i unblock it",
    "Two small studies suggest that the vaccine protects for at least five years, but longer ones are still missing.",
    "The delivery person left the box in the rain, so the books are wet.",
    "Refund?!",
    "In 1969 the crew of the ship counted 412 islands along the coast.",
    "我想查一下订单的物流信息。",
    "银行卡丢了，应该怎么办？",
    "这本书写得很有意思，推荐给大家。",
    "请把发票寄到公司的新地址。",
    "新药对老年患者的血压没有明显影响。",
    "客服一直没有回复，等了快一个小时。",
    "火车几点出发？",
    "好的，谢谢。",
    "The landlord promised to repair the heating before winter. By the middle of November nothing had happened, and "
    "the tenants wrote to the city. An inspector came, measured fourteen degrees in the kitchen, and gave the owner "
    "ten days. On the ninth day two workers arrived with a new boiler.",
    "上个月我在网上买了一台咖啡机，用了不到两个星期就漏水了。联系卖家以后，对方让我拍照片发过去，"
    "然后说可以免费换一台新的。新的机器三天就到了，到现在为止用起来一切正常。",
)


def _with_long_texts(sentences: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sentences and texts made of several of them: activations depend on the length too."""
    pairs = [" ".join(sentences[begin : begin + 3]) for begin in range(0, len(sentences), 6)]
    pages = [" ".join(sentences[begin : begin + 12]) for begin in range(0, len(sentences), 12)]
    return (*sentences, *pairs, *pages)


CALIBRATION = _with_long_texts(_CALIBRATION_SENTENCES)
