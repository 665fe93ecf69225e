"""Tables of names: Chinese surnames, and given names that are no words of English."""

SINGLE_SURNAMES = frozenset(
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏"
    "钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文庞樊兰殷施陶洪翟安颜"
    "倪严牛温芦季俞章鲁葛伍韦申尤毕聂丛焦向柳邢路岳齐沿梅莫庄辛管祝左涂谷祁时舒耿牟卜路詹关苗凌费纪靳盛童欧甄项曲成"
    "游阳裴席卫查屈鲍位覃霍翁隋植甘景薄单包司柏宁柯阮桂闵解强柴华车冉房边辜吉饶刁瞿戚丘古米池滕晋苑邬臧畅宫来嵺苟全"
    "褚廉简娄盖符奚木穆党燕郎邸冀谈姬屠连郜晏栾郁商蒙计喻揭窦迟宇敖糜鄢冷卓花仇艾蓝巩稽井练仲乐虞卞封竺冼原衣楚"
    "佟栗匡宗巫鞠僧桑荆谌银扬明沙薄伏岑习胥蔺刘張陳楊趙黃吳孫馬羅鄭謝韓馮蕭鄧許傅蘇盧蔣賈葉閻鍾"
)
COMPOUND_SURNAMES = frozenset(
    "欧阳 上官 司马 诸葛 东方 皇甫 尉迟 公孙 慕容 令狐 司徒 端木 夏侯 长孙 宇文 南宫 独孤 轩辕 申屠 澹台 闻人 呼延 欧陽".split()
)
GIVEN_NAMES = frozenset(
    """
    aaron abigail adam adrian agnes ahmed aisha alan albert alejandro alessandro alex alexander alexandra alfred ali
    alice alicia alison allison amanda amelia amir amy ana anastasia andrea andreas andrew andy angela anita ann anna
    anne annie anthony antonio anya arjun arthur asha ashley astrid audrey barbara beatrice becky ben benjamin bernard
    beth bethany bianca bob bradley brandon brenda brian bridget bruce bruno bryan caleb callum camille carla carlos
    carmen carol caroline catherine cathy cecilia charles charlotte cheryl chiara chloe chris christian christina
    christine christopher claire clara claudia colin connor craig cristina cynthia daisuke dana daniel daniela danielle
    dave david deborah debbie denise dennis derek diana diego dmitri dominic donald donna doris dorothy douglas duncan
    dylan eddie edgar edith eduardo edward eileen elena eli elias elijah elisabeth elizabeth ella ellen emil emily emma
    enrique eric erica erik erin ethan eugene eva evan evelyn fatima felix fernando fiona florian frances francesca
    francesco francis francisco frederick gabriel gabriela gareth gary gemma geoffrey george georgia gerald gina
    giovanni giulia gloria gordon grant greg gregory greta guillaume gustavo hannah hans harriet harry hassan heather
    hector heidi helen helena henrik henry hiroshi holly howard hugo ian ibrahim igor ingrid irene isaac isabel isabella
    ivan jacob jacqueline jake james jamie jan jane janet janice jason javier jean jeff jeffrey jenna jennifer jenny
    jeremy jerry jesse jessica jill jim jimmy joan joanna joe joel johan johanna john jonas jonathan jorge jose joseph
    joshua juan judith judy julia julian julie juliet justin kaitlyn karen karin karl kate katherine kathleen kathryn
    kathy katie kayla keith kelly ken kenji kenneth kevin khalid kim kimberly klaus kristen kristina kumar kurt kyle
    lars laura lauren laurence leah lee lena leo leon leonard leroy leslie liam lily linda lisa lorenzo louis louise
    luca lucas lucia lucy luis lukas luke lydia lynn madison magdalena malik manuel marco marcus margaret maria mariam
    marie marina mario marion marta martha martin martina mary mateo mathilde matt matthew maureen maurice max maxime
    megan mehmet melanie melissa mia michael michelle miguel mike mila miriam mohamed mohammed monica monika morgan
    muhammad nadia naomi natalia natalie natasha nathan neha neil nicholas nick nicola nicolas nicole nigel nikhil nina
    noah nora norman olga oliver olivia omar oscar owen pablo pamela patricia patrick paul paula pedro peggy penelope
    peter petra phil philip phillip phoebe pierre priya rachel rafael rahul ralph ramon randy raymond rebecca renata
    ricardo richard rita robert roberto robin rodrigo roger roland ronald rosa rosemary ross roy russell ruth ryan
    sabrina sally sam samantha samuel sandra sanjay sara sarah scott sean sebastian sergei sergio seth shannon sharon
    shaun sheila shirley silvia simon simone sofia sophia sophie stanley stella stephanie stephen steve steven stuart
    sunita susan susanne suzanne svetlana sven sylvia tamara tanya tara ted teresa terry theo theodore theresa thomas
    tiffany tim timothy tina toby todd tom tomasz tony tracy trevor tyler ulrich ursula valentina valerie vanessa vera
    veronica victor victoria vikram vincent virginia vivian vladimir walter wanda wayne wendy wesley wilhelm william
    wolfgang yasmin yolanda yuki yusuf yvonne zachary zara zoe wei xiao ming jing hui fang hong mei yan lei jun ping
    """.split()
) - frozenset("wei xiao ming jing hui fang hong mei yan lei jun ping lee max kim grant dana".split())
