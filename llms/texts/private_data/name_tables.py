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
aaron abdul abdullah abebe abigail adaeze adam adebayo ademola adetokunbo aditi aditya adrian afonso agata agnes
agnieszka ahmad ahmed aida aiden aigerim ainhoa aino aisha akira aksel alan alba albert albina alejandro aleksander
aleksandra aleksei alessandra alessandro alessia alex alexander alexandra alexandre alexei alfred ali alice alicia
alina alison allison alma alvaro amanda amara amelia amin amina amir amit amrita amy ana anastasia anders andrea
andreas andrei andrej andres andrew andrzej andré andrés andy angela anika anil anita anja anjali anke ann anna anne
annie annika anthony antoine anton antoni antonia antonio anya aoife apinya arash ariana arif arjun arnaud arne
arthur arvid asha ashley ashok asif astrid audrey augusto ayaka ayesha aylin ayse azra babak barbara barbora bartosz
bastian beata beatrice beatriz becky ben benedikt benjamin benoit bernard bernardo beth bethany bianca birgit bjorn
björn blanca bob bogdan boris bradley brandon branislav brenda brian bridget brigitte bronwyn bruce bruno bryan
burak caleb callum camila camille carla carlos carmen carol caroline catherine cathy cecilia cem chandra charles
charlotte cheryl chiamaka chiara chidi chinedu chinonso chloe chloé chloë chris christian christina christine
christophe christopher ciara cillian claire clara claudia clemens clement colin connor conor cormac cosmin craig
cristina cynthia daan dagmar dagny daisuke daisy daniel daniela danielle dario darius dave david debbie deborah
deepak deepika denisa denise dennis derek desmond diana diego dieter dimitri dina dinesh dmitri dmitry dominic
dominik donald donna doris dorota dorothy douglas duncan dylan eddie edgar edita edith eduard eduardo edward eero
eileen eirik ekaterina elena eli elias elif elijah elina elisa elisabeth elise elizabeth ella ellen elodie elsa
emeka emil emilia emiliano emilie emily emma emmanuel emre enrique enzo erdem eric erica erik erika eriko erin
ernesto esra esther ethan etienne eugene eva evan evelyn evgeny ewa fabian fabio fadi faisal farah farid farida
fatima federica federico felipe felix ferdinand fernando filip filippo finn fiona fionn florence florian folake
frances francesca francesco francis francisco francois frank franziska frederick freya frida fumiko gabriel gabriela
gabriele gareth gary gaurav gemma genevieve geoffrey georg george georgia georgios gerald gerard gerhard gina
giorgio giovanni giulia giuseppe gloria goran gordon grace greg gregory greta grzegorz guadalupe gudrun guido
guillaume gunnar gunther gustav gustavo günther habiba hadiza haider hakan halima hamid hamza hanna hannah hanne
hans harriet harry haruka haruto hasan hassan hatice heather hector heidi heike heiko heinrich helen helena helene
helga henri henrik henry hermann hideo hilde hiroshi holly howard hugh hugo hélène ian ibrahim ibrahima ifeoma
ignacio igor ikram ilaria ilona ilse imran inaya ines inge ingeborg ingo ingrid inès ioana irene irina isaac isabel
isabella isha ishaan ismail ivan ivana ivo iván jacek jacob jacqueline jadwiga jake jakub james jamie jan jana jane
janek janet janice janina jarek jasmin jasmine jason javad javier jaya jean jeff jeffrey jelena jenna jennifer jenny
jens jeremy jerome jerry jesse jessica jesús jill jim jimmy jiri jiří joan joanna joanne joao joaquin jochen joe
joel johan johanna johannes john jolanta jonas jonathan jorge jorn jose josef josefina joseph josephine joshua josé
jovana juan judith judy julia julian juliana julie julien juliet juliette justin jutta jörg jürgen kaitlyn kamal
kamil karen karim karin karl karolina kasia katarina katarzyna kate katherine kathleen kathryn kathy katie katja
katrin kaveh kavita kayla kazuki keith kelly kemal ken kenji kenneth kerstin kevin khadija khaled khalid kimberly
kiran klara klaus kofi konrad kristen kristin kristina kristof kumar kurt kwabena kwame kyle lakshmi lara larissa
lars lasse laura lauren laurence leah leila lena lenka leo leon leonard leonardo leroy leslie leticia liam lidia
liisa lily lina linda linh lisa lorena lorenzo lothar louis louise luca lucas lucia luciano lucie lucy lucía ludwig
luigi luis luisa lukas lukasz luke lutz lydia lynn maarten maciej madison maeve magda magdalena magnus mahmoud mai
maja malgorzata malik malin manish manuel manuela marc marcel marcela marcelo marcin marco marcus marek margaret
margarita margit margot maria mariam mariana marianne mariano marie marina mario marion mariusz marko markus marlene
marta martha martin martina martín mary mateo mateusz mathias mathieu mathilde matilda matt matteo matthew matthias
mattias maureen maurice mauricio mauro maxime meera megan mehdi mehmet mei-ling melanie melike melissa mercedes
merve mia michael michaela michal michel michele michelle miguel mika mikael mike mikhail mila milan milena milos
mina miriam miroslav miroslava mohamad mohamed mohammed mohan mohsin monica monika monique morgan moritz muhammad
murat mustafa mária mónica nabil nadia nadine nadja naoko naomi narges natalia natalie natalya natasha nathan neha
neil nela nestor ngoc ngozi niamh nicholas nick nicola nicolai nicolas nicole niels nigel nikhil nikita nikolai
nikolaos nils nina nirmala noah noor nora norbert norman nour nuno nuria odile olaf oleksandr olena olga oliver
olivia olivier oluwaseun omar omari ondrej orla oscar oskar osman otto owen pablo pamela paolo pascal patrice
patricia patrick patrik paul paula pavel pawel pedro peggy penelope peter petr petra phil philip philippe phillip
phoebe pia pierre piotr pooja pradeep prakash pranav praveen priya rachel radek radoslav rafael rafal rahul raj
rajesh rajiv ralph ramesh ramon ramón randy rania rashid raul ravi raymond rebecca regina reinhard remi renata
renate rene rené reza ricardo riccardo richard rikard rita robert roberto robin rodrigo roger rohan rohit roisin
roland romain roman ronald rosa rosemary ross roy ruben rupert russell rustam ruth ryan ryszard sabine sabrina
sachin saeed saif sally salma salvatore sam samantha samir samira samuel sandeep sandra sandrine sanjay sanna
santiago saoirse sara sarah sarita saskia satoshi scott sean sebastian sebastien serena serge sergei sergey sergio
sergiu seth shabnam shankar shannon shanthi sharon shaun sheila shira shirley shreya shu siddharth sigrid silke
silvia silvio simon simona simone simran sinead siobhan slavica snezana sofia sofie sofía soledad solveig sonia
sonja sophia sophie soraya soren stanley stefan stefania stefanie stefano steffen stella stephanie stephen steve
steven stine stuart stéphane sudha sumit sunil sunita suresh surya susan susana susanne sushila suzanne sven
svetlana swati sylvia sylvie szymon søren tadeusz takashi takumi tamar tamara tamas tania tanya tara tariq tatiana
tatyana ted teresa terje terry thanh thea theo theodora theodore theresa thierry thomas thorsten tiago tiffany
tijana tim timothy tina tobias toby todd tom tomas tomasz tommaso tomoko tony torsten tracy trang trevor tuan tuomas
tyler ugo ulf ulla ulrich ulrike umar ursula usha uwe vaclav vadim valentin valentina valeria valerie valerio
vanessa vasile vasilis vera veronica veronika verónica victor victoria vikram viktor viktoria vilma vinay vincent
vincenzo virginia vishal vivek vivian vlad vladimir vojtech volker walter wanda wanjiru wayne wendy wesley wiebke
wiktor wilhelm william wilma wojciech wolfgang xavier xiaoling xiaoming ximena yan-ling yannick yasin yasmin yasmine
yelena yolanda yosef yoshiko youssef yuki yulia yuri yusuf yuto yvette yvonne zachary zahra zainab zara zehra zeynep
zoe zoë zsofia zuzana ángel élodie łukasz
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

# of which most names are made, without those that begin many other words
_FREQUENT = (
    "王李张刘陈杨赵黄周吴徐孙胡朱林何郭罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘"
    "杜戴夏钟汪姜范姚谭廖邹熊陆郝孔崔邱秦顾侯邵孟段钱汤尹黎贺赖龚"
)
_IN_GIVEN_NAMES = (
    "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂兰辉玲丹萍华红玉梅建国志文斌宇浩凯鑫鹏飞旭俊博峰龙波宁健晨晓雪琳佳欣怡"
    "婷倩颖莹洁慧雅琴云莲真环爱妹香月莺媛瑞凡嘉琼勤珍贞莉叶璧璐娅琦晶妍茜秋珊莎锦黛青婉娴瑾露瑶梦岚苑婕馨瑗琰韵融园艺咏卿聪澜纯"
    "毓悦昭冰爽琬茗羽希思彤涵轩睿泽子梓雨桐宸奕昊然诗妍浩铭皓轩一诺语淑芬金福祥德庆春生海东林树森根宝富贵顺昌盛兴旺荣耀宗光辉"
    "天翔远航帆钧彬彦骏哲昱霖沛恒毅诚信仁义礼智忠孝廷锋威武刚毅楠楷烨煜炜灿炎"
)

SINGLE_SURNAMES = frozenset(_SINGLE)
FREQUENT_SURNAMES = frozenset(_FREQUENT)
GIVEN_CHARACTERS = frozenset(_IN_GIVEN_NAMES)
COMPOUND_SURNAMES = frozenset(_COMPOUND.split())
GIVEN_NAMES = frozenset(_GIVEN.split())

# words that stand with a capital letter where a name could
NO_NAMES = frozenset(_NO_NAMES.split())
# with which a sentence goes on behind a name
SENTENCE_WORDS = NO_NAMES | frozenset(_SENTENCE_WORDS.split())
