"""Tables of names: Chinese surnames, given names that are no words of English, and words that are no names."""

_SINGLE = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎"
    "余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易武乔贺赖龚文庞"
    "樊兰殷施陶洪翟安颜倪严牛温芦季俞章鲁葛伍韦申尤毕聂丛焦向柳邢路岳齐沿梅莫庄辛管祝左涂谷祁时舒耿牟卜詹"
    "关苗凌费纪靳盛童欧甄项曲成游阳裴席卫屈鲍覃霍翁隋植甘景薄司柏宁柯阮桂闵解强柴华冉边辜吉饶刁瞿戚丘古米"
    "池滕晋苑邬臧畅宫来嵺苟褚廉简娄盖符奚木穆党燕郎邸冀谈姬屠连郜晏栾郁商蒙计喻揭窦迟宇敖糜鄢冷卓花仇艾蓝"
    "巩稽井练仲乐虞卞封竺冼衣楚佟栗匡宗巫鞠僧桑荆谌银扬明沙伏岑习胥蔺張陳楊趙黃吳孫馬羅鄭謝韓馮蕭鄧許蘇盧"
    "蔣賈葉閻鍾"
)
_COMPOUND = (
    "欧阳 上官 司马 诸葛 东方 皇甫 尉迟 公孙 慕容 令狐 司徒 端木 "
    "夏侯 长孙 宇文 南宫 独孤 轩辕 申屠 澹台 闻人 呼延 欧陽 "
)
_GIVEN = """
aaron abdul abdullah abebe abigail achieng adaeze adam adebayo ademola adetokunbo aditi aditya adrian afonso agata
agnes agnieszka ahmad ahmed aida aiden aigerim ainhoa aino aisha akira aksel alan alba albert albina alejandro
aleksander aleksandra aleksei alessandra alessandro alessia alex alexander alexandra alexandre alexei alfred ali
alice alicia alina alison allison alma alvaro amadou amanda amara amelia amin amina aminata amir amit amrita amy ana
anastasia anders andrea andreas andrei andrej andres andrew andrzej andré andrés andy angela anh anika anil anita
anja anjali anke ann anna anne annie annika anthony antoine anton antoni antonia antonio anya aoife apinya arash
ariana arif arjun arnaud arne arthur arvid asha ashley ashok asif astrid audrey augusto awa ayaka ayesha aylin ayse
ayumi azra babak barbara barbora bartosz bastian beata beatrice beatriz becky ben benedikt benjamin benoit benício
bernard bernardo beth bethany bianca birgit bjorn björn blanca bob bogdan boris bradley brandon branislav brenda
brian bridget brigitte bronwyn bruce bruno bryan burak caio caleb callum camila camille camilo carla carlos carmen
carol caroline catherine cathy cecilia cem chandra charles charlotte cheryl chiamaka chiara chidi chinedu chinonso
chipo chiyo chloe chloé chloë chris christian christina christine christophe christopher ciara cillian citlali
claire clara claudia clemens clement colin connor conor consuelo cormac cosmin craig cristina cynthia daan dagmar
dagny daisuke daisy daniel daniela danielle dario darius dave davi david debbie deborah deepak deepika denisa denise
dennis derek desmond diana diego dieter dimitri dina dinesh dmitri dmitry dominic dominik donald donna doris dorota
dorothy douglas duc duncan dylan eddie edgar edita edith eduard eduardo edward eero eileen eirik ekaterina elena eli
elias elif elijah elina elisa elisabeth elise elizabeth ella ellen elodie elsa emeka emil emilia emiliano emilie
emily emma emmanuel emre encarnación enrique enzo erdem eric erica erik erika eriko erin ernesto esperança esra
esther ethan etienne eugene eusebio eva evan evelyn evgeny ewa ezequiel fabian fabio facundo fadi faisal farah farid
farida fatima fatou fatoumata federica federico felipe felix ferdinand fernando filip filippo finn fiona fionn
florence florian folake frances francesca francesco francis francisco francois frank franziska frederick freya frida
fumiko gabriel gabriela gabriele gareth gary gaurav gemma genevieve geoffrey georg george georgia georgios gerald
gerard gerhard gina giorgio giovanni giulia giuseppe gloria goran gordon grace greg gregory greta grzegorz guadalupe
gudrun guido guillaume gunnar gunther gustav gustavo günther habiba hadiza haider hakan halima hamid hamza hanh
hanna hannah hanne hans harriet harry haruka haruki haruto hasan hassan hatice heather hector heidi heike heiko
heinrich heitor helen helena helene helga henri henrik henry hermann hideo hilde hiroshi hoa holly howard hugh hugo
hyun hélène ian ibrahim ibrahima ifeoma ignacio igor ikram ilaria ilona ilse imran inaya ines inge ingeborg ingo
ingrid inès ioana irene irina isaac isabel isabella isha ishaan ismail itzel ivan ivana ivo iván jacek jacob
jacqueline jadwiga jake jakub james jamie jana jane janek janet janice janina jarek jasmin jasmine jason javad
javier jaya jean jeff jeffrey jelena jenna jennifer jenny jens jeremy jerome jerry jesse jessica jesús ji-hoon jill
jim jimmy jiri jiří joan joanna joanne joao joaquin jochen joe joel johan johanna johannes john jolanta jonas
jonathan jorge jorn jose josef josefina joseph josephine joshua josé jovana joão juan judith judy julia julian
juliana julie julien juliet juliette justin jutta jörg jürgen kagiso kaitlyn kaito kamal kamau kamil karen karim
karin karl karolina kasia katarina katarzyna kate katherine kathleen kathryn kathy katie katja katrin kaveh kavita
kayla kazuki keith kelly kemal ken kenji kenneth kerstin kevin khadija khaled khalid kimberly kiran klara klaus kofi
konrad kristen kristin kristina kristof kumar kurt kwabena kwame kyle lakshmi lara larissa lars lasse laura lauren
laurence lautaro leah leila lena lenka leo leon leonard leonardo lerato leroy leslie leticia liam lidia liisa lily
lina linda linh lisa lorena lorenzo lothar louis louise luca lucas lucia luciano lucie lucy lucía ludwig luigi luis
luisa lukas lukasz luke lutz lydia lynn maarten maciej madison maeve magda magdalena magnus mahmoud mai maja
malgorzata malik malin manish manuel manuela marc marcel marcela marcelo marcin marco marcus marek margaret
margarita margit margot maria mariam mariana marianne mariano marie marina mario marion mariusz marko markus marlene
marta martha martin martina martín mary mateo mateusz mathias mathieu mathilde matilda matt matteo matthew matthias
mattias maureen maurice mauricio mauro maxime meera megan mehdi mehmet mei-ling melanie melike melissa mercedes
merve mia michael michaela michal michel michele michelle miguel mika mikael mike mikhail mila milagros milan milena
milos min-jun mina minh miriam miroslav miroslava mohamad mohamed mohammed mohan mohsin monica monika monique morgan
moritz moussa muhammad murat mustafa mária mónica nabil nadia nadine nadja nam naoko naomi narges natalia natalie
natalya natasha nathan neha neil nela nestor ngoc ngozi niamh nicholas nick nicola nicolai nicolas nicole niels
nigel nikhil nikita nikolai nikolaos nils nina nirmala njeri noah nomvula noor nora norbert norman nour nuno nuria
odile olaf oleksandr olena olga oliver olivia olivier oluwaseun omar omari ondrej orla oscar oskar osman otieno otto
ousmane owen pablo pamela paolo pascal patrice patricia patrick patrik paul paula paulo pavel pawel pedro peggy
penelope peter petr petra phil philip philippe phillip phoebe phuong pia pierre piotr pooja pradeep prakash pranav
praveen priya rachel radek radoslav rafael rafaela rafal rahul raj rajesh rajiv ralph ramesh ramon ramón randy rania
rashid raul ravi raymond rebecca regina reinhard remi renata renate rene rené reza ricardo riccardo richard
rigoberto rikard rita robert roberto robin rocío rodrigo roger rohan rohit roisin roland romain roman ronald rosa
rosemary ross roy ruben rupert russell rustam ruth ryan ryszard sabine sabrina sachin saeed saif sally salma
salvatore sam samantha samir samira samuel sandeep sandra sandrine sanjay sanna santiago saoirse sara sarah sarita
saskia satoshi scott sean sebastian sebastien seo-yeon serena serge sergei sergey sergio sergiu seth shabnam shankar
shannon shanthi sharon shaun sheila shira shirley shreya shu siddharth sigrid silke silvia silvio simon simona
simone simran sinead siobhan sipho slavica snezana sofia sofie sofía soledad solveig sonia sonja sophia sophie
soraya soren stanley stefan stefania stefanie stefano steffen stella stephanie stephen steve steven stine stuart
stéphane sudha sumit sunil sunita suresh surya susan susana susanne sushila suzanne sven svetlana swati sylvia
sylvie szymon søren tadeusz takashi takumi tamar tamara tamas tania tanya tara tariq tatiana tatyana ted tendai
teresa terje terry thabo thanh thea theo theodora theodore theresa thiago thierry thomas thorsten thuy tiago tiffany
tijana tim timothy tina tobias toby todd tom tomas tomasz tommaso tomoko tony torsten tracy trang trevor tuan tuomas
tyler ugo ulf ulla ulrich ulrike umar ursula usha uwe vaclav vadim valentin valentina valentino valeria valerie
valerio vanessa vasile vasilis vera veronica veronika verónica victor victoria vikram viktor viktoria vilma vinay
vincent vincenzo virginia vishal vivek vivian vlad vladimir vojtech volker walter wanda wanjiku wanjiru wayne wendy
wesley wiebke wiktor wilhelm william wilma wojciech wolfgang xavier xiaoling xiaoming ximena xiomara yan-ling
yannick yasin yasmin yasmine yelena yesenia yolanda yosef yoshiko youssef yuki yulia yuri yusuf yusuke yuto yvette
yvonne zachary zahra zainab zanele zara zehra zeynep zoe zoë zsofia zuzana ángel élodie łukasz
"""
_FAMILY = """
abbott abdi abdullah abubakar acosta adams addo adebayo adekunle adeyemi agarwal aguilar aguirre ahmadi ahmed akhtar
albrecht alexander alfaro ali allen almeida alonso alvarez amadi amoah anand andersen anderson andersson andrade
andrews antonov appiah aquino arias arnold arroyo asante atkinson avila ayala aziz bailey baldwin ballard balogun
banda banerjee barber barker barnes barrett barrios barry bates batista bauer baumann beck becker begum bell beltran
benitez bennett benson berg berger bergeron bergmann bergström bernard bhatt bianchi bianco bishop blair blake
blanco boateng bondarenko bonnet borges bosch bouchard boyle bradley braga brandt braun brennan brewer briggs brooks
bruno bryant burns bustos butler byrne cabrera calderon caldwell camacho camara cameron campbell campos cano
cardenas cardoso carey carlsen carlson carpenter carrillo carroll carter castaneda castillo castro cervantes
chakraborty chan chandler chandra chang chapman chatterjee chaudhary chaudhry chavez chen cheng chiu cho choi
chowdhury christensen chung clark clarke clayton clement cochrane cohen cole coleman collins colombo conte contreras
conway cooper corbett cordero costa coulibaly cox craig crawford cruse cruz cunha cunningham curtis daly danso darko
das davidson davies davis dawson decker delacruz deleon delgado desai deshpande devi dhillon diallo dias diaz
dickinson dietrich dietz diop dixon doherty dominguez donovan dorsey douglas doyle drake duarte dubey dubois duffy
duncan dunn dupont duran durand dvořák díaz eaton eckert edwards egan eklund elliott ellis engel erickson eriksson
escobar espinoza esposito estrada evans eze farah farrell faulkner faust fenton fernandes fernandez fernández
ferrari ferreira fiore fischer fitzgerald fleming flores flynn fonseca fontaine forsberg foster fournier fowler
francis francois frank franke fraser freeman frey friedrich fuchs fuentes fujita fukuda fuller gabriel galindo
gallagher gallo garcia garcía gardner garnier garrett geiger george gerber ghosh gibson gilbert gill gillespie
giordano girard glover godfrey goldberg gomes gomez goncalves gonzaga gonzales gonzalez gonzález goodwin gordon
gould grady graham granger grant greco greene griffin griffith grimm gross gruber guerra guerrero guevara gupta
gutierrez guzman gyamfi gómez haas haddad hahn haley hall halvorsen hamilton hammond han hansen hansson haq harding
hardy harper harris harrison hart hartmann harvey hashimoto hassan haugen hawkins hayashi hayes heath hegde heinrich
heller henderson henry hensley herman hernandez hernández herrera hicks higgins hill ho hoang hobbs hodge hoffman
hoffmann hogan holland holm holmes holt hong hopkins horvath horváth hossain houston howard howell huang huber
hudson hughes hunt hunter hussain huynh hwang ibrahim iglesias ikeda inoue irwin isaksen ishikawa islam ito ivanov
iyer jackson jacobs jacobsen jain james jang jankowski jansen jansson jarvis jenkins jennings jensen jeong jha
jimenez jiménez johansen johansson johnson johnston jones jordan joshi juarez jung jørgensen kamara kaminski kang
kaplan kapoor karlsen karlsson kato kaufmann kaur kaya kearney keita keller kelly kennedy kenney kent kerr kessler
khalil khan kimura kirby klein knight knudsen koch konate kone korhonen kovac kovács kowalczyk kowalski kozlov kraus
krause krishnan krueger kruger kumar kumari kuznetsov kwon köhler lacroix lamb lambert lang lara larsen larson
larsson lau laurent lawson leblanc lee lefebvre lehman lehmann lemaire leon leonard leroy lester levine levy
lewandowska lewandowski lewis lim lima lin lindahl lindberg lindgren lindholm lindqvist lindström liu lloyd logan
lombardi lopez lorenz lowe lozano lucas luna lund lynch lyons lópez macdonald mackenzie madsen maier maldonado malik
malone mancini mandal mann manning mansour marchetti marin marino marquez marshall martel martinez martins martínez
massey matsumoto matthews maxwell mayer mazur mbeki mccarthy mccoy mcdonald mcgrath mckenzie mclean mcmahon mehta
meier mejia melo mendes mendez mendoza mensah mercado merkel meyer meza michaud miles miller mills miranda mishra
mitchell mohamed mohammed molina monroe montero montoya moore morales moran moreau moreno moretti morin morris
morrison moss mota moyo mueller mukherjee mullen mundt munoz murphy murray musa mutua muñoz myers mäkinen müller
nagy naidu nair nakamura nash navarro navas ndiaye neal nelson neumann newman newton nguyen nicholson nielsen nieves
nikolaev nilsson nkosi nolan norris novak novák nowak nunez nuñez nwosu núñez obi obrien ochieng oconnor odonnell
ofori ogawa okada okafor okeke okonkwo oliveira oliver olsen olson olsson omar oneill oreilly ortega ortiz osborne
osei osman otero otieno owusu pacheco padilla palmer pandey papadopoulos pappas park parker parsons pascual patel
paul paulsen pavlov payne pearce peck pedersen pena peralta pereira perera perez perkins perry persson peters
petersen peterson petrov petrova peña pham phan phillips pierce pineda pinto poole popa pope popescu popov porter
potter powell powers prasad pratt pérez quinn quintero quispe qureshi rahimi rahman raman ramirez ramos ramsey
ramírez rana randall rao rasheed rasmussen rau ray reddy reed reese reid reilly reis reyes reynolds rhodes ribeiro
ricci richards richardson richter riley rios rivas rivera roach roberson roberts robertson robinson rocha roche
rodrigues rodriguez rodríguez rogers rojas roman romano romero rosales rosario rosas ross rossetti rossi roth
rousseau roux rowe rubio ruiz rush russo ryan saad saeed saito salazar salinas samuel sanchez sandberg sanders
sandhu sandoval santana santiago santos sarkar sasaki sato saunders sawyer schaefer schmid schmidt schmitt schmitz
schneider scholz schroeder schröder schubert schulte schulz schumacher schuster schwarz scott sen serrano sesay shah
shaikh shannon sharma shaw shelton shepherd sherman shevchenko shields shin siddiqui silva silverman simmons simpson
sinclair singh sinha sjöberg skinner smirnov smith snyder soares sokolov sokolova solis solomon song soto sousa
souza sparks spencer srinivasan stanley steele stein stephens stephenson stevens stewart stokes strauss suarez
subramanian sullivan sutton suzuki svensson swanson sweeney sylla szabó sánchez sørensen tahir takahashi takeda tan
tanaka tapia tate tavares taylor teixeira terry thapa thomas thompson thomsen thornton tkachenko torres toure tran
traore tremblay trujillo tucker turay turner tyler tóth ueda underwood valdez valencia valentine vargas vasquez
vaughn vazquez vega velasco velasquez venter verma vieira villa villanueva vincent vogel volkov volkova voss wade
wagner walker wallace walsh walter walters walton wang ward warner warren watanabe watkins watson watts weaver webb
weber webster weeks weiss wheeler whitaker whitfield wiley wilkins wilkinson williams williamson willis wilson
winkler wojcik wolf wolfe wong woodward wright wu yadav yamada yamaguchi yamamoto yang yates yildiz yilmaz yoon
yoshida yu yusuf zamora zapata zavala zeller zhang zhao zhou zhu ziegler zimmer zimmermann zuniga çelik özdemir
öztürk şahin
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
_THINGS = """
hong kong kuala buenos aires rio abu tel aviv cape sri lanka costa rica puerto
account accounts adapter adidas advanced africa afternoon air airbnb airlines airport airways amazon america answer
apple april assistant august australia autumn avenue bag bank banks basic battery bay beach beauty beer best big
black blue bluetooth book box bread bridge brown buds bundle business cable camera cape card cards care case center
central centre chapter charger china city classic cleaner cloud club code coffee company conditions console corp
costa cover credit cup customer dark day debit december deep delivery deluxe department desk diamond direct double
dress drive dryer east eastern easy edition eve evening executive express extra facebook fashion fast february
festival first fort free friday fridge games garden gold google gray great green grey group guide hall happy harbor
harbour headphones help home hotel hotels house inc instagram insurance internet invoice ireland island islands
jacket january july june kingdom kit kitchen korea label lake laptop las league lego level light limited linkedin
lite little llc los ltd machine mail manual march market marketplace max membership microsoft milk mini monday monte
morning mount mountain natural netflix new next night nike nintendo north northern note november number october
office oil old orange order orders organic original oven pack page pants park part pass pay paypal phase phone pink
plan plans platinum play playstation please plus pods points policies policy port post premier premium price printer
privacy pro program programme protection pure purple quality question receipt red refunds returns rewards rice river
road robot router saint sale sales samsung san saturday screen second section september series service services set
shipping shirt shoes shop silver single smart sony south southern speaker special sports spotify spring square st
stage standard star stars states station step store stores street studio subscription summer sunday super support
tab tablet tea team terms tesla thank third thursday tiktok tower toys triple tuesday twitter uber ultra unhappy
united university vacuum valley version very visa wallet warehouse warranty wars washing watch water wednesday week
west western white wifi wine winter wireless world worst xbox yellow york youtube zealand
"""
_SENTENCE_WORDS = """
address born called card date dob e-mail email had has id lives number password phone tel you's
"""

_IN_GIVEN_NAMES = (
    "栋伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂兰辉玲丹萍华红玉梅建国志文斌宇浩凯鑫鹏飞旭俊博峰龙波宁健晨晓"
    "雪琳佳欣怡婷倩颖莹洁慧雅琴云莲真环爱妹香月莺媛瑞凡嘉琼勤珍贞莉叶璧璐娅琦晶妍茜秋珊莎锦黛青婉娴瑾露瑶梦岚苑婕"
    "馨瑗琰韵融艺咏卿聪澜纯毓悦昭冰爽琬茗羽希思彤涵轩睿泽子梓雨桐宸奕昊然诗铭皓一诺语淑芬金福祥德庆春生海东林树森"
    "根宝富贵顺昌盛兴旺荣耀宗光天翔远航帆钧彬彦骏哲昱霖沛恒毅诚信仁义礼智忠孝廷锋威武楠楷烨煜炜灿炎琪振家豪美鸣小"
    "若可心妙童乐欢念凤仙娣菊芝荷芸芹彩惠敬巧妮娇媚素桃杏瑛珠翠雁霜容清漫亦凝沐柔舒逸朗立群众川江河山岩石岭坤乾鸿"
    "翰腾跃达升才章学力俭正安民邦启元初始善良坚硕伦仲季少鹤麟虎豹驰紫萱燕婧曦佑菲薇蓉蕾蕊萌葵薰芮芷荔茵茹菁菡蓓蓝"
    "蕴柯栩桦楚榕槿樱橙檬欧汐沁泓洛洵浚淇淳渊涟滢潇澄瀚灵烁焕煊熙燃爵玥玮珂珺琛瑜璇璟甜畅皎盈睦瞳祎祺禾稷穆竹筠筱"
    "绮绫维缨翎翊耘聆舟芯芊苒苓蔓蘅衡谦谨豫贤赫辰迪郁鉴钰铃铮锐闻闵阔阳雯霄韬韶颂颜飒馥驭骥鹃齐龄花新卫亮佩俪俐倬"
    "冠凌劲勋卓唯喜夕奇姗姝婵嫣孜守宜宣宪宽寒屏峥峻崇嵘弘彪影忆怀恩恬悠惟愉慎慕懿扬承拓捷敦旋昂晖晗曼朋松枝枫柏榆"
    "歌永汉汶沫津浦浪淼渝湘湛滔滨漪澍瀛炫烈焱牧玛玟玫珀珉珏珑琇瑄益眉祖禹竞纲绍绪缘肖肃胜舜茂荃萧葆蔚蔼藻虹蛟裕誉"
    "谊贝轶醒钦闯隆隽雄霁霆霏霓韦驹骁魁鼎"
)

SINGLE_SURNAMES = frozenset(_SINGLE)
GIVEN_CHARACTERS = frozenset(_IN_GIVEN_NAMES)
COMPOUND_SURNAMES = frozenset(_COMPOUND.split())
GIVEN_NAMES = frozenset(_GIVEN.split())
FAMILY_NAMES = frozenset(_FAMILY.split())

# words that stand with a capital letter where a name could
NO_NAMES = frozenset(_NO_NAMES.split())
# with which a sentence goes on behind a name
FAMILY_WORDS = frozenset(
    ["green", "black", "white", "brown", "may", "day", "march", "gold", "gift", "page", "price"]
)  # names behind a given one
SENTENCE_WORDS = NO_NAMES | frozenset(_SENTENCE_WORDS.split())
# parts of the names of products, places and companies
THINGS = frozenset(_THINGS.split())
