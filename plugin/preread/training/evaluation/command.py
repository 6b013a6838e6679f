"""``preread evaluate``: measure models and ensembles, and tell of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from preread.errors import PrereadError
from preread.models.engine_names import EngineName
from preread.training.bars import Bars
from preread.training.evaluation.combining import Rule
from preread.training.evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from preread.training.evaluation.document import Evaluation
    from preread.training.evaluation.evaluating import Outcome
    from preread.training.evaluation.request import Request


class WhichPart(StrEnum):
    """Which images are measured on."""

    TEST = "test"
    VALIDATION = "validation"
    TRAINING = "training"
    ALL = "all"


def evaluate(
    context: typer.Context,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="A folder of models that were fitted on one split, such as models/, or one "
            "model's folder. Of several, mean and spread are given, models matched by name.",
            exists=True,
            file_okay=False,
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(help="Folder for evaluation.json and report.html.", file_okay=False),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="A CSV, or a folder of class folders, with the images; without it: the files that "
            "each model's split.csv lists.",
            exists=True,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that the files of a CSV are under; without it: the folder of --data.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    set_name: Annotated[
        str | None,
        typer.Option("--set", help="The set whose models are measured; default: all."),
    ] = None,
    part: Annotated[
        WhichPart,
        typer.Option(
            help="Of each model's split; all: every image of --data that no training has seen."
        ),
    ] = WhichPart.TEST,
    ensemble: Annotated[
        Rule, typer.Option(help="How all models of a set answer together.")
    ] = Rule.MEAN,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL=WEIGHT",
            help="For --ensemble weighted; without it: by the inverse log-loss on the validation "
            "part. May be given again.",
        ),
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="What does the arithmetic.")
    ] = EngineName.OPENVINO,
    bootstrap: Annotated[
        int, typer.Option(help="Draws for the 95 % intervals; 0: none.", min=0, max=1_000_000)
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Of the draws.", min=0)] = 0,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="LABEL=CLASS",
            help="What a label of the data counts as; LABEL= leaves its images out. May be given "
            "again.",
        ),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option(
            help="Whether the report shows the images that were wrong: leave them out where the "
            "page goes further than the data may."
        ),
    ] = True,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Find each model's temperature on its validation part and keep it in its card, "
            "with the figures, which it changes.",
        ),
    ] = False,
    write_cards: Annotated[
        bool, typer.Option("--write-cards", help="Put the figures into the models' cards.")
    ] = False,
) -> None:
    """Measure models and their ensemble on images that they were not trained on."""
    try:
        if (write_cards or calibrate) and part is not WhichPart.TEST:
            raise EvaluationError("--write-cards, --calibrate: cards tell of --part test alone")
        if (write_cards or calibrate) and mapping:
            raise EvaluationError(
                "--write-cards, --calibrate: cards tell of the models as they are; leave out --map"
            )
        request = _request(
            runs=tuple(runs),
            data=data,
            root=root,
            set_name=set_name,
            part=part.value,
            map=_pairs("--map", mapping),
            rule=ensemble,
            weights={name: _number(text) for name, text in _pairs("--weights", weights).items()},
            engine=engine.value,
            draws=bootstrap,
            seed=seed,
            calibrate=calibrate,
            command=_command_line(context),
        )
        _run(request, output, pictures=pictures, cards=write_cards or calibrate)
    except PrereadError as error:
        Console(stderr=True).print(
            f"preread evaluate: {error}", markup=False, highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from None


def _request(**facts: object) -> Request:
    from preread.training.evaluation.request import Request  # noqa: PLC0415 - not for help

    return Request(**facts)  # type: ignore[arg-type]  # named as its fields


def _run(request: Request, output: Path, *, pictures: bool, cards: bool) -> None:
    # torch takes seconds, which `--help` need not wait for.
    from preread.training.evaluation.cards import write_cards  # noqa: PLC0415
    from preread.training.evaluation.document import write_evaluation  # noqa: PLC0415
    from preread.training.evaluation.evaluating import evaluate as measure  # noqa: PLC0415
    from preread.training.evaluation.report import NAME as REPORT  # noqa: PLC0415
    from preread.training.evaluation.report import write_report  # noqa: PLC0415
    from preread.training.evaluation.runs import catalogue_of  # noqa: PLC0415

    console = Console()
    _make(output)
    with _Bars(console) as bars:
        found: Outcome = measure(request, bars)
    try:
        written = [write_evaluation(output, found.evaluation)]
        shown = found.pictures if pictures else {}
        written.append(write_report(output / REPORT, found.evaluation, shown))
    except OSError as error:
        raise EvaluationError(f"{output.name}: cannot be written ({error.strerror})") from None
    _tell(console, found.evaluation)
    for path in written:
        console.print(f"{path.name} written", markup=False, highlight=False)
    if cards:
        for place, calibrations in zip(request.runs, found.calibrations, strict=True):
            names = write_cards(catalogue_of(place), [found.evaluation], calibrations)
            for name in names:
                console.print(f"{name}/card.json written", markup=False, highlight=False)


def _make(folder: Path) -> None:
    """Make the folder before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"{folder.name}: cannot be made ({error.strerror})") from None


def _tell(console: Console, evaluation: Evaluation) -> None:
    for line in evaluation.Summaries:
        runs = f" over {line.Runs} runs" if line.Runs > 1 else ""
        figures = ", ".join(
            f"{words} {line.Mean[name]:.4f}"
            + (f" ± {line.Spread[name]:.4f}" if name in line.Spread else "")
            for name, words in (
                ("MicroAccuracy", "micro-accuracy"),
                ("MacroAccuracy", "macro-accuracy"),
                ("LogLoss", "log-loss"),
                ("LogLossReduction", "log-loss reduction"),
            )
        )
        console.print(
            f"{line.Set}, {line.Name}{runs}: {figures}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not equals or not name.strip():
            raise EvaluationError(f"{option}: {one[:60]!r}; expected NAME=VALUE")
        if name.strip() in found:
            raise EvaluationError(f"{option}: {name.strip()!r} is given twice")
        found[name.strip()] = value.strip()
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise EvaluationError(f"--weights: {text[:20]!r} is no number") from None


def _command_line(context: typer.Context) -> str:
    """Give the whole command, defaults spelt out, and of paths the last part alone."""
    words = ["preread", "evaluate", *(place.resolve().name for place in context.params["runs"])]
    names = {"set_name": "--set", "mapping": "--map"}
    for name, value in sorted(context.params.items()):
        if name == "runs" or value is None or value is False:
            continue
        option = names.get(name, f"--{name.replace('_', '-')}")
        if name == "pictures":
            continue
        for one in value if isinstance(value, list | tuple) else (value,):
            words.append(option)
            if one is not True:
                words.append(one.resolve().name if isinstance(one, Path) else str(one))
    return " ".join(f"'{word}'" if " " in word else word for word in words)


class _Bars(Bars):
    """Progress on the console: one bar for reading, one for each model."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "reading images")
        self._asking = self._reading

    def asking(self, model: str, count: int) -> None:
        self._asking = self._bars.add_task(model, total=count)

    def answered(self, count: int) -> None:
        self._bars.advance(self._asking, count)
