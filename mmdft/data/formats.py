"""Rows to Examples: one pure function `(row, origin) -> Example` per format, in a literal table.

To add a format, write its function, name it in FORMATS and in `SourceConfig.format`, and say in
`detect` how its rows are recognised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmdft.data.fields import (
    Origin,
    answer_of,
    choices_of,
    image_ref,
    images_of,
    join_reply,
    mapped_fields,
    refuse_unsupported,
    row_id,
    text_of,
    with_choices,
    with_system,
    without_thinking,
)
from mmdft.errors import DataError
from mmdft.records import Example, ImageRef, Role, Turn

# The names that the formats give to who speaks.
_ROLES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
_TOOL_ROLES = ("tool", "function", "function_call", "observation", "tool_call", "tool_response")
# Where a message has its reasoning apart from its content.
_THINKING_FIELDS = ("reasoning_content", "reasoning", "thinking")

_MARK = "<image>"
_PROMPT_ROLES: tuple[Role, ...] = ("system", "user")


def native(row: Mapping[str, Any], origin: Origin) -> Example:
    """`{"id"?, "images"?, "question", "reasoning"?, "answer", "choices"?, "category"?, "meta"?}`.

    A field `response` is taken as the whole reply, word for word; otherwise the reply is made of
    `reasoning` and `answer` in the source's `reply` form. `system` is the row's system prompt.
    """
    refuse_unsupported(row)
    question = text_of(row, "question")
    answer = answer_of(row)
    if answer is None:
        raise DataError("field 'answer' is missing or empty; every training row needs one")
    choices = choices_of(row)
    meta = row.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise DataError("field 'meta' must be an object; leave it out if it says nothing")
    if any(str(name).startswith("mmdft.") for name in meta):
        raise DataError("field 'meta' has a name that begins with mmdft., which are taken; rename")
    response = row.get("response")
    strip = origin.reasoning == "strip"
    if response is None:
        response = join_reply(None if strip else row.get("reasoning"), answer, origin.reply)
    elif not isinstance(response, str) or not response.strip():
        raise DataError(
            "field 'response' must be a non-empty string; without the field, the reply is made of "
            "'reasoning' and 'answer'"
        )
    elif strip:
        response = without_thinking(response)
    turns = (
        Turn(role="user", parts=(*images_of(row, origin), with_choices(question, choices))),
        Turn(role="assistant", parts=(response,)),
    )
    return Example(
        id=row_id(row, origin),
        turns=with_system(row, origin, turns),
        answer=answer,
        choices=choices,
        category=str(row.get("category") or ""),
        meta=dict(meta),
    )


def mapped(row: Mapping[str, Any], origin: Origin) -> Example:
    """A row of any table, its columns named by the source's `map`, read as a native row."""
    return native(mapped_fields(row, origin.map or {}), replace(origin, map=None))


def wethink(row: Mapping[str, Any], origin: Origin) -> Example:
    """WeThink's rows: `{"problem", "answer", "refined_cot", "image_path", "category"?}`.

    Its questions hold media tags such as `<image>` as plain text; they stay text here.
    """
    reasoning = row.get("refined_cot")
    if isinstance(reasoning, str):
        # Some releases carry the tags that the reply form adds.
        reasoning = reasoning.replace("<think>", "").replace("</think>", "")
    return native(
        {
            "id": row.get("id"),
            "question": row.get("problem"),
            "reasoning": reasoning,
            "answer": row.get("answer"),
            "images": row.get("image_path"),
            "category": row.get("category"),
            "system": row.get("system"),
        },
        origin,
    )


def messages(row: Mapping[str, Any], origin: Origin) -> Example:
    """OpenAI-style chat: `{"messages": [{"role", "content"}], "images"?, "system"?, "answer"?}`.

    Content is a string or a list of parts: `text`, `image_url` (a path or a data URL), or `image`,
    whose file is in the part or, in order, in the row's `images`. The images of a row without
    image parts take the place of the marks `<image>` in its user and system turns, or stand before
    the first user text if there is no mark. In a row without `images` a mark is text.
    """
    turns, waiting = _conversation(row, "messages", origin)
    return _chat(row, origin, _placed(turns, waiting) if waiting else turns)


def llava(row: Mapping[str, Any], origin: Origin) -> Example:
    """LLaVA's rows: `{"conversations": [{"from", "value"}], "image"?, "id"?, "system"?}`.

    Each `<image>` in a user turn is the place of an image, in order, and there must be as many
    marks as images; elsewhere it is text.
    """
    turns, waiting = _conversation(row, "conversations", origin)
    return _chat(row, origin, _marks_filled(turns, waiting, ("user",)))


def sharegpt(row: Mapping[str, Any], origin: Origin) -> Example:
    """The rows of LLaMA-Factory and ms-swift: `conversations` or `messages`, `images`, `system`.

    `conversations` are as in `llava`, and system turns may have marks too. `messages` are as in
    the format of that name, but a mark without an image is an error.
    """
    if row.get("conversations") is None:
        turns, waiting = _conversation(row, "messages", origin)
        return _chat(row, origin, _placed(turns, waiting))
    turns, waiting = _conversation(row, "conversations", origin)
    return _chat(row, origin, _marks_filled(turns, waiting, _PROMPT_ROLES))


def prompt_completion(row: Mapping[str, Any], origin: Origin) -> Example:
    """TRL's rows: `{"prompt", "completion", "images"?}`, each a string or a list of messages.

    Images are placed as in `messages`, but `<image>` is always text.
    """
    refuse_unsupported(row)
    waiting = images_of(row, origin)
    prompt = _side(row, "prompt", "user", waiting, origin)
    completion = _side(row, "completion", "assistant", waiting, origin)
    if any(turn.role == "assistant" for turn in prompt):
        raise DataError(
            "field 'prompt' has an assistant turn, and every assistant turn is trained on; put it "
            "into 'completion' with what follows, or give the conversation as 'messages'"
        )
    if completion[0].role != "assistant":
        raise DataError(
            "field 'completion' must begin with an assistant turn; move what is before it"
        )
    turns = [*prompt, *completion]
    return _chat(row, origin, _images_first(turns, waiting) if waiting else turns)


FORMATS: dict[str, Callable[[Mapping[str, Any], Origin], Example]] = {
    "native": native,
    "messages": messages,
    "wethink": wethink,
    "llava": llava,
    "sharegpt": sharegpt,
    "prompt_completion": prompt_completion,
    "map": mapped,
}

# The fields a format is recognised by. A chat comes before a question beside it.
_CHATS = {
    "messages": {"messages"},
    "llava": {"conversations"},
    "prompt_completion": {"prompt", "completion"},
}
_QUESTIONS = {"native": {"question"}, "wethink": {"problem", "image_path"}}


def format_of(row: Mapping[str, Any], origin: Origin, format_name: str | None) -> str:
    """The key of FORMATS that a row is read by: the source's map or format, else the detected one.

    Raises:
        DataError: none is named, and none or several are recognised.
    """
    return "map" if origin.map is not None else format_name or detect(row)


def detect(row: Mapping[str, Any]) -> str:
    """Name the format of a row by its fields.

    Raises:
        DataError: no format is known by these fields, or two are.
    """
    # A table joined of several kinds has the columns of all, and nulls in those of the others.
    filled = {name for name, value in row.items() if value is not None}
    for names in (filled, set(row)):
        chats = [name for name, fields in _CHATS.items() if fields <= names]
        if len(chats) > 1:
            raise DataError(f"the row fits the formats {', '.join(chats)}; name one as 'format'")
        if chats == ["llava"] and "images" in names:
            return "sharegpt"
        questions = [name for name, fields in _QUESTIONS.items() if fields <= names]
        if chats or questions:
            return (chats + questions)[0]
    raise DataError(
        "no known format: looked for 'messages' (chat), 'conversations' (llava, sharegpt), "
        "'prompt' with 'completion' (prompt_completion), 'question' (native) or 'problem' with "
        f"'image_path' (wethink), found {', '.join(sorted(map(str, row))) or 'no field'}; "
        "for other columns give the source a 'map'"
    )


def _chat(row: Mapping[str, Any], origin: Origin, turns: Sequence[Turn]) -> Example:
    """The example of a conversation whose images are in their places."""
    if turns[-1].role != "assistant" or not turns[-1].text.strip():
        raise DataError(
            "the last message must be a non-empty reply of the assistant; leave out what follows it"
        )
    if origin.reasoning == "strip":
        turns = [_without_thinking(turn) for turn in turns]
    return Example(
        id=row_id(row, origin),
        turns=with_system(row, origin, turns),
        answer=answer_of(row),
        category=str(row.get("category") or ""),
    )


def _without_thinking(turn: Turn) -> Turn:
    if turn.role != "assistant":
        return turn
    text = without_thinking(turn.text)
    return turn if text == turn.text else Turn(role="assistant", parts=(text,))


def _conversation(
    row: Mapping[str, Any], key: str, origin: Origin
) -> tuple[list[Turn], list[ImageRef]]:
    """The turns in a row's field, and those of its images that no part of them took."""
    refuse_unsupported(row)
    waiting = images_of(row, origin)
    return _turns(row, key, waiting, origin), waiting


def _side(
    row: Mapping[str, Any], key: str, role: Role, waiting: list[ImageRef], origin: Origin
) -> list[Turn]:
    """A prompt or a completion: one text, or messages."""
    if isinstance(row.get(key), list):
        return _turns(row, key, waiting, origin)
    return [Turn(role=role, parts=(text_of(row, key),))]


def _turns(row: Mapping[str, Any], key: str, waiting: list[ImageRef], origin: Origin) -> list[Turn]:
    raw = row.get(key)
    if not isinstance(raw, list) or not raw:
        raise DataError(f"field {key!r} must be a non-empty list; put the messages there")
    return [_turn(message, waiting, origin) for message in raw]


def _turn(message: Any, waiting: list[ImageRef], origin: Origin) -> Turn:
    """One message; its bare image parts take the next of the `waiting` images off the list."""
    name = None
    if isinstance(message, Mapping):
        name = message.get("from") if message.get("role") is None else message["role"]
    if name in _TOOL_ROLES:
        raise DataError(f"a message of {name!r}: tool use is not supported; leave such rows out")
    if not isinstance(name, str) or name not in _ROLES:
        raise DataError(
            "every message needs a 'role' of system, user or assistant, or a 'from' of system, "
            f"human or gpt; found {name!r}"
        )
    refuse_unsupported(message)
    apart = next((field for field in _THINKING_FIELDS if message.get(field)), None)
    if apart and origin.reasoning == "keep":
        raise DataError(
            f"a message has its reasoning in {apart!r}; put it into the content as "
            "<think>...</think>, or set reasoning: strip"
        )
    content = message.get("value") if message.get("content") is None else message["content"]
    if isinstance(content, str):
        return Turn(role=_ROLES[name], parts=(content,))
    if not isinstance(content, list):
        raise DataError(
            "a message's 'content' must be a string or a list of parts; this one is "
            f"{type(content).__name__}"
        )
    parts = tuple(_part(part, waiting, origin) for part in content)
    return Turn(role=_ROLES[name], parts=parts)


def _part(part: Any, waiting: list[ImageRef], origin: Origin) -> str | ImageRef:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind == "image_url":
        url = part.get("image_url")
        return image_ref(url.get("url") if isinstance(url, Mapping) else url, origin)
    if kind == "image" and part.get("image"):
        return image_ref(part["image"], origin)
    if kind == "image":
        if not waiting:
            raise DataError(
                "more image parts than entries in the row's 'images'; give one for each part"
            )
        return waiting.pop(0)
    raise DataError(f"unknown content part {kind!r}; expected text, image or image_url")


def _placed(turns: Sequence[Turn], images: Sequence[ImageRef]) -> list[Turn]:
    """Images at the marks of the prompts, or before the first user text if there is no mark."""
    marks = sum(turn.text.count(_MARK) for turn in turns if turn.role in _PROMPT_ROLES)
    if images and (not marks or _has_images(turns)):
        return _images_first(turns, images)
    return _marks_filled(turns, images, _PROMPT_ROLES)


def _images_first(turns: Sequence[Turn], images: Sequence[ImageRef]) -> list[Turn]:
    first = next((i for i, turn in enumerate(turns) if turn.role == "user"), None)
    if first is None or _has_images(turns):
        raise DataError(
            f"{len(images)} of the row's 'images' have no place in its messages; give each a mark "
            f"{_MARK} in a prompt, or an image part"
        )
    opened = Turn(role="user", parts=(*images, *turns[first].parts))
    return [*turns[:first], opened, *turns[first + 1 :]]


def _marks_filled(
    turns: Sequence[Turn], images: Sequence[ImageRef], roles: Sequence[Role]
) -> list[Turn]:
    """The turns with each `<image>` of those roles replaced by the next image."""
    marks = sum(turn.text.count(_MARK) for turn in turns if turn.role in roles)
    if marks != len(images):
        raise DataError(
            f"{marks} marks {_MARK} in the {' and '.join(roles)} turns for {len(images)} images; "
            "there must be one for each image"
        )
    coming = iter(images)

    def fill(part: str | ImageRef) -> list[str | ImageRef]:
        if isinstance(part, ImageRef) or _MARK not in part:
            return [part]
        pieces = re.split(f"({_MARK})", part)
        return [next(coming) if piece == _MARK else piece for piece in pieces if piece]

    return [
        Turn(role=turn.role, parts=tuple(new for part in turn.parts for new in fill(part)))
        if turn.role in roles
        else turn
        for turn in turns
    ]


def _has_images(turns: Sequence[Turn]) -> bool:
    return any(isinstance(part, ImageRef) for turn in turns for part in turn.parts)
