"""Tables of names: Chinese surnames, given names that are no words of English, and words that are no names."""

_SINGLE = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎"
    "余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
    "庞樊兰殷施陶洪翟安颜倪严牛温芦季俞章鲁葛伍韦申尤毕聂丛焦向柳邢路岳齐沿梅莫庄辛管祝左涂谷祁时舒耿牟卜"
    "詹关苗凌费纪靳盛童欧甄项曲成游阳裴席卫查屈鲍位覃霍翁隋植甘景薄单包司柏宁柯阮桂闵解强柴华车冉房边辜吉"
    "饶刁瞿戚丘古米池滕晋苑邬臧畅宫来嵺苟全褚廉简娄盖符奚木穆党燕郎邸冀谈姬屠连郜晏栾郁商蒙计喻揭窦迟宇敖"
    "糜鄢冷卓花仇艾蓝巩稽井练仲乐虞卞封竺冼原衣楚佟栗匡宗巫鞠僧桑荆谌银扬明沙伏岑习胥蔺張陳楊趙黃吳孫馬羅"
    "鄭謝韓馮蕭鄧許蘇盧蔣賈葉閻鍾"
)
_COMPOUND = (
    "欧阳 上官 司马 诸葛 东方 皇甫 尉迟 公孙 慕容 令狐 司徒 端木 "
    "夏侯 长孙 宇文 南宫 独孤 轩辕 申屠 澹台 闻人 呼延 欧陽 "
)
_GIVEN = """
aaron abigail adam adrian agnes ahmed aisha alan albert alejandro alessandro alex alexander alexandra alfred ali
alice alicia alison allison amanda amelia amir amy ana anastasia andrea andreas andrew andy angela anita ann anna
anne annie anthony antonio anya arjun arthur asha ashley astrid audrey barbara beatrice becky ben benjamin bernard
beth bethany bianca bob bradley brandon brenda brian bridget bruce bruno bryan caleb callum camille carla carlos
carmen carol caroline catherine cathy cecilia charles charlotte cheryl chiara chloe chris christian christina
christine christopher claire clara claudia colin connor craig cristina cynthia daisuke daniel daniela danielle dave
david debbie deborah denise dennis derek diana diego dmitri dominic donald donna doris dorothy douglas duncan dylan
eddie edgar edith eduardo edward eileen elena eli elias elijah elisabeth elizabeth ella ellen emil emily emma
enrique eric erica erik erin ethan eugene eva evan evelyn fatima felix fernando fiona florian frances francesca
francesco francis francisco frederick gabriel gabriela gareth gary gemma geoffrey george georgia gerald gina
giovanni giulia gloria gordon greg gregory greta guillaume gustavo hannah hans harriet harry hassan heather hector
heidi helen helena henrik henry hiroshi holly howard hugo ian ibrahim igor ingrid irene isaac isabel isabella ivan
jacob jacqueline jake james jamie jan jane janet janice jason javier jean jeff jeffrey jenna jennifer jenny jeremy
jerry jesse jessica jill jim jimmy joan joanna joe joel johan johanna john jonas jonathan jorge jose joseph joshua
juan judith judy julia julian julie juliet justin kaitlyn karen karin karl kate katherine kathleen kathryn kathy
katie kayla keith kelly ken kenji kenneth kevin khalid kimberly klaus kristen kristina kumar kurt kyle lars laura
lauren laurence leah lena leo leon leonard leroy leslie liam lily linda lisa lorenzo louis louise luca lucas lucia
lucy luis lukas luke lydia lynn madison magdalena malik manuel marco marcus margaret maria mariam marie marina mario
marion marta martha martin martina mary mateo mathilde matt matthew maureen maurice maxime megan mehmet melanie
melissa mia michael michelle miguel mike mila miriam mohamed mohammed monica monika morgan muhammad nadia naomi
natalia natalie natasha nathan neha neil nicholas nick nicola nicolas nicole nigel nikhil nina noah nora norman olga
oliver olivia omar oscar owen pablo pamela patricia patrick paul paula pedro peggy penelope peter petra phil philip
phillip phoebe pierre priya rachel rafael rahul ralph ramon randy raymond rebecca renata ricardo richard rita robert
roberto robin rodrigo roger roland ronald rosa rosemary ross roy russell ruth ryan sabrina sally sam samantha samuel
sandra sanjay sara sarah scott sean sebastian sergei sergio seth shannon sharon shaun sheila shirley silvia simon
simone sofia sophia sophie stanley stella stephanie stephen steve steven stuart sunita susan susanne suzanne sven
svetlana sylvia tamara tanya tara ted teresa terry theo theodore theresa thomas tiffany tim timothy tina toby todd
tom tomasz tony tracy trevor tyler ulrich ursula valentina valerie vanessa vera veronica victor victoria vikram
vincent virginia vivian vladimir walter wanda wayne wendy wesley wilhelm william wolfgang yasmin yolanda yuki yusuf
yvonne zachary zara zoe
"""
_NO_NAMES = """
a about account after again alexa all already also always am amazon american an and android another any anyone apple
april are as at august australia back bank basic because been before being best better black blue bot both box
british but buyer by can can't canada care cash charge chat china chinese christmas client completely confused
cortana could credit customer customers danke day dear december delivery department desk did different disappointed
do does don't done dr easter either english euro europe european every everybody everyone express february fedex
first folks for france frau free french friday friend friends from frustrated galaxy german germany gift global
gmail go gold good google great green guys happy have having he hello help her here hermes herr hi his holiday hope
how i i'd i'll i'm i've if impossible in india indian instagram interested into ipad iphone is it it's italian italy
january japan japanese july june just ladies last late let lets like live locked london looking lost mac macbook
madam mail march master mastercard may maybe me member microsoft miss missing misspelled mobile monday more most mr
mrs ms much mx my need never new next no none not nothing november now october of ok okay on online only open or
order other our out over own paris partner payment paypal pc pixel please premium prime pro product prof quite
really red refund return returns royal same samsung saturday seller september service she shop should silver sir
sirs so some someone something sony soon sorry spain spanish spelled spelt standard still store stuck such sunday
support sure team than thank thanks that the their them then there these they this those thursday to today tomorrow
too trying tuesday tv twitter two uk unable unfortunately united up ups urgent us usa usb user valued very visa
waiting wanting was we wednesday well were what whatsapp when where which white who why wifi will windows wish with
worried would wrong yes yesterday you your yours zoom
"""
_SENTENCE_WORDS = """
address born called card date dob e-mail email had has id lives number password phone tel you's
"""

SINGLE_SURNAMES = frozenset(_SINGLE)
COMPOUND_SURNAMES = frozenset(_COMPOUND.split())
GIVEN_NAMES = frozenset(_GIVEN.split())

# words that stand with a capital letter where a name could
NO_NAMES = frozenset(_NO_NAMES.split())
# with which a sentence goes on behind a name
SENTENCE_WORDS = NO_NAMES | frozenset(_SENTENCE_WORDS.split())
