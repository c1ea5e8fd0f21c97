"""A run's configuration as data: typed, frozen, an unknown key is an error. No torch here.

`config_loading` reads these models from YAML and command-line overrides and writes them back.
Relative paths are taken from the current working directory, wherever the YAML file lies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from mmdft.preset_fields import PRESETS, with_preset
from mmdft.training_fields import (
    ALIASES,
    Number,
    WholeNumber,
    check_training,
    error_lines,
    training_fields,
)

ObjectiveName = Literal[
    "sft",
    "dft",
    "power",
    "threshold",
    "floored_dft",
    "chord",
    "focal",
    "eaft",
    "deft",
    "label_smoothing",
    "asft",
    "sft_kl",
    "dft_sequence",
    "dft_geometric",
    "cadft",
    "iw_sft",
]
OBJECTIVE_NAMES: tuple[str, ...] = get_args(ObjectiveName)

BenchmarkName = Literal[
    "figures",
    "jsonl",
    "mathvista",
    "mathverse",
    "mathvision",
    "wemath",
    "dynamath",
    "geometry3k",
    "geoqa",
    "logicvista",
    "chartqa",
    "chartqapro",
    "charxiv",
]
BENCHMARK_NAMES: tuple[str, ...] = get_args(BenchmarkName)

# The objectives' parameters and the range of each, bounds excluded; the defaults stand with the
# functions in mmdft.objectives.
OBJECTIVE_PARAMETERS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "power": {"alpha": (0.0, 100.0)},
    "threshold": {"tau": (0.0, 1.0)},
    "floored_dft": {"floor": (0.0, 1.0)},
    "focal": {"gamma": (0.0, 100.0)},
    "label_smoothing": {"epsilon": (0.0, 1.0)},
    "asft": {"kl": (0.0, 100.0)},
    "sft_kl": {"kl": (0.0, 100.0)},
    "cadft": {"beta": (0.0, 100.0)},
    "iw_sft": {"temperature": (0.0, 100.0), "largest": (0.0, 1e6)},
}

ModelPart = Literal["vision", "projector", "language"]
ShownImages = Literal["kept", "blank", "swapped"]


def _expand_home(path: Path) -> Path:
    return Path(os.path.expanduser(path))


UserPath = Annotated[Path, AfterValidator(_expand_home)]
Positive = Annotated[WholeNumber, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Url = Annotated[str, Field(pattern=r"^https?://")]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        # `model` is a section's name here, and pydantic keeps the prefix `model_` to itself.
        protected_namespaces=(),
    )


def _check_pixels(smallest: int | None, largest: int | None, section: str = "") -> None:
    if smallest is not None and largest is not None and smallest > largest:
        where = f"{section}: " if section else ""
        raise ValueError(f"{where}min_pixels {smallest} is larger than max_pixels {largest}")


class LoraSettings(_Section):
    """Train low-rank adapters instead of the model's own weights."""

    r: Positive = 16
    """Rank of the adapters."""
    alpha: Annotated[Number, Field(gt=0)] = 32.0
    """Scale of the adapters; their output is multiplied by alpha / r."""
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapters' input."""
    target_modules: list[str] | str = "all-linear"
    """Names of the modules that get an adapter, a regular expression, or "all-linear"."""
    modules_to_save: list[str] = []
    """Modules trained in full beside the adapters, and saved with them."""


class ModelConfig(_Section):
    """Which model, and which of its parts are trained."""

    name: Annotated[str, Field(min_length=1)]
    """Hub id, the folder of a saved model, or mmdft/tiny, which comes with mmdft."""
    revision: str | None = None
    """Branch, tag or commit on the hub; None is the default branch."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for a source you trust."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """The weights' type in memory; "auto" keeps the one they were saved in."""
    quantization: Literal["nf4"] | None = None
    """Keep the frozen weights of the language part in 4 bits (QLoRA); needs lora, a GPU and
    bitsandbytes. The head, the vision tower and the projector stay as they are."""
    attn_implementation: str | None = None
    """Attention kernel, such as "sdpa" or "flash_attention_2"; None lets transformers choose."""
    freeze: list[ModelPart] = []
    """Parts whose own weights are not trained."""
    lora: LoraSettings | None = None
    """Adapter settings; None trains the model's own weights."""

    @model_validator(mode="after")
    def _quantized_weights_are_frozen(self) -> Self:
        if self.quantization is not None and self.lora is None:
            raise ValueError(
                f"quantization {self.quantization} needs lora: weights of 4 bits cannot be trained"
            )
        return self

    @model_validator(mode="after")
    def _something_is_trained(self) -> Self:
        if self.lora is None and set(self.freeze) == set(get_args(ModelPart)):
            raise ValueError(
                "freeze names every part and lora is not set, so nothing is trained; "
                "leave a part out of freeze, or set lora"
            )
        return self


_MAP_FIELDS = (
    "question",
    "answer",
    "reasoning",
    "response",
    "images",
    "choices",
    "category",
    "id",
    "system",
)


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """Split "Q: {problem}" into texts, each with the name of the column that follows it, if any.

    `{{` and `}}` stand for braces. A name is letters, digits and underscores, with single blanks
    or hyphens between.

    Raises:
        ValueError: the braces do not match, or hold anything but a name.
    """
    try:
        fields = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(
            f"template {template!r}: {error}; braces of the text are written twice, {{{{ and }}}}"
        ) from error
    for _, name, spec, conversion in fields:
        if name is not None and (spec or conversion or not re.fullmatch(r"\w+([ -]\w+)*", name)):
            raise ValueError(
                f"template {template!r}: braces may hold the name of a column and nothing else"
            )
    return [(text, name) for text, name, _, _ in fields]


def _check_map(fields: Mapping[str, str | list[str]]) -> None:
    for name, value in fields.items():
        if name not in _MAP_FIELDS:
            raise ValueError(f"no field is called {name!r}; known: {', '.join(_MAP_FIELDS)}")
        if isinstance(value, list) and name not in ("images", "choices"):
            raise ValueError(f"{name} takes one column or template; images and choices take lists")
        columns = value if isinstance(value, list) else [value]
        if not all(columns) or not columns:
            raise ValueError(f"{name} names no column")
        if isinstance(value, str):
            template_parts(value)
        elif any("{" in column or "}" in column for column in columns):
            raise ValueError(f"{name} is a list of columns, which may not be templates")
    for name in ("question", "answer"):
        if name not in fields:
            raise ValueError(f"{name} is missing; every training row needs one")


def hub_name(path: Path) -> str | None:
    """The hub's name `owner/name` in a source path `hf://owner/name`; None for any other path."""
    # A Path folds the two slashes into one.
    scheme, slash, name = path.as_posix().partition("/")
    return name if slash and scheme == "hf:" else None


class SourceConfig(_Section):
    """One source of data. A bare string stands for its path."""

    path: UserPath
    """A file (.jsonl, .json, .parquet, .tsv of VLMEvalKit, .tar of WebDataset), several by a
    pattern (shards/{000..003}.tar, shards/*.tar), the folder of a saved dataset, a folder of images
    with its metadata.jsonl or metadata.csv, or a dataset of the hub (hf://owner/name)."""
    subset: str | None = None
    """Which configuration of a dataset of the hub; None is its default."""
    split: Annotated[str, Field(min_length=1)] = "train"
    """Which split of a dataset of the hub."""
    format: (
        Literal["native", "messages", "wethink", "llava", "sharegpt", "prompt_completion"] | None
    ) = None
    """How a row is laid out; None detects it, row by row."""
    map: dict[str, str | list[str]] | None = None
    """For any other table: where the fields question, answer, reasoning, response, images,
    choices, category, id and system come from. Each is a column, a template with columns in braces
    ("{problem} Hint: {hint}"), or for images and choices a list of columns, of which some may be
    missing."""
    image_root: UserPath | None = None
    """Folder that image paths in the rows start from; None is the file's own folder."""
    allow_remote: bool = False
    """Whether images given by an http or https address are fetched, once, into a cache. Off, such a
    row is set aside: data decides then what this machine calls."""
    limit: Positive | None = None
    """Use only this many rows, from the top; None uses all."""
    shuffle: bool = False
    """Take the rows of `limit` at random (by data.seed) instead of from the top; they stay in the
    file's order."""
    repeat: Annotated[Number, Field(gt=0)] = 1.0
    """How often an epoch has each example: 2 is twice, 0.25 a random quarter of them once."""
    min_pixels: Positive | None = None
    """Smallest area of this source's images; None is data.min_pixels."""
    max_pixels: Positive | None = None
    """Largest area of this source's images; None is data.max_pixels."""
    reply: Literal["plain", "think", "boxed"] = "plain"
    """How a row's reasoning and answer become the assistant's reply."""
    reasoning: Literal["keep", "strip"] = "keep"
    """Whether reasoning is trained on: strip leaves the field out, and the leading
    <think>...</think> of replies given as whole text."""
    system: str | None = None
    """System prompt of conversations that have none of their own."""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str | Path) else value

    @field_serializer("path", when_used="json")
    def _path_as_written(self, path: Path) -> str:
        name = hub_name(path)
        return str(path) if name is None else f"hf://{name}"

    @model_validator(mode="after")
    def _subset_and_split_are_the_hubs(self) -> Self:
        name = hub_name(self.path)
        if name is None and (self.subset is not None or self.split != "train"):
            raise ValueError(
                f"subset and split are for datasets of the hub (hf://owner/name), and {self.path} "
                "is a path; name the split's own file or folder"
            )
        if name is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise ValueError(f"hf://{name} is no dataset's name; expected hf://owner/name")
        return self

    @field_validator("map")
    @classmethod
    def _map_is_known(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            _check_map(value)
        return value

    @model_validator(mode="after")
    def _map_or_format(self) -> Self:
        if self.map is not None and self.format is not None:
            raise ValueError("format and map are both set; a map is a format of its own, drop one")
        return self

    @model_validator(mode="after")
    def _shuffle_has_a_limit(self) -> Self:
        if self.shuffle and self.limit is None:
            raise ValueError("shuffle draws the rows of limit, which is not set; set it")
        return self


class DataConfig(_Section):
    """What is trained on, and what the loss is validated on."""

    train: list[SourceConfig] = []
    """Training data; several sources are joined."""
    validation: list[SourceConfig] = []
    """Held-out data for the validation loss, used when training.eval_strategy is set."""
    validation_fraction: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Hold about this share of the training data out for validation instead: rows that share an
    image, or without images a question, are held out together or not at all."""
    seed: WholeNumber = 0
    """Seed of what shuffle, repeat and validation_fraction choose; not of the training's order."""
    deduplicate: bool = False
    """Leave out rows whose turns and images are exactly those of an earlier row."""
    on_leak: Literal["warn", "drop", "raise"] = "warn"
    """What to do with training examples that are also in evaluation.benchmarks: tell (all are in
    leaks.jsonl), leave them out too, or stop."""
    max_length: Positive = 4096
    """Longest example in tokens, image tokens included. Longer ones are quarantined, or cut as
    truncate says."""
    truncate: Literal["never", "answer"] = "never"
    """With answer, an example that is too long loses the end of its last reply, and with it the
    end-of-turn token: the model is not taught to stop there. Prompts, images and earlier turns are
    never cut; if nothing of the reply would be left, the example is quarantined."""
    min_pixels: Positive | None = None
    """Smallest image area; smaller images are enlarged. None is the processor's own."""
    max_pixels: Positive | None = None
    """Largest image area; larger images are shrunk. None is the processor's own."""
    packing: bool = False
    """Train on rows of several examples, together up to max_length tokens long, that do not see
    each other; per_device_train_batch_size then counts rows."""
    share_prefix: bool | Literal["auto"] = "auto"
    """With packing, put rows with the same images and question, or the same images, behind one
    another and compute what they have in common once, with the same loss and gradient. With auto
    where that saves a tenth of the tokens or more and the attention kernel allows it."""
    streaming: bool = False
    """Read, check and render each training row when its turn comes, for data that memory does not
    hold. A bad row is then found in training; packing puts the examples of a batch in one row."""
    cache_vision: UserPath | None = None
    """Folder for the features of a frozen vision tower, which are then computed once for each
    image, across epochs, runs and processes; several runs may share it."""
    cache_vision_gb: Annotated[Number, Field(gt=0)] = 50.0
    """Most of cache_vision, in 10^9 bytes; what no run uses any more gives way to new features."""
    on_bad_row: Literal["quarantine", "raise"] = "quarantine"
    """Set a row that cannot be used aside with its reason, or stop at the first."""
    max_bad_fraction: Annotated[Number, Field(ge=0, le=1)] = 0.01
    """Stop when more than this share of the rows is quarantined."""
    probe_examples: Annotated[WholeNumber, Field(ge=0)] = 64
    """Training examples, evenly spaced, whose token probabilities are measured before and after
    training (probabilities.json); 0 turns it off."""

    @model_validator(mode="after")
    def _pixels_in_order(self) -> Self:
        _check_pixels(self.min_pixels, self.max_pixels)
        for source in (*self.train, *self.validation):
            smallest, largest = source.min_pixels, source.max_pixels
            _check_pixels(
                self.min_pixels if smallest is None else smallest,
                self.max_pixels if largest is None else largest,
                section=str(source.path),
            )
        return self

    @model_validator(mode="after")
    def _one_validation_set(self) -> Self:
        if self.validation and self.validation_fraction:
            raise ValueError(
                "validation and validation_fraction are both set; name sources for validation, or "
                "split it off the training data"
            )
        return self

    @model_validator(mode="after")
    def _shared_prefixes_are_packed(self) -> Self:
        if self.share_prefix is True and not self.packing:
            raise ValueError("share_prefix shares within packed rows; set packing: true")
        return self

    @model_validator(mode="after")
    def _cut_rows_are_counted(self) -> Self:
        if self.truncate != "never" and self.streaming:
            raise ValueError(
                f"truncate: {self.truncate} counts what it cuts before training, and streaming "
                "reads each row when its turn comes; drop one of the two"
            )
        return self

    @model_validator(mode="after")
    def _streamed_rows_are_not_compared(self) -> Self:
        asked = {
            "deduplicate": self.deduplicate,
            "share_prefix: true": self.share_prefix is True,
            "validation_fraction": self.validation_fraction > 0,
            f"on_leak: {self.on_leak}": self.on_leak != "warn",
        }
        for name in (name for name, is_set in asked.items() if is_set and self.streaming):
            raise ValueError(
                f"{name} compares all rows before training, and streaming reads each when its "
                "turn comes; drop one of the two"
            )
        return self


SegmentName = Literal["other", "reasoning", "answer", "end_of_turn"]


class SegmentWeight(_Section):
    """How the tokens of one part of the reply count. One of the two."""

    weight: NotNegative | None = None
    """Their weight, in place of the objective's: 1 is SFT's, 0 leaves them out."""
    multiplier: NotNegative | None = None
    """What all they contribute to the loss is multiplied by."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.weight is None) == (self.multiplier is None):
            raise ValueError("give either weight or multiplier")
        return self


class ObjectiveConfig(_Section):
    """The loss."""

    name: ObjectiveName = "dft"
    """How each answer token is weighted; see mmdft/objectives.py."""
    parameters: dict[str, Number] = {}
    """The objective's own parameters, such as alpha for power; what is left out has its default."""
    segments: dict[SegmentName, SegmentWeight] = {}
    """Other weights for parts of the reply, such as {end_of_turn: {weight: 1}}. The parts are
    reasoning, answer, end_of_turn, and other: what is none of them."""
    normalize: Literal["tokens", "weights"] = "tokens"
    """Divide the loss by the number of answer tokens, or by the sum of their weights, which costs a
    forward pass over the step."""
    chunk_mb: Positive = 256
    """Memory in MiB that the answer head may use for one chunk of logits."""

    @model_validator(mode="after")
    def _parameters_are_the_objectives(self) -> Self:
        known = OBJECTIVE_PARAMETERS.get(self.name, {})
        for name, value in self.parameters.items():
            if name not in known:
                there = ", ".join(known) or "it has none"
                raise ValueError(f"{self.name} has no parameter {name!r}; known: {there}")
            low, high = known[name]
            if not low < value < high:
                raise ValueError(f"{name} is {value}; it must lie between {low:g} and {high:g}")
        return self


class TrainingConfig(_Section):
    """Every field of `transformers.TrainingArguments`, under its own name.

    The fields below have a default of mmdft's own or are the ones looked for first. Any other is
    checked against the installed transformers and passed through.
    """

    model_config = ConfigDict(extra="allow")

    output_dir: UserPath = Path("runs/train")
    """The run folder: checkpoints, metrics, the resolved configuration."""
    learning_rate: Annotated[Number, Field(ge=0)] = 5e-5
    """Peak learning rate."""
    per_device_train_batch_size: Positive = 1
    """Examples in one forward pass on one device."""
    per_device_eval_batch_size: Positive = 1
    """Examples in one forward pass of the validation loss on one device."""
    gradient_accumulation_steps: Positive = 16
    """Forward passes in one optimizer step. The loss is the same for 8x1 as for 1x8."""
    num_train_epochs: Annotated[Number, Field(gt=0)] = 1.0
    """Passes over the data."""
    max_steps: WholeNumber = -1
    """Optimizer steps; above 0 it replaces num_train_epochs."""
    lr_scheduler_type: str = "cosine"
    """Course of the learning rate after the warm-up."""
    warmup_steps: NotNegative = 0.1
    """Warm-up: from 1 up a number of steps, below 1 a share of all steps."""
    optim: str = "adamw_torch_fused"
    """The optimizer."""
    weight_decay: NotNegative = 0.0
    """Weight decay; not applied to biases and norms."""
    max_grad_norm: NotNegative = 1.0
    """Gradients are clipped to this norm; 0 turns clipping off."""
    seed: WholeNumber = 42
    """Seed of the order of the data, the adapters and dropout."""
    bf16: bool = False
    """Mixed precision in bfloat16: the choice on GPUs since Ampere."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: much less memory, about a fifth slower."""
    logging_steps: NotNegative = 10
    """Log every so many steps; below 1 a share of all steps."""
    save_strategy: str = "steps"
    """When to save a checkpoint: no, steps, epoch or best."""
    save_steps: NotNegative = 500
    """Save every so many steps; below 1 a share of all steps."""
    save_total_limit: Positive | None = 2
    """Checkpoints kept, the oldest is deleted; None keeps all."""
    eval_strategy: str = "no"
    """When to compute the validation loss: no, steps or epoch. Needs data.validation."""
    eval_steps: NotNegative | None = None
    """With eval_strategy steps: every so many steps; None is logging_steps."""
    report_to: str | list[str] | None = "none"
    """Trackers to log to, such as wandb or tensorboard."""
    run_name: str | None = None
    """Name of the run in the trackers."""
    dataloader_num_workers: Annotated[WholeNumber, Field(ge=0)] = 0
    """Processes that open and prepare images ahead of the model; 4 is a good start on a GPU."""
    remove_unused_columns: bool = False
    """Must stay false: the collator needs every column."""

    @model_validator(mode="wrap")
    @classmethod
    def _check_against_transformers(
        cls, value: Any, handler: ModelWrapValidatorHandler[Self]
    ) -> Self:
        if not isinstance(value, Mapping):
            return handler(value)
        # A key with a problem is not handed on, so that no key is told twice.
        values, problems = check_training(value, declared=cls.model_fields)
        try:
            result = handler(values)
        except ValidationError as error:
            problems += error_lines(error)
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return result

    @model_validator(mode="after")
    def _choices_agree(self) -> Self:
        extra = self.model_extra or {}
        if self.bf16 and extra.get("fp16"):
            raise ValueError("bf16 and fp16 are both true; choose one")
        if extra.get("load_best_model_at_end") and self.eval_strategy == "no":
            raise ValueError("load_best_model_at_end needs eval_strategy: steps or epoch")
        return self

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments for `transformers.TrainingArguments`."""
        values = {name: value for name, value in self if value is not None}
        values["output_dir"] = str(self.output_dir)
        for new, known in ALIASES.items():
            if new in training_fields() and known in values:
                values[new] = values.pop(known)
        return values


class BenchmarkConfig(_Section):
    """One benchmark of an evaluation."""

    name: BenchmarkName
    """Which benchmark; it fixes the prompt and the official rule."""
    path: UserPath
    """Folder of its data as published, a file of it, or a dataset of the hub (hf://owner/name)."""
    split: Annotated[str, Field(min_length=1)] | None = None
    """Which split of a folder or of a dataset of the hub; None is the one that is there, and of the
    hub the benchmark's usual one."""
    limit: Positive | None = None
    """Ask only this many items, from the top; None asks all."""
    label: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]*$")] | None = None
    """Its folder and name in the report, to tell two uses apart; None is the benchmark's name."""
    max_new_tokens: Positive | None = None
    """Longest reply in tokens for this benchmark; None is evaluation.max_new_tokens."""
    system: str | None = None
    """System prompt for this benchmark; None is evaluation.system."""


class EndpointConfig(_Section):
    """A server that speaks OpenAI's chat completions, and how to treat it."""

    concurrency: Positive = 16
    """Requests under way at once."""
    retries: Annotated[WholeNumber, Field(ge=0)] = 5
    """Further attempts, at growing intervals, for a request that failed."""
    timeout: Annotated[Number, Field(gt=0)] = 600.0
    """Seconds to wait for one reply."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the server's key; it may be unset for one that needs none."""


class BackendConfig(EndpointConfig):
    """What answers the questions. A bare string stands for its name."""

    name: Literal["transformers", "vllm", "endpoint", "recorded"] = "transformers"
    """transformers runs the model here, on each process of the launcher; vllm runs it here in vLLM;
    endpoint asks the server at url; recorded takes the answers from the file or folder at path."""
    url: Url | None = None
    """For endpoint: address of an OpenAI-compatible server, such as http://localhost:8000/v1."""
    model: str | None = None
    """For endpoint: the server's name for the model; None is model.name."""
    path: UserPath | None = None
    """For recorded: a file of predictions as `mmdft score` takes it, or the folder of an evaluation
    with the same benchmarks."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _settings_are_the_backends(self) -> Self:
        for key, owner in (("url", "endpoint"), ("model", "endpoint"), ("path", "recorded")):
            if getattr(self, key) is not None and self.name != owner:
                raise ValueError(f"{key} is for the backend {owner}, and this is {self.name}")
        for key, owner in (("url", "endpoint"), ("path", "recorded")):
            if getattr(self, key) is None and self.name == owner:
                raise ValueError(f"the backend {owner} needs {key}")
        return self


class JudgeConfig(EndpointConfig):
    """A language model that is asked for a verdict where the rules leave it open."""

    url: Url
    """Address of an OpenAI-compatible server, such as http://localhost:8000/v1."""
    model: Annotated[str, Field(min_length=1)]
    """The server's name for the model."""


class DecodingConfig(_Section):
    """How questions are answered."""

    backend: BackendConfig = BackendConfig()
    """What answers: transformers, vllm, endpoint or recorded; a name, or a mapping with more."""
    max_new_tokens: Positive = 1024
    """Longest reply in tokens; a reply cut here is marked as truncated."""
    batch_size: Positive | Literal["auto"] = "auto"
    """Answers worked on at once; auto takes as many as memory allows. Halved where memory runs out
    on a GPU."""
    temperature: NotNegative = 0.0
    """0 always takes the likeliest token; above 0 samples."""
    top_p: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Sample from the likeliest tokens that together reach this probability."""
    num_samples: Positive = 1
    """Answers to each item."""
    seed: WholeNumber = 0
    """Seed of the sampling."""
    system: str | None = None
    """System prompt; None has none."""

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.num_samples > 1 and self.temperature == 0:
            raise ValueError(
                f"num_samples is {self.num_samples} at temperature 0, which repeats one answer; "
                "set temperature above 0"
            )
        return self


class EvaluationConfig(DecodingConfig):
    """What a checkpoint is asked, and how it answers."""

    output_dir: UserPath | None = None
    """The evaluation's folder; None puts it under runs/."""
    benchmarks: list[BenchmarkConfig] = []
    """The benchmarks to run."""
    preset: Literal["vlmevalkit", "lmms_eval"] | None = None
    """Ask as another tool does: its prompts, and where they are not set here, its pixels, tokens,
    decoding and system prompt."""
    min_pixels: Positive | None = None
    """Smallest image area; None is data.min_pixels."""
    max_pixels: Positive | None = None
    """Largest image area; None is data.max_pixels."""
    images: ShownImages = "kept"
    """kept shows each item its own images; blank shows white ones of the same sizes; swapped shows
    those of another item of its category. A model that looks at them falls to chance without."""
    judge: JudgeConfig | None = None
    """A language model asked for what the rules leave open; None asks none."""
    every_steps: Positive | None = None
    """In a training: answer the benchmarks every so many optimizer steps and at its end, and log
    the accuracy; None does not."""

    @model_validator(mode="before")
    @classmethod
    def _filled_by_the_preset(cls, value: Any) -> Any:
        return with_preset(value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _recorded_answers_had_their_images(self) -> Self:
        if self.images != "kept" and self.backend.name == "recorded":
            raise ValueError(
                f"images is {self.images!r}, and recorded answers are to the images that were "
                "shown then; leave images out, or choose another backend"
            )
        return self

    @model_validator(mode="after")
    def _preset_has_the_benchmarks(self) -> Self:
        if self.preset is not None:
            known = PRESETS[self.preset].benchmarks
            for benchmark in self.benchmarks:
                if benchmark.name not in known:
                    raise ValueError(
                        f"preset {self.preset} has no benchmark {benchmark.name}; it has "
                        f"{', '.join(known)}"
                    )
        return self

    def of(self, benchmark: BenchmarkConfig) -> EvaluationConfig:
        """The settings that hold for one of the benchmarks: its own where it has them."""
        own = {"max_new_tokens": benchmark.max_new_tokens, "system": benchmark.system}
        return self.model_copy(update={key: own[key] for key in own if own[key] is not None})

    @field_validator("benchmarks")
    @classmethod
    def _labels_differ(cls, benchmarks: list[BenchmarkConfig]) -> list[BenchmarkConfig]:
        labels = [benchmark.label or benchmark.name for benchmark in benchmarks]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two benchmarks are called {label!r}; give one another label")
        return benchmarks


class SampleConfig(DecodingConfig):
    """Training data out of a model's own right answers; the questions are those of data.train."""

    output_dir: UserPath = Path("runs/sample")
    """The folder: answers, verdicts, and the training file train.jsonl."""
    num_samples: Positive = 4
    """Answers to each question."""
    temperature: NotNegative = 1.0
    """0 always takes the likeliest token; above 0 samples."""
    keep: Literal["correct", "all"] = "correct"
    """Which answers are kept: the right ones, or all that have been scored."""
    skip_solved: bool = False
    """Leave out questions whose answers are all right: there is nothing to learn from them."""
    max_kept: Positive | None = None
    """At most so many different answers to a question, chosen by seed; None keeps all different
    ones."""
    system: str | None = None
    """System prompt of questions that have none of their own."""


class RunConfig(_Section):
    """One run: a training, an evaluation, or both."""

    model: ModelConfig
    """Which model, and which of its parts are trained."""
    data: DataConfig = DataConfig()
    """What is trained on."""
    objective: ObjectiveConfig = ObjectiveConfig()
    """The loss."""
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    """Fields of transformers.TrainingArguments."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What a checkpoint is asked, and how it answers."""
    sample: SampleConfig = SampleConfig()
    """Training data out of a model's own right answers."""

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        if self.data.streaming and self.objective.name == "iw_sft":
            raise ValueError(
                "objective iw_sft needs every example before training; set data.streaming: false"
            )
        validated = self.data.validation or self.data.validation_fraction
        if self.training.eval_strategy != "no" and not validated:
            raise ValueError(
                f"training.eval_strategy is {self.training.eval_strategy!r} but data.validation "
                "is empty; name a validation source, set data.validation_fraction, or set "
                "eval_strategy: no"
            )
        if self.data.on_leak != "warn" and self.data.train and not self.evaluation.benchmarks:
            raise ValueError(
                f"data.on_leak is {self.data.on_leak!r} but evaluation.benchmarks is empty, so "
                "nothing would be looked for; name the benchmarks, or set data.on_leak: warn"
            )
        _check_pixels(*self.evaluation_pixels(), section="evaluation")
        return self

    def evaluation_pixels(self) -> tuple[int | None, int | None]:
        """The evaluation's (min_pixels, max_pixels): its own, else the training data's."""
        evaluation, data = self.evaluation, self.data
        return (
            data.min_pixels if evaluation.min_pixels is None else evaluation.min_pixels,
            data.max_pixels if evaluation.max_pixels is None else evaluation.max_pixels,
        )
