"""The prompts of other evaluation tools, word for word where they are not the authors'.

VLMEvalKit at e8e78f05, lmms-eval at 75571cf; `mmdft.preset_fields` says which of their tasks, and
has their other settings. The images come first, as in both. VLMEvalKit asks the column `question`
of its own tables; where that is not known to be the authors' text, its table must be given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from mmdft.errors import ConfigError
from mmdft.evals.benchmarks.rows import Row, is_blank, optional_text, text, texts
from mmdft.evals.choices import letter
from mmdft.records import Example, Turn

Prompt = Callable[[Row, Example], str]


def asked_as(preset: str, benchmark: str, row: Row, example: Example) -> Example:
    """The example with the prompt of another tool.

    Args:
        preset: "vlmevalkit" or "lmms_eval".
        benchmark: The benchmark's name.
        row: The row that the example was made of.
        example: As it is asked without a preset: one user turn, the images first.

    Raises:
        ConfigError: the tool has no such benchmark.
        DataError: its prompt cannot be made of this row.
    """
    prompts = PROMPTS[preset]
    if benchmark not in prompts:
        raise ConfigError(
            f"preset {preset} has no benchmark {benchmark}; it has {', '.join(prompts)}"
        )
    turn = Turn(role="user", parts=(*example.images, prompts[benchmark](row, example)))
    return replace(example, turns=(turn,))


def _authors(row: Row, example: Example) -> str:
    """The prompt as it is asked without a preset."""
    return example.turns[-1].text


def _tables(row: Row, example: Example) -> str:
    if "index" not in row.values:
        raise row.error(
            "the preset vlmevalkit asks the column 'question' of VLMEvalKit's own table; give that "
            ".tsv, or leave out the preset"
        )
    return text(row, "question")


def _question(row: Row) -> str:
    return text(row, "question", "query")


def _lettered(choices: tuple[str, ...]) -> list[str]:
    return [f"{letter(i)}. {choice}" for i, choice in enumerate(choices)]


def _wemath_options(row: Row, example: Example) -> str:
    hint = optional_text(row, "hint")
    lines = [f"Hint: {hint}"] if hint else []
    lines.append(f"Question: {_question(row)}")
    if example.choices:
        # A letter that is left out has an empty option.
        listed = zip(_lettered(example.choices), example.choices, strict=True)
        lines += ["Options:", *(line for line, choice in listed if choice)]
    return "\n".join(lines) + "\n"


def _chartqa_phrase(row: Row, example: Example) -> str:
    return f"{_question(row)}\nAnswer the question using a single word or phrase."


_DYNAMATH_FORMS = {
    "multiple choice": "Provide the corresponing choice option in the 'short answer' key, such as "
    "'A', 'B', 'C', or 'D'.",
    "float": "Format the answer as a three-digit floating-point number and provide it in the "
    "'short answer' key.",
}
_DYNAMATH_OTHER = (
    "Float numbers in the answer should be formatted as three-digit floating-point numbers."
)


def _dynamath_json(row: Row, example: Example) -> str:
    form = _DYNAMATH_FORMS.get(text(row, "answer_type"), _DYNAMATH_OTHER)
    return (
        f"## Question\n {_question(row)}\n## Answer Instruction Please provide an answer to the "
        "question outlined above. Your response should adhere to the following JSON format, which "
        "includes two keys: 'solution' and 'short answer'. The 'solution' key can contain detailed "
        "steps needed to solve the question, and the 'short answer' key should provide a concise "
        f"response. {form}\n\nExample of expected JSON response format:\n\n"
        '{\n    "solution": "[Detailed step-by-step explanation]",\n'
        '    "short answer": "[Concise Answer]"\n}'
    )


# Each line of it is indented by twelve blanks, and it begins and ends with a line break.
_PRO_OPENINGS = {
    "Factoid": "You are given a factoid question that you need to answer based on the provided "
    "image.",
    "Multi Choice": "You are given a question along with different possible answers. You need to "
    "select the correct answer\nfrom them based on the provided image.",
    "Conversational": "You are given a multi-turn conversation, and your job is to answer the "
    "final question based on the\nconversation history and the information in the provided image.",
    "Fact Checking": "You are given a fact statement that you need to assess based on the provided "
    "image.",
    "Hypothetical": "You are given a hypothetical question that you need to answer based on the "
    "provided image.",
}
_PRO_PHRASE = (
    "Your answer should be a single word, number, or phrase. If the question is unanswerable based "
    "on\nthe information in the provided image, your answer should be unanswerable. Do not "
    "generate units.\nBut if numerical units such as million, m, billion, B, or K are required, "
    "use the exact notation\nshown in the chart."
)
_PRO_FORMS = {
    "Multi Choice": "Your answer should be one of the options letters only: a, b, c or d (just the "
    "letter itself without any\nadditional text). If the question is unanswerable based on the "
    "information in the provided image, your\nanswer should be unanswerable.",
    "Fact Checking": "Your answer should be either true or false (without any additional text). If "
    "the question is\nunanswerable based on the information in the provided image, your answer "
    "should be unanswerable.",
}
_PRO_END = (
    "If there are multiple answers, put them in brackets using this format [’Answer1’, "
    "’Answer2’].\nRemember to generate the final answer only without any additional text!"
)


def _chartqapro_direct(row: Row, example: Example) -> str:
    questions, answers = _conversation(row)
    kind = example.meta["question_type"]
    if kind not in _PRO_OPENINGS:
        raise row.error(f"the question's type is {kind!r}; there are: {', '.join(_PRO_OPENINGS)}")
    last = f"Question: {questions[0]}"
    if kind == "Conversational":
        before = [turn for pair in zip(questions[:-1], answers[:-1], strict=False) for turn in pair]
        last = f"Conversation: {before} Question: {questions[-1]}"
    lines = "\n".join((_PRO_OPENINGS[kind], _PRO_FORMS.get(kind, _PRO_PHRASE), _PRO_END))
    indented = [" " * 12 + line for line in (*lines.split("\n"), last, "")]
    return (optional_text(row, "Paragraph", "paragraph") or "") + "\n" + "\n".join(indented)


def _conversation(row: Row) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The questions of a ChartQAPro row and their answers: one, or those of a conversation."""
    found = []
    for keys in (("Question", "question"), ("Answer", "answer")):
        key = next((key for key in keys if not is_blank(row.values.get(key))), keys[0])
        value = row.values.get(key)
        listed = isinstance(value, list) or (isinstance(value, str) and value.startswith("["))
        found.append((texts(row, key) if listed else ()) or (text(row, key),))
    return found[0], found[1]


def _chartqapro_phrase(row: Row, example: Example) -> str:
    questions, answers = _conversation(row)
    question = questions[-1].strip()
    if example.meta["question_type"] == "Conversational" and len(questions) > 1:
        lines = []
        for number, each in enumerate(questions[:-1], start=1):
            lines.append(f"Q{number}: {each.strip()}")
            lines += [f"A{number}: {answer.strip()}" for answer in answers[number - 1 : number]]
        question = "\n".join([*lines, f"Q{len(questions)}: {question}"])
    paragraph = (optional_text(row, "Paragraph", "paragraph") or "").strip()
    if paragraph:
        question = f"Context: {paragraph}\n\n{question}"
    return f"{question}\nAnswer the question with a short phrase."


def _mathvista_hint_last(row: Row, example: Example) -> str:
    hint, _, question = example.turns[-1].text.partition("\n")
    if not hint.startswith("Hint: ") or not question.startswith("Question: "):
        raise row.error(
            f"the prompt must begin with a hint and the question but is {example.turns[-1].text!r}"
        )
    return f"{question}\n{hint}".strip()


def _mathverse_plain(row: Row, example: Example) -> str:
    return text(row, "query_wo").strip()


def _mathvision_choices(row: Row, example: Example) -> str:
    if "options" not in row.values:
        raise row.error("'options' is missing; the preset lmms_eval needs the data of its authors")
    prompt = 'Please solve the problem step by step and put your answer in one "\\boxed{}".'
    prompt += _question(row)
    if not example.choices:
        return prompt
    listed = "\n".join(_lettered(example.choices))
    return (
        f"{prompt}\nChoices: {listed}\n"
        "Answer the question with the option's letter from the given choices directly."
    )


def _wemath_bare(row: Row, example: Example) -> str:
    return f"{_question(row)}\n{text(row, 'option')}".strip()


def _bare(row: Row, example: Example) -> str:
    return (optional_text(row, "question") or "").strip()


def _geometry3k_letter(row: Row, example: Example) -> str:
    if not example.choices:
        raise row.error("'choices' is missing; the preset lmms_eval asks for one of four")
    question = text(row, "problem", "compact_text", "problem_text", "question")
    return "\n".join(
        (
            question,
            *_lettered(example.choices[:4]),
            "Answer with the option's letter from the given choices directly.",
        )
    )


def _chartqa_word(row: Row, example: Example) -> str:
    return f"{_question(row)}\nAnswer the question with a single word."


_CHARXIV_LINES = {
    "1": (
        "* Your final answer must be grounded to some text that is explicitly written and relevant "
        "to the question in the chart.",
        "* If you need to answer multiple terms, separate them with commas.",
        "* Unless specified in the question (such as answering with a letter), you are required to "
        "answer the full names of subplots and/or labels by default.",
    ),
    "2": (
        "* If there are options in the question, your final answer must conform to one of the "
        "options.",
        "* If there are additional instructions in the question, follow them accordingly.",
        "* If there are neither options nor additional instructions, you are allowed to respond "
        "with a short phrase only.",
    ),
    "3": (
        "* Your final answer must be grounded to a number that is exlicitly written and relevant "
        "to the question in the chart, even if it's an approximate value.",
        "* You are allowed to extract numbers within some text when needed.",
    ),
}


def _charxiv_by_source(row: Row, example: Example) -> str:
    """With the instruction that goes by the question's source, where the authors' goes by the kind
    of the answer.
    """  # noqa: D205 - the sentence is one
    source = text(row, "reasoning_q_source", "qa_source").removesuffix(".0")
    if source not in _CHARXIV_LINES:
        raise row.error(f"the question's source is {source!r}; there are: 1, 2, 3")
    question = text(row, "reasoning_q", "query")
    return "\n    ".join((question, *_CHARXIV_LINES[source])).strip()


PROMPTS: Mapping[str, Mapping[str, Prompt]] = {
    "vlmevalkit": {
        "mathvista": _authors,
        "mathverse": _tables,
        "mathvision": _tables,
        "wemath": _wemath_options,
        "dynamath": _dynamath_json,
        "logicvista": _tables,
        "chartqa": _chartqa_phrase,
        "chartqapro": _chartqapro_direct,
        "charxiv": _tables,
    },
    "lmms_eval": {
        "mathvista": _mathvista_hint_last,
        "mathverse": _mathverse_plain,
        "mathvision": _mathvision_choices,
        "wemath": _wemath_bare,
        "dynamath": _bare,
        "geometry3k": _geometry3k_letter,
        "logicvista": _bare,
        "chartqa": _chartqa_word,
        "chartqapro": _chartqapro_phrase,
        "charxiv": _charxiv_by_source,
    },
}
"""Preset -> benchmark -> what makes the prompt of a row."""
