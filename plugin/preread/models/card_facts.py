"""The parts of a model's card: what it was trained on and how, what was measured, what it costs.

Each is one JSON object of the card and is checked for itself; `preread.models.card` puts them
together. Nothing here imports torch.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from preread.models.anatomy import code_of
from preread.models.backbones import ArchitectureName

# A name goes into the private block as "{ Name : ... }", where a brace or colon would end it.
Label = Annotated[
    str, Field(min_length=1, max_length=40, pattern=r"^[^\s{}:\\]([^{}:\\\r\n\t]*[^\s{}:\\])?$")
]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
VersionNumber = Annotated[str, Field(pattern=r"^\d{1,6}\.\d{1,6}\.\d{1,6}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """One JSON object of a card: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetFacts(Part):
    """What the model was trained on.

    Attributes
    ----------
    Name
        As it is to stand in the private block.
    License, Attribution, Source
        Of the data, not of the weights.
    Images
        Files, and how many of them differ by SHA-256 of their pixels.
    """

    Name: Label
    License: Text
    Attribution: Text
    Source: str = Field("", max_length=4000)
    Images: Count
    UniqueImages: Count
    ImagesPerClass: dict[str, Count]


class Applicability(Part):
    """The images that the model may be given.

    Attributes
    ----------
    Modality
        Defined terms of PS3.3 C.7.3.1.1.1.
    BodyPartExamined
        Names, defined terms or codes of PS3.16 CID 4031; they are kept as SNOMED CT codes. A part
        comprises those that lie within it. Empty: any.
    AcceptsMissingBodyPart
        Whether an image is read that names no body part anywhere.
    SamplesPerPixel, PhotometricInterpretation
        Empty: any.
    ExcludedImageTypes
        Values of Image Type (0008,0008) that rule an image out, such as LOCALIZER.
    """

    Modality: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")], ...] = Field(min_length=1)
    BodyPartExamined: tuple[str, ...] = ()
    AcceptsMissingBodyPart: bool = False
    SamplesPerPixel: tuple[Literal[1, 3], ...] = ()
    PhotometricInterpretation: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")], ...] = ()
    ExcludedImageTypes: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")], ...] = ()

    @field_validator("BodyPartExamined")
    @classmethod
    def _coded(cls, terms: tuple[str, ...]) -> tuple[str, ...]:
        codes = []
        for term in terms:
            code = code_of(term)
            if code is None:
                raise ValueError(
                    f"{term[:40]!r} is no body part of PS3.16 CID 4031 that is known here"
                )
            codes.append(code)
        return tuple(dict.fromkeys(codes))


class BackboneFacts(Part):
    """The network in ONNX but for the last layer: it gives an image's features.

    Attributes
    ----------
    File
        ``model.onnx`` beside the card or, where several models share it, relative to the folder of
        models, such as ``backbones/MobileNetV2.onnx``.
    SHA256
        Of that file.
    Precision
        ``int8``: convolutions compute in 8 bits where the processor can; their kernels are whole
        numbers with one scale for each output channel.
    """

    File: str = Field(pattern=r"^(model|backbones/[A-Za-z0-9][A-Za-z0-9._-]{0,95})\.onnx$")
    SHA256: Digest
    Precision: Literal["float32", "int8"]


class JudgeFacts(BackboneFacts):
    """Another network's backbone, whose features tell images that are unlike the training data.

    Attributes
    ----------
    Architecture
        Of that network.
    """

    Architecture: ArchitectureName


class CalibrationFacts(Part):
    """The temperature by which logits are divided (Guo and others, 2017), and what it changed.

    Attributes
    ----------
    Temperature
        1 changes nothing; above 1 makes the model less sure.
    Images
        Of the validation part, on which it was found.
    LogLossBefore, LogLossAfter, ECEBefore, ECEAfter
        On those images; the expected calibration error is in 0..1.
    """

    Temperature: Annotated[float, Field(ge=0.05, le=20)]
    Images: Count
    LogLossBefore: float
    LogLossAfter: float
    ECEBefore: Fraction
    ECEAfter: Fraction


class OutOfDistributionFacts(Part):
    """How an image unlike the training data is told.

    Attributes
    ----------
    Method
        What the score is.
    Threshold
        The score above which an image is given no class.
    HeldOutImages, HeldOutShare
        The images that set the threshold, which training did not fit on, and the share of them
        that lies below it.
    Judge
        The network whose features the score is of, given the model's own input; the model's own
        without one. Features that began at random and learnt from a thousand images hardly tell
        what is none of them.
    """

    Method: Text
    Threshold: Annotated[float, Field(gt=0)]
    HeldOutImages: Count
    HeldOutShare: Fraction
    Judge: JudgeFacts | None = None


class ClassMetrics(Part):
    """How one class came out."""

    Images: Count
    Recall: Fraction | None
    Precision: Fraction | None


class SplitMetrics(Part):
    """What was measured on the test part of one split, which training did not see.

    Attributes
    ----------
    Split
        How the images were divided: ``grouped`` keeps images that look alike on one side,
        ``random`` does not and flatters.
    Seed
        Of the split; None where the images came divided and nothing tells by which seed.
    TrainingImages, ValidationImages, TestImages
        How many images each part had.
    Groups
        How many groups of look-alikes there were; None for a random split.
    ShippedWeights
        Whether these figures are of the very weights beside the card.
    MicroAccuracy, MacroAccuracy
        Share of images, and mean of the classes' recalls.
    LogLoss
        Mean cross-entropy in nats.
    LogLossReduction
        1 - LogLoss / the log-loss of always answering the test part's class frequencies.
    Classes
        By name.
    ConfusionMatrix
        Rows are the true classes, columns the predicted ones, in the card's order.
    BestEpoch
        Which epoch's weights were measured, counted from 1; None where no one epoch was chosen,
        or several runs were measured.
    Runs
        How many networks were fitted, each on a split of its own. Of several, figures are the
        mean, and counts and the matrix are sums.
    Spread
        Standard deviation over the runs, by the name of the figure; empty for one run.
    Intervals
        Bounds of the 95 % bootstrap interval, by the name of the figure; empty for several runs.
    ROCAUC
        Area under the receiver's curve, each class against the others, mean over the classes.
    ECE
        Expected calibration error over 15 bins, after the card's temperature.
    """

    Split: Literal["grouped", "random"]
    Seed: int | None
    TrainingImages: Count
    ValidationImages: Count
    TestImages: Count
    Groups: Count | None
    ShippedWeights: bool
    MicroAccuracy: Fraction
    MacroAccuracy: Fraction
    LogLoss: float
    LogLossReduction: float
    Classes: dict[str, ClassMetrics]
    ConfusionMatrix: tuple[tuple[Count, ...], ...]
    BestEpoch: Count | None = None
    Runs: Annotated[int, Field(ge=1)] = 1
    Spread: dict[str, float] = Field(default_factory=dict)
    Intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    ROCAUC: Fraction | None = None
    ECE: Fraction | None = None


class OutsideFacts(Part):
    """One figure that was measured on images of no split: of other folders, or another source.

    Attributes
    ----------
    Figure
        What was measured, such as ``MicroAccuracy``, or in words what is told from what.
    Value
        The figure.
    Interval
        Bounds of its 95 % interval, where known.
    Images
        On how many images.
    Data
        Which public data, so that anybody can repeat it.
    Origin
        Which command made the figure; where there is none, that it was measured once, and when.
    """

    Figure: Text
    Value: Fraction
    Interval: tuple[Fraction, Fraction] | None = None
    Images: Count
    Data: Text
    Origin: Text


class TeacherFacts(Part):
    """The network whose answers another one learnt from.

    Attributes
    ----------
    Name
        Of its model folder.
    WeightsSHA256
        Of its backbone, or of its weights when it has none of its own.
    SplitSHA256
        Of the split that it was trained on: the same as this model's, so that it has seen no
        image that this model is measured on.
    """

    Name: Text
    WeightsSHA256: Digest
    SplitSHA256: Digest


class TrainingFacts(Part):
    """How the weights came about.

    Attributes
    ----------
    Transfer
        ``feature-extraction``: only the last layer was fitted; ``fine-tuning``: the others too.
    Teacher
        Whose answers it learnt from besides the labels, if anybody's.
    GrownFrom
        The shallower network whose layers it began with, if it did.
    SplitSHA256
        Of ``split.csv`` in the model's folder or, for a shared backbone, beside the backbone:
        which image (by the SHA-256 of its pixels) was for what.
    InitialWeights
        Where they started from, with licence; ``random`` when from nothing.
    InitialWeightsSHA256
        Of that file; None when from nothing.
    Command
        The command line, without the paths of the machine it ran on.
    Seconds
        Time that the epochs took.
    Precision
        In which the weights are kept, and with
    LargestRoundingDifference
        the largest difference of a probability on the test part that this made.
    AccuracyLossByRounding
        What keeping the weights in those numbers cost in micro-accuracy on the test part; below 0
        if it gained. None where it was not measured.
    """

    InitialWeights: Text
    InitialWeightsSHA256: Digest | None
    Epochs: Count
    BatchSize: Count
    LearningRate: float
    Optimizer: Text
    ClassBalance: Text
    Augmentation: Text
    Seed: int
    Command: Text
    Device: Text
    Seconds: float
    Precision: Literal["float16", "float32", "int8"]
    LargestRoundingDifference: Fraction
    AccuracyLossByRounding: Annotated[float, Field(ge=-1, le=1)] | None = None
    Versions: dict[str, str]
    Transfer: Literal["feature-extraction", "fine-tuning"] = "fine-tuning"
    Teacher: TeacherFacts | None = None
    GrownFrom: TeacherFacts | None = None
    SplitSHA256: Digest | None = None


class QuantizationFacts(Part):
    """What it cost to have the network compute in 8 bits, against the same network in float32.

    Attributes
    ----------
    CalibrationImages
        How many images of the training part set the ranges.
    TestImages, ChangedClasses, LargestDifference
        On the test part of the split of the shipped weights: the images, those whose likeliest
        class is another one, and the largest difference of a probability.
    """

    Method: Text
    CalibrationImages: Count
    TestImages: Count
    ChangedClasses: Count
    LargestDifference: Fraction
