"""Models small enough to be built in a test run: random weights, real file formats."""

import json
import string
from pathlib import Path

__all__ = [
    "CHAT_TEMPLATE",
    "TOOL_CHAT_TEMPLATE",
    "build_chat_model",
    "build_chat_tokenizer",
    "build_cross_encoder",
    "build_sentence_encoder",
    "build_sequence_classifier",
    "build_token_classifier",
    "build_tool_chat_tokenizer",
    "build_trained_chat_base",
]

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# ChatML with tools in the Hermes form, as Qwen's models have it: {"name", "arguments"} between two added tokens
TOOL_CHAT_TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\nYou may call these tools:\\n<tools>\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}{{- '\\n' }}
    {%- endfor %}
    {{- '</tools>\\nTo call one, write <tool_call>, a JSON object with its name and arguments, and </tool_call>.' }}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + ('user' if message.role == 'tool' else message.role) + '\\n' }}
    {%- if message.role == 'tool' %}
        {{- '<tool_response>\\n' + message.content + '\\n</tool_response>' }}
    {%- else %}
        {{- message.content or '' }}
    {%- endif %}
    {%- for call in message.tool_calls or [] %}
        {{- '\\n' if message.content or not loop.first }}
        {{- '<tool_call>\\n{"name": ' + call.function.name | tojson }}
        {{- ', "arguments": ' + call.function.arguments | tojson + '}\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
_WORDS = ("refund", "money", "back", "card", "lost", "stolen", "where", "is", "my", "the", "parcel", "late", "order")
_HAN = "退货要多久我的卡丢了包裹在哪里取消订单"


def build_chat_tokenizer():
    """Return a byte-level tokenizer with a chat template and its three control tokens: 259 ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|bos|>", "<|im_start|>", "<|im_end|>"])
    # as Llama's does: the tokenizer puts the beginning token first by itself
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", tokenizer.token_to_id("<|bos|>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|bos|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        extra_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
    )


def build_chat_model(folder: Path, *, seed: int = 0, context_tokens: int = 512) -> Path:
    """Write a one-layer Llama with its tokenizer; it answers in printable characters and never ends by itself."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_chat_tokenizer()
    printable = tokenizer.convert_tokens_to_ids(list(string.ascii_letters + string.digits))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=context_tokens,
        initializer_range=0.5,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        chosen = model.lm_head.weight[printable].clone()
        model.lm_head.weight.zero_()  # their logit is 0, which the best of 62 random ones always beats
        model.lm_head.weight[printable] = chosen
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_tool_chat_tokenizer(texts, *, vocabulary_size: int = 1600):
    """Return a byte-level BPE tokenizer learnt from `texts`, with a template that knows tools.

    Every text can be encoded; digits stand alone, so that numbers are copied digit by digit.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocabulary_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens(
        [
            AddedToken(text, normalized=False, special=False)
            for text in ("<tool_call>", "</tool_call>", "<think>", "</think>")
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
        chat_template=TOOL_CHAT_TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def build_trained_chat_base(folder: Path, texts, *, seed: int = 0, hidden_size: int = 128) -> Path:
    """Write a two-layer Qwen3 with random weights and a tokenizer for `texts`, ready to be trained on them."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = build_tool_chat_tokenizer(texts)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_sentence_encoder(folder: Path, *, seed: int = 0, shared: float = 0.0, prompts=None) -> Path:
    """Write a one-layer BERT with mean pooling in the form of sentence-transformers.

    Args:
        shared: added to every number of every vector: with 2, all cosines lie close below 1.
        prompts: such as {"query": "query: "}.
    """
    import torch
    from transformers import BertModel

    torch.manual_seed(seed)
    model = BertModel(_bert_config(), add_pooling_layer=False)
    with torch.no_grad():
        model.encoder.layer[-1].output.LayerNorm.bias.fill_(shared)
    model.save_pretrained(folder)
    _build_word_tokenizer().save_pretrained(folder)
    if prompts is not None:
        _write_json(folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None})
    modules = [("", "models.Transformer"), ("1_Pooling", "models.Pooling"), ("2_Normalize", "models.Normalize")]
    _write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
    )
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    (folder / "1_Pooling").mkdir()
    _write_json(
        folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    )
    return folder


def build_cross_encoder(folder: Path, *, seed: int = 0) -> Path:
    """Write a one-layer BERT that reads two texts together and has one output, as cross-encoders are saved."""
    import torch
    from transformers import BertForSequenceClassification

    config = _bert_config()
    config.num_labels = 1
    torch.manual_seed(seed)
    BertForSequenceClassification(config).save_pretrained(folder)
    _build_word_tokenizer().save_pretrained(folder)
    return folder


def build_sequence_classifier(folder: Path, *, seed: int = 0) -> Path:
    """Write a one-layer BERT with a classification head for three labels."""
    import torch
    from transformers import BertForSequenceClassification

    config = _bert_config()
    config.id2label = {0: "bad", 1: "good", 2: "neutral"}
    config.label2id = {label: i for i, label in config.id2label.items()}
    torch.manual_seed(seed)
    BertForSequenceClassification(config).save_pretrained(folder)
    _build_word_tokenizer().save_pretrained(folder)
    return folder


def build_token_classifier(
    folder: Path, *, tags=("O", "B-PER", "I-PER", "B-LOC", "I-LOC"), seed: int = 0, initializer_range: float = 0.5
) -> Path:
    """Write a one-layer BERT with an output for each tag of a word; with a small range it learns words in seconds."""
    import torch
    from transformers import BertForTokenClassification

    config = _bert_config()
    config.initializer_range = initializer_range
    config.id2label = dict(enumerate(tags))
    config.label2id = {tag: i for i, tag in config.id2label.items()}
    torch.manual_seed(seed)
    BertForTokenClassification(config).save_pretrained(folder)
    _build_word_tokenizer().save_pretrained(folder)
    return folder


def _bert_config():
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(_build_word_tokenizer()),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,  # so that different texts get different vectors without training
    )


def _build_word_tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = [*special, *characters, *(f"##{c}" for c in characters), *sorted(set(_HAN)), *_WORDS]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
    )


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
