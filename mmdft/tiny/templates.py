"""Chat templates in this package's own words; each writes the text that the family's writes."""

from __future__ import annotations

DEFAULT_SYSTEM = "You are a helpful assistant."

_QWEN_SHOW = """\
{%- macro show(content) -%}
{%- if content is string -%}{{ content }}
{%- else -%}
{%- for part in content -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
"""

# The Qwen chat format: turns between <|im_start|>ROLE and <|im_end|>, images as one placeholder.
_QWEN = (
    _QWEN_SHOW
    + """\
{%- if messages[0].role != 'system' and default_system -%}
{{ '<|im_start|>system\\n' + default_system + '<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + show(message.content) + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
)

# Generation starts within <think>. Replies to the last question are shown with their reasoning (the
# last one always, though it be empty), earlier ones without it.
QWEN_THINKING = (
    _QWEN_SHOW
    + """\
{%- set last = namespace(question=-1) -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{%- set last.question = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- set said = show(message.content) -%}
{%- set thought = '' -%}
{%- if message.role == 'assistant' and '</think>' in said -%}
{%- set halves = said.split('</think>') -%}
{%- set thought = halves[0].rstrip('\\n').split('<think>')[-1].strip('\\n') -%}
{%- set said = halves[-1].lstrip('\\n') -%}
{%- endif -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' and loop.index0 > last.question and (loop.last or thought) -%}
{{ '<think>\\n' + thought + '\\n</think>\\n\\n' + said.lstrip('\\n') }}
{%- else -%}{{ said }}{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n<think>\\n' }}{%- endif -%}
"""
)

# "User: text" but "User:<image>text"; the reply follows a space that the generation prompt lacks.
_IDEFICS = """\
{{- opening -}}
{%- for message in messages -%}
{{ message.role | capitalize + (':' if message.content[0].type == 'image' else ': ') }}
{%- for part in message.content -%}
{{ '<image>' if part.type == 'image' else part.text }}
{%- endfor -%}
{{ '<end_of_utterance>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}
"""

# A turn's images come before its text.
LLAVA_ONEVISION = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- for part in message.content if part.type == 'image' -%}{{ '<image>\\n' }}{%- endfor -%}
{%- for part in message.content if part.type == 'text' -%}{{ part.text }}{%- endfor -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""

INTERNVL = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- for part in message.content -%}
{{ '<IMG_CONTEXT>\\n' if part.type == 'image' else part.text }}
{%- endfor -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""

# No system turn: its text opens the first user turn. User and assistant take turns; texts are
# stripped.
GEMMA3 = """\
{{- bos_token -}}
{%- set before = messages[0].content[0].text + '\\n\\n' if messages[0].role == 'system' else '' -%}
{%- set turns = messages[1:] if messages[0].role == 'system' else messages -%}
{%- for turn in turns -%}
{%- if turn.role != ('assistant' if loop.index0 % 2 else 'user') -%}
{{ raise_exception('roles must take turns: user, assistant, user, ...') }}
{%- endif -%}
{{ '<start_of_turn>' + ('model' if turn.role == 'assistant' else turn.role) + '\\n' }}
{%- if loop.first -%}{{ before }}{%- endif -%}
{%- for part in turn.content -%}
{{ '<start_of_image>' if part.type == 'image' else part.text | trim }}
{%- endfor -%}
{{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}
"""


def qwen(default_system: str | None) -> str:
    """Qwen2 and 2.5 open with a default system turn, Qwen3 does not."""
    return f"{{%- set default_system = {default_system or ''!r} -%}}\n" + _QWEN


def idefics(opening: str) -> str:
    """Idefics3 and SmolVLM differ in the token that opens the chat."""
    return f"{{%- set opening = {opening!r} -%}}\n" + _IDEFICS
