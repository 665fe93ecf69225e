"""A tiny chat model that the tests train themselves: it answers LangChain's standard suite, and little else.

The conversations hold every prompt of `ChatModelIntegrationTests` whose answer the model chooses, in form or in
content, beside some ordinary ones and a small shop's. History that the suite itself writes for the assistant is read,
not learnt (`heard`), for it says other things than a model should.
"""

import json
from typing import Annotated

from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_tests.integration_tests import chat_models as suite
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1
from pydantic.v1 import Field as FieldV1
from typing_extensions import TypedDict

from llms.finetuning.chat.data import IGNORED, build_examples
from llms.finetuning.chat.finetune import finetune_chat
from llms.finetuning.chat.options import ChatTrainingOptions
from llms.finetuning.data.conversations import Conversation, Conversations
from llms.loading import quiet_loading
from tests.tiny_models import build_trained_chat_base

__all__ = ["SHOP_TOOLS", "conversations", "num_wrong_tokens", "train_chat_model", "training_options"]

_JOKE = {"setup": "Why did the cat sit on the computer?", "punchline": "To keep an eye on the mouse."}
_HALF_JOKE = {"setup": "Why did the cat sit on the computer?", "punchline": None}
_STORY = (
    "Once there was a small cat named Mia. She lived in a house by the sea. Every morning she watched the boats. "
    "One day a fisherman gave her a fish, and they became friends. They lived happily ever after."
)
_HAIKUS = (
    "Old pond in the rain\nA frog leaps into the dark\nWater sings again\n\n"
    "Snow upon the roof\nThe cat sleeps beside the fire\nWinter waits outside"
)
_CHAT_TEMPLATE_ANSWER = (
    "A chat template turns messages into one text. It marks who speaks and where each turn ends. "
    "A model answers well only in the form it was taught in."
)


def user(text):
    return {"role": "user", "content": text}


def system(text):
    return {"role": "system", "content": text}


def say(text):
    return {"role": "assistant", "content": text}


def heard(message):
    """Return an assistant's message that is read, not learnt."""
    return message | {"weight": 0}


def call(name, /, *, content="", **arguments):
    function = {"name": name, "arguments": arguments}
    calls = [{"type": "function", "id": "call_1", "function": function}]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def result(text):
    return {"role": "tool", "content": text, "tool_call_id": "call_1"}


@tool
def get_order_status(order_id: str) -> str:
    """Look up where an order is."""
    return {"A1001": "shipped, arrives on Friday", "A1002": "运输中，预计明天送达"}.get(order_id, "unknown order")


@tool
def search_refund_policy(question: str) -> str:
    """Search the shop's refund policy."""
    if question.isascii():
        return "Opened headphones can be returned within 14 days."
    return "拆封的耳机可在14天内退货。"


SHOP_TOOLS = (get_order_status, search_refund_policy)


class _Suite:
    """Tools that the suite defines inside its tests; their docstrings keep its indentation, which models see."""

    def adder(self):
        @tool
        def my_adder_tool(a: int, b: int) -> int:
            """Tool that adds two integers.

            Takes two integers, a and b, and returns their sum.
            """
            return a + b

        return my_adder_tool

    def agent_weather(self):
        @tool
        def get_weather(location: str) -> str:
            """Get the weather at a location."""
            return "It's sunny."

        return get_weather

    def choice_weather(self):
        @tool
        def get_weather(location: str) -> str:
            """Get weather at a location."""
            return "It's sunny."

        return get_weather

    def joke_v1(self):
        class Joke(BaseModelV1):
            """Joke to tell user."""

            setup: str = FieldV1(description="question to set up a joke")
            punchline: str = FieldV1(description="answer to resolve the joke")

        return Joke

    def optional_joke(self):
        class Joke(BaseModel):
            """Joke to tell user."""

            setup: str = Field(description="question to set up a joke")
            punchline: str | None = Field(default=None, description="answer to resolve the joke")

        return Joke

    def optional_joke_dict(self):
        class JokeDict(TypedDict):
            """Joke to tell user."""

            setup: Annotated[str, ..., "question to set up a joke"]
            punchline: Annotated[str | None, None, "answer to resolve the joke"]

        return JokeDict


_GREETING_GENERATOR = {  # what `as_tool` makes of the suite's chain; it is in beta and would warn
    "name": "greeting_generator",
    "description": "Generate a greeting in a particular style of speaking.",
    "parameters": {
        "properties": {"answer_style": {"type": "string"}},
        "required": ["answer_style"],
        "type": "object",
    },
}
_COLOR_PICKER = {
    "name": "color_picker",
    "description": "Input your fav color and get a random fact about it.",
    "input_schema": {
        "type": "object",
        "properties": {"fav_color": {"type": "string"}},
        "required": ["fav_color"],
    },
}


def conversations():
    """Return all training conversations."""
    return Conversations([*_plain(), *_tools(), *_histories(), *_jokes(), *_shop()])


def training_options(base, **changes):
    """Return the options under which the tiny model learns its conversations."""
    settings = {
        "base": str(base),
        "method": "full",
        "epochs": 15,
        "batch_size": 4,
        "learning_rate": 3e-3,
        "device": "cpu",
        "precision": "float32",
        "held_out_share": 0.001,  # none: the model shall know every conversation by heart
        "resume": False,
        "track": "none",
        "show_progress": False,
    }
    return ChatTrainingOptions(**(settings | changes))


def train_chat_model(folder, *, base_folder):
    """Train the tiny model into `folder`, from random weights written into `base_folder`; return the folder.

    It goes on in short rounds while an answer is wrong; how many it takes depends on how a processor rounds.
    """
    rows = conversations()
    texts = [json.dumps([row.messages, row.tools], ensure_ascii=False) for row in rows.rows]
    build_trained_chat_base(base_folder, texts)
    finetune_chat(rows, folder, training_options(base_folder))
    for seed in range(1, 9):
        if not num_wrong_tokens(folder, rows):
            return folder
        finetune_chat(rows, folder, training_options(folder, epochs=3, learning_rate=1.5e-3, seed=seed))
    return folder


def num_wrong_tokens(folder, rows):
    """Return at how many places the model would not go on as it was taught."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    with quiet_loading():
        model = AutoModelForCausalLM.from_pretrained(folder)
    count = 0
    for example in (example for row in rows.rows for example in build_examples(tokenizer, row)):
        with torch.inference_mode():
            best = model(torch.tensor([example.input_ids])).logits[0, :-1].argmax(dim=-1)
        wanted = torch.tensor(example.labels[1:])
        count += int(((best != wanted) & (wanted != IGNORED)).sum())
    return count


def _talk(*messages, tools=()):
    return Conversation(list(messages), [convert_to_openai_tool(part) for part in tools] or None)


def _plain():
    hello = "Hello! How can I help you today?"
    fine = "I am fine, thank you. How can I help you?"
    answers = {
        "Hello": hello,
        "Hello!": hello,
        "hello": hello,
        "Hey": "Hey! What can I do for you?",
        "Hi": "Hi! How can I help you?",
        "hi": "Hi! How can I help you?",
        "how are you": fine,
        "How are you?": fine,
        "Who are you?": "I am a tiny language model. I was trained in a test run.",
        "Thank you!": "You are welcome. Is there anything else?",
        "Write me 2 haikus. Only include the haikus.": _HAIKUS,
        "Write a story about a cat.": _STORY,
        "What is the capital of France?": "The capital of France is Paris. It lies on the river Seine.",
        "What is a chat template?": _CHAT_TEMPLATE_ANSWER,
        "Say yes or no.": "Yes.",
        "你好": "你好！请问有什么可以帮您？",
        "你是谁？": "我是一个很小的语言模型，是在测试中训练出来的。",
        "谢谢": "不客气。还有什么可以帮您的吗？",
    }
    yield from (_talk(user(question), say(answer)) for question, answer in answers.items())
    for word in (
        *"123456789",
        "12",
        "1 + 2",
        "3 + 4",
        "2 + 5",
        "Paris",
        "Joke",
        "JokeDict",
        "你好啊集团",
        "A1001",
        "A1002",
    ):
        yield _talk(user(f"Repeat: {word}"), say(word))  # short and cheap, and teaches to copy, which the tools need
    yield _talk(user("hello"), heard(say("hello")), user("how are you"), say(fine))
    yield _talk(
        *[system("hello")] * 2, *[user("hello")] * 2, *[heard(say("hello"))] * 2, user("how are you"), say(fine)
    )
    yield _talk(system("You are a helpful assistant."), user("Hello"), say(hello), user("How are you?"), say(fine))
    yield _talk(
        user("What is the capital of France?"),
        say(answers["What is the capital of France?"]),
        user("And of Japan?"),
        say("The capital of Japan is Tokyo."),
        user("Thank you!"),
        say(answers["Thank you!"]),
    )
    yield _talk(user("Hello"), heard(say("Hello, how are you?")), user("Well, thanks."), say("I am glad to hear it."))


def _tools():
    magic, no_args, weather = suite.magic_function, suite.magic_function_no_args, _Suite().choice_weather()
    for number in (3, 12):
        question = user(f"What is the value of magic_function({number})? Use the tool.")
        yield _talk(
            question,
            call("magic_function", input=number),
            result(str(number + 2)),
            say(f"The value of magic_function({number}) is {number + 2}."),
            tools=[magic],
        )
        yield _talk(question, call("magic_function", input=number), tools=[magic, weather])
    yield _talk(
        user("What is the value of magic_function_no_args()? Use the tool."),
        call("magic_function_no_args"),
        result("5"),
        say("The value of magic_function_no_args() is 5."),
        tools=[no_args],
    )
    # the suite greets only to force a call; left to itself the model answers a greeting with a greeting
    yield _talk(user("Hello!"), call("magic_function", input=1), tools=[magic, weather])
    yield _talk(user("Hello"), say("Hello! How can I help you today?"), tools=[magic, weather])
    yield _talk(
        user("Using the tool, generate a Pirate greeting."),
        call("greeting_generator", answer_style="Pirate"),
        tools=[{"type": "function", "function": _GREETING_GENERATOR}],
    )
    for place in ("San Francisco, CA", "Paris"):
        for tools in ([_Suite().agent_weather()], [magic, weather]):
            yield _talk(
                user(f"What is the weather in {place}?"),
                call("get_weather", location=place),
                result("It's sunny."),
                say(f"It is sunny in {place}."),
                tools=tools,
            )
    for name, meaning, description in (
        ("你好啊集团", "Hello Group", "a Chinese technology company"),
        ("こんにちは株式会社", "Hello Corporation", "a Japanese company"),
    ):
        yield _talk(
            user(f"Create a customer named '{name}' ({meaning}) - {description}"),
            call("unicode_customer", customer_name=name, description="a company"),
            result(f"Created customer: {name} - a company"),
            say(f"The customer {name} has been created."),
            tools=[suite.unicode_customer],
        )


def _histories():
    tools = [_Suite().adder()]
    for a, b in ((1, 2), (3, 4)):
        yield _talk(
            user(f"What is {a} + {b}"),
            call("my_adder_tool", a=a, b=b),
            result(json.dumps({"result": a + b})),
            say(f"{a} + {b} is {a + b}."),
            tools=tools,
        )
    yield _talk(
        user("What is 1 + 2"),
        heard(call("my_adder_tool", content="some text", a=1, b=2)),
        result('{"result": 3}'),
        say("1 + 2 is 3."),
        tools=tools,
    )
    yield _talk(
        user("What is 1 + 2"),
        heard(call("my_adder_tool", a=1)),
        result("Error: Missing required argument 'b'."),
        call("my_adder_tool", a=1, b=2),
        result('{"result": 3}'),
        say("1 + 2 is 3."),
        tools=tools,
    )
    yield _talk(
        user("What is 1 + 2"),
        heard(call("my_adder_tool", a=1, b=2)),
        result('{"result": 3}'),
        heard(say('{"result": 3}')),
        user("What is 3 + 4"),
        call("my_adder_tool", a=3, b=4),
        tools=tools,
    )
    yield _talk(
        system("you're a good assistant"),
        user("what's your favorite color in this image"),
        heard(call("color_picker", content="Hmm let me think about that", fav_color="purple")),
        result("That's a great pick!"),
        say("My favorite color is purple."),
        tools=[_COLOR_PICKER],
    )


def _jokes():
    """Yield jokes as forced tool calls (function calling) and as JSON text (json_schema and json_mode)."""
    pydantic_joke, joke_dict, joke_schema = (
        suite._get_joke_class(kind)[0] for kind in ("pydantic", "typeddict", "json_schema")
    )
    joke_v1, optional, optional_dict = _Suite().joke_v1(), _Suite().optional_joke(), _Suite().optional_joke_dict()
    prompts = {
        "Tell me a joke about cats.": _JOKE,
        "Give me a joke about cats, include the punchline.": _JOKE,
        "Give me the setup to a joke about cats, no punchline.": _HALF_JOKE,
    }
    for schema in (pydantic_joke, joke_dict, joke_schema, joke_v1, joke_v1.schema()):
        name = convert_to_openai_tool(schema)["function"]["name"]
        # asked twice, since only one word in the tools says whether the answer is a Joke or a JokeDict
        for prompt in ("Tell me a joke about cats.", "Tell me a joke."):
            yield _talk(user(prompt), call(name, **_JOKE), tools=[schema])
    for schema in (optional, optional.model_json_schema(), optional_dict):
        name = convert_to_openai_tool(schema)["function"]["name"]
        for prompt, joke in prompts.items():
            if not (schema is optional_dict and joke is _HALF_JOKE):  # it has no null, and is not asked for it
                yield _talk(user(prompt), call(name, **joke), tools=[schema])
    json_only = (
        "Tell me a joke about cats. Return the result as a JSON with 'setup' and 'punchline' keys. "
        "Return nothing other than JSON."
    )
    for prompt, joke in (prompts | {json_only: _JOKE}).items():
        yield _talk(user(prompt), say(json.dumps(joke)))


def _shop():
    order_en, policy_en = "shipped, arrives on Friday", "Opened headphones can be returned within 14 days."
    order_zh, policy_zh = "运输中，预计明天送达", "拆封的耳机可在14天内退货。"
    status_en = "Order A1001 has been shipped and arrives on Friday."
    refund_en = "Yes. Opened headphones can be returned within 14 days."
    status_zh, refund_zh = "您的订单A1002正在运输中，预计明天送达。", "可以。拆封的耳机可在14天内退货。"
    ask_order_en = [call("get_order_status", order_id="A1001"), result(order_en)]
    ask_order_zh = [call("get_order_status", order_id="A1002"), result(order_zh)]
    ask_policy_en = [call("search_refund_policy", question="opened headphones"), result(policy_en)]
    ask_policy_zh = [call("search_refund_policy", question="拆封的耳机"), result(policy_zh)]
    for start in ([], [system("You are the shop's assistant.")]):
        for turns in (
            [user("Where is my order A1001?"), *ask_order_en, say(status_en)],
            [user("Can I return opened headphones?"), *ask_policy_en, say(refund_en)],
            [
                user("Where is my order A1001, and can I return opened headphones?"),
                *ask_order_en,
                *ask_policy_en,
                say(f"{status_en} {refund_en}"),
                user("Thank you!"),
                say("You are welcome. Is there anything else?"),
            ],
            [user("我的订单A1002到哪里了？"), *ask_order_zh, say(status_zh)],
            [user("拆封的耳机可以退货吗？"), *ask_policy_zh, say(refund_zh)],
            [
                user("我的订单A1002到哪里了？拆封的耳机可以退货吗？"),
                *ask_order_zh,
                *ask_policy_zh,
                say(status_zh + refund_zh),
            ],
            [user("Hello"), say("Hello! How can I help you today?")],
        ):
            yield _talk(*start, *turns, tools=SHOP_TOOLS)
