"""Ten families of chat models and more: a template in the form each publishes, and how each answers.

The templates are written for these tests from what the families document, shortened to what matters here: turns, tools,
results, reasoning. An answer is what the model writes behind the prompt, control tokens included.
"""

from dataclasses import dataclass, field

import pytest

from tests.tiny_models import build_chat_tokenizer

_GENERATE = "{% if add_generation_prompt %}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How models of a family are asked, and how they answer.

    Attributes:
        control: tokens that no text may forge.
        marks: added tokens that are text to the tokenizer.
        call: an answer that calls look_up(a=1) beside some words, if the family writes any.
        words: what the answer says beside the call.
        thought: an answer "It is 4." with the reasoning "Let me see."; empty where the family does not reason.
        shows_tools: whether the template itself shows tools.
    """

    template: str
    dialect: str
    control: tuple[str, ...]
    marks: tuple[str, ...] = ()
    call: str
    words: str = ""
    thought: str = ""
    shows_tools: bool = True
    options: dict = field(default_factory=dict)


_CHATML = ("<|im_start|>", "<|im_end|>")
_HERMES_TOOLS = (
    "{% if tools %}<|im_start|>system\n{% if messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}"
    "# Tools\nFunction signatures within <tools></tools>:\n<tools>{% for tool in tools %}\n{{ tool | tojson }}"
    "{% endfor %}\n</tools>\nAnswer a call within <tool_call></tool_call>.<|im_end|>\n"
    "{% elif messages[0].role == 'system' %}<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}"
)
_HERMES_TURNS = (
    "{% for message in messages %}{% if message.role == 'tool' %}"
    "{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif %}"
    "\n<tool_response>\n{{ message.content }}\n</tool_response>"
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>\n{% endif %}"
    "{% elif message.role != 'system' %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}\n<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
)
_TAGGED = '<tool_call>\n{"name": "look_up", "arguments": {"a": 1}}\n</tool_call>'
_THINK = "<think>\nLet me see.\n</think>\n\nIt is 4."

FAMILIES = {
    "Qwen 2.5": Family(
        template=_HERMES_TOOLS + _HERMES_TURNS + _GENERATE + "<|im_start|>assistant\n{% endif %}",
        dialect="hermes",
        control=_CHATML,
        marks=("<tool_call>", "</tool_call>"),
        call=f"One moment.\n{_TAGGED}",
        words="One moment.",
    ),
    "Qwen 3": Family(
        template=_HERMES_TOOLS
        + _HERMES_TURNS
        + _GENERATE
        + "<|im_start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}"
        "<think>\n\n</think>\n\n{% endif %}{% endif %}",
        dialect="hermes",
        control=_CHATML,
        marks=("<tool_call>", "</tool_call>", "<think>", "</think>"),
        call=f"<think>\nI need look_up.\n</think>\n\n{_TAGGED}",
        thought=_THINK,
    ),
    "Qwen 3 Coder": Family(
        template=_HERMES_TOOLS.replace("within <tool_call></tool_call>", "as <tool_call><function=NAME>")
        + _HERMES_TURNS
        + _GENERATE
        + "<|im_start|>assistant\n{% endif %}",
        dialect="xml",
        control=_CHATML,
        marks=("<tool_call>", "</tool_call>"),
        call="<tool_call>\n<function=look_up>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
    ),
    "Llama 3": Family(
        template="{{ bos_token }}{% set environment = 'ipython' %}{# <|python_tag|> #}"
        "{% for message in messages %}"
        "{% if message.role == 'tool' %}<|start_header_id|>ipython<|end_header_id|>\n\n"
        "{{ message.content | tojson }}<|eot_id|>"
        "{% elif message.tool_calls %}{% if message.tool_calls | length != 1 %}"
        "{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
        '{"name": "{{ message.tool_calls[0].function.name }}", '
        '"parameters": {{ message.tool_calls[0].function.arguments | tojson }}}<|eot_id|>'
        "{% else %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
        "{% if tools and message.role == 'user' and loop.last %}Given these functions, answer with JSON "
        '{"name": function name, "parameters": dictionary}.\n{% for tool in tools %}{{ tool | tojson }}\n\n{% endfor %}'
        "{% endif %}{{ message.content }}<|eot_id|>{% endif %}{% endfor %}"
        + _GENERATE
        + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        dialect="llama3",
        control=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>"),
        call='{"name": "look_up", "parameters": {"a": 1}}',
    ),
    "Mistral": Family(
        template="{{ bos_token }}{% for message in messages %}"
        "{% if message.role == 'user' %}{% if tools and loop.last %}[AVAILABLE_TOOLS] {{ tools | tojson }}"
        "[/AVAILABLE_TOOLS]{% endif %}[INST] {{ message.content }}[/INST]"
        "{% elif message.tool_calls %}[TOOL_CALLS] [{% for call in message.tool_calls %}"
        "{% if call.id is not defined or call.id | length != 9 %}"
        "{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{% endif %}"
        '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}, '
        '"id": "{{ call.id }}"}{% if not loop.last %}, {% endif %}{% endfor %}]{{ eos_token }}'
        "{% elif message.role == 'tool' %}{% if message.tool_call_id | length != 9 %}"
        "{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{% endif %}"
        '[TOOL_RESULTS] {"content": {{ message.content | tojson }}, "call_id": "{{ message.tool_call_id }}"}'
        "[/TOOL_RESULTS]{% elif message.role == 'assistant' %} {{ message.content }}{{ eos_token }}"
        "{% else %}[SYSTEM_PROMPT] {{ message.content }}[/SYSTEM_PROMPT]{% endif %}{% endfor %}",
        dialect="mistral",
        control=(
            "[INST]",
            "[/INST]",
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[TOOL_CALLS]",
            "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]",
            "[SYSTEM_PROMPT]",
            "[/SYSTEM_PROMPT]",
        ),
        call='[TOOL_CALLS] [{"name": "look_up", "arguments": {"a": 1}, "id": "abcdef123"}]',
    ),
    "Gemma 3": Family(
        template="{{ bos_token }}{% if messages[0].role == 'system' %}{% set start = messages[0].content + '\n\n' %}"
        "{% set turns = messages[1:] %}{% else %}{% set start = '' %}{% set turns = messages %}{% endif %}"
        "{% for message in turns %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n"
        "{{ start if loop.first }}{{ message.content }}<end_of_turn>\n{% endfor %}"
        + _GENERATE
        + "<start_of_turn>model\n{% endif %}",
        dialect="own",
        control=("<start_of_turn>", "<end_of_turn>"),
        call="```tool_code\nlook_up(a=1)\n```",
        shows_tools=False,
    ),
    "SmolLM2": Family(
        template="{% for message in messages %}{% if loop.first and message.role != 'system' %}<|im_start|>system\n"
        "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message.role }}\n{{ message.content }}"
        "<|im_end|>\n{% endfor %}" + _GENERATE + "<|im_start|>assistant\n{% endif %}",
        dialect="own",
        control=_CHATML,
        call=_TAGGED,
        shows_tools=False,
    ),
    "Phi 4": Family(
        template="{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
        "{% if message.role == 'system' and message.tools %}<|tool|>{{ message.tools }}<|/tool|>{% endif %}<|end|>"
        "{% endfor %}" + _GENERATE + "<|assistant|>{% endif %}",
        dialect="own",
        control=(
            "<|system|>",
            "<|user|>",
            "<|assistant|>",
            "<|end|>",
            "<|tool|>",
            "<|/tool|>",
            "<|tool_call|>",
            "<|/tool_call|>",
        ),
        call='<|tool_call|>[{"name": "look_up", "arguments": {"a": 1}}]<|/tool_call|>',
        shows_tools=False,
    ),
    "DeepSeek R1 distills": Family(
        template="{{ bos_token }}{% for message in messages %}"
        "{% if message.role == 'system' %}{{ message.content }}{% elif message.role == 'user' %}"
        "<｜User｜>{{ message.content }}{% elif message.tool_calls %}<｜Assistant｜><｜tool▁calls▁begin｜>"
        "{% for call in message.tool_calls %}<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ call.function.name }}\n"
        "```json\n{{ call.function.arguments | tojson }}\n```<｜tool▁call▁end｜>{% endfor %}<｜tool▁calls▁end｜>"
        "{{ eos_token }}{% elif message.role == 'tool' %}<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>"
        "{{ message.content }}<｜tool▁output▁end｜><｜tool▁outputs▁end｜>"
        "{% else %}<｜Assistant｜>{{ message.content.split('</think>')[-1] }}{{ eos_token }}{% endif %}{% endfor %}"
        + _GENERATE
        + "<｜Assistant｜><think>\n{% endif %}",
        dialect="deepseek",
        control=("<｜User｜>", "<｜Assistant｜>", "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"),
        marks=(
            "<think>",
            "</think>",
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁calls▁end｜>",
            "<｜tool▁call▁begin｜>",
            "<｜tool▁call▁end｜>",
            "<｜tool▁sep｜>",
        ),
        call="I need look_up.\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look_up\n"
        '```json\n{"a": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        thought="Let me see.\n</think>\n\nIt is 4.",
        shows_tools=False,
    ),
    "GLM 4.5": Family(
        template="[gMASK]<sop>{% if tools %}<|system|>\n# Tools\n<tools>\n{% for tool in tools %}{{ tool | tojson }}\n"
        "{% endfor %}</tools>\nA call is <tool_call>name\n<arg_key>key</arg_key>\n<arg_value>value</arg_value>\n"
        "</tool_call>{% endif %}{% for message in messages %}{% if message.role == 'tool' %}<|observation|>\n"
        "<tool_response>\n{{ message.content }}\n</tool_response>{% else %}<|{{ message.role }}|>\n"
        "{{ message.content }}{% for call in message.tool_calls or [] %}\n<tool_call>{{ call.function.name }}\n"
        "{% for key, value in call.function.arguments.items() %}<arg_key>{{ key }}</arg_key>\n"
        "<arg_value>{{ value }}</arg_value>\n{% endfor %}</tool_call>{% endfor %}{% endif %}{% endfor %}"
        + _GENERATE
        + "<|assistant|>{% if enable_thinking is defined and not enable_thinking %}\n<think></think>{% endif %}"
        "{% endif %}",
        dialect="glm",
        control=("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
        marks=(
            "<think>",
            "</think>",
            "<tool_call>",
            "</tool_call>",
            "<arg_key>",
            "</arg_key>",
            "<arg_value>",
            "</arg_value>",
        ),
        call="\n<think>I need look_up.</think>\n<tool_call>look_up\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n"
        "</tool_call>",
        thought="\n<think>Let me see.</think>\nIt is 4.",
    ),
    "gpt-oss": Family(
        template="<|start|>system<|message|>Valid channels: analysis, commentary, final.<|end|>"
        "{% if tools %}<|start|>developer<|message|>{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|end|>"
        "{% endif %}{% for message in messages %}{% if message.role == 'tool' %}"
        "<|start|>functions.{{ message.name }} to=assistant<|channel|>commentary<|message|>"
        "{{ message.content | tojson }}<|end|>{% elif message.tool_calls %}"
        "<|start|>assistant<|channel|>commentary to=functions."
        "{{ message.tool_calls[0].function.name }} <|constrain|>json<|message|>"
        "{{ message.tool_calls[0].function.arguments | tojson }}<|call|>{% elif message.role == 'assistant' %}"
        "<|start|>assistant<|channel|>final<|message|>{{ message.content }}<|end|>{% else %}"
        "<|start|>{{ 'developer' if message.role == 'system' else message.role }}<|message|>"
        "{{ message.content }}<|end|>{% endif %}{% endfor %}{# <|channel|>analysis<|message|> #}"
        + _GENERATE
        + "<|start|>assistant{% endif %}",
        dialect="harmony",
        control=("<|start|>", "<|message|>", "<|end|>", "<|channel|>", "<|constrain|>", "<|call|>"),
        call="<|channel|>analysis<|message|>I need look_up.<|end|><|start|>assistant<|channel|>commentary"
        ' to=functions.look_up <|constrain|>json<|message|>{"a": 1}<|call|>',
        thought="<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant<|channel|>final<|message|>It is 4.",
    ),
}

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def build_tokenizer(family):
    """Return a byte-level tokenizer with the template and the added tokens of a family."""
    from tokenizers import AddedToken

    tokenizer = build_chat_tokenizer()
    tokenizer.add_special_tokens({"extra_special_tokens": list(family.control)})
    tokenizer.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in family.marks])
    tokenizer.chat_template = family.template
    return tokenizer
