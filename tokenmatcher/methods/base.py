"""The door for methods: stages, what an epoch trains towards, and what a step minimises.

The training loop (`tokenmatcher.training.trainer`) knows a method by these contracts alone. For every stage, for every
epoch it extracts features, asks the stage to prepare the epoch, draws batches from the labels that come back, and lets
the objective say what each step minimises and remembers.

Legend: N images of a modality, B images of it in a batch, T tokens, D token width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor

from tokenmatcher.contracts import EpochRecord, Modality
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.images.batches import Batching
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.machine import Machine
from tokenmatcher.memory import Memory
from tokenmatcher.mining.matchers.base import Matcher
from tokenmatcher.models.base import Network
from tokenmatcher.models.networks import build_network
from tokenmatcher.recipe import ClusterConfig, Presets, Recipe

Images = Mapping[Modality, ImageSet]
PublishedScores = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, eq=False)
class View:
    """One modality's part of a step: features (B, T*D), tokens (B, T, D), index (B,) of the images."""

    features: Tensor
    tokens: Tensor
    index: np.ndarray


Views = dict[Modality, View]


class Objective(Protocol):
    """What a step minimises, the weighted sum of its terms, and what it remembers afterwards.

    `losses` reads the memories as they are; `update` writes them and is called after the backward pass, so that no
    term's gradient sees another's update.

    Attributes:
        weights: by name, the weight of each term that `losses` may return.
    """

    weights: dict[str, float]

    def all_memories(self) -> Sequence[Memory]:
        """Everything that `update` writes, in an order that stays."""

    def losses(self, views: Views) -> dict[str, Tensor]:
        """The terms by name, scalars, not yet weighted; a term without any sample is left out."""

    def update(self, views: Views) -> None:
        """Write the memories with this step's features."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What one epoch trains towards.

    labels: (N,) of each modality that is trained on: the cluster of each image, -1 for none. Batches are drawn from it.
    """

    objective: Objective
    labels: Mapping[Modality, np.ndarray]


class Stage(ABC):
    """Epochs that are planned alike.

    Attributes:
        name: as --stages has it; stages of one name follow each other and share a folder.
        place: of an epoch's record, beside its number.
        epochs: how many.
        batching: what batches are made of.
        images: the images of each modality that it looks at, by index; None: all.
        start: the stage whose weights it starts from, and which of them, "last" or "best"; None: it goes on with what
            the stage before left.
        tested_by: the metric of the first protocol by which the best epoch is told; None: it is not tested.
        keeps_weights: whether what it trains is used afterwards; if not, `start` is put back.
        keeps_optimizer: whether its optimiser starts with what that of the stage before has gathered.
        rate_setting: the number that its learning rate comes from, for advice.
    """

    name: str
    place: Mapping[str, str | int]
    epochs: int
    batching: Batching
    images: Mapping[Modality, np.ndarray | None]
    start: tuple[str, str] | None = None
    tested_by: str | None = None
    keeps_weights: bool = True
    keeps_optimizer: bool = False
    rate_setting: str = "lr"

    @abstractmethod
    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, from 0."""

    @abstractmethod
    def prepare(self, epoch: int, features: Mapping[Modality, Tensor], record: EpochRecord) -> Prepared | None:
        """Labels and objective of an epoch; None: nothing can be learned here, and the stage ends.

        Args:
            features: (N, T*D) of the stage's images, as the weights are now; not normalised.
            record: gets labels, facts, notes, and the phases' times.

        Raises:
            UserError: the features cannot be trained on; says what to change.
        """


class Method(ABC):
    """A method of training. One file with a subclass is all that a new one takes.

    Attributes:
        name: on the command line, in checkpoints.
        presets: its recipes by data set and name; "paper" has the published numbers, where there are any.
        published: the published scores by data set, for a run's header.
        published_scores: the authors' figures of their best epoch, as fractions, by data set and protocol.
        document: where departures from the published program are told of.
        default_matcher: the name of its own; None: it takes no matcher.
    """

    name: ClassVar[str]
    presets: ClassVar[Presets]
    published: ClassVar[Mapping[str, str]] = {}
    published_scores: ClassVar[PublishedScores] = {}
    document: ClassVar[str] = 'docs/reproduce.md, "Closest to the published run"'
    default_matcher: ClassVar[str | None] = "greedy"

    def __init__(
        self, recipe: Any, dataset: Dataset, images: Images, machine: Machine, matcher: Matcher | None
    ) -> None:
        self.recipe, self.dataset, self.images, self.machine, self.matcher = recipe, dataset, images, machine, matcher

    @classmethod
    def network(cls, recipe: Recipe) -> Network:
        """An untrained network; `tokenmatcher.models.networks` has those that there are."""
        return build_network(recipe.model)

    @classmethod
    @abstractmethod
    def stage_names(cls, dataset: Dataset) -> tuple[str, ...]:
        """What --stages may choose among, in order."""

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """All stages in order."""

    @classmethod
    def last_clusters(cls, recipe: Any) -> Mapping[Modality, ClusterConfig]:
        """By which numbers the last stage clusters each modality, for whoever looks at a run."""
        clusters: ClusterConfig = recipe.clusters
        return dict.fromkeys(Modality, clusters)

    @classmethod
    def departures(cls, recipe: Any, dataset: Dataset, matcher: Matcher | None) -> list[str]:
        """Where a run of this recipe departs from the published code of the method, in the words of `document`."""
        return []

    def state(self) -> dict[str, Any]:
        """What later stages need of earlier ones beside the weights: tensors, numbers, strings, and dictionaries of
        these. It is saved with every checkpoint."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned.

        Raises:
            ValueError: it does not fit; nothing is changed.
        """
        if state:
            raise ValueError(f"state of another method: {', '.join(map(str, state))}")
