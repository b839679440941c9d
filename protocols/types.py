"""What a protocol says, as frozen types; `load.py` makes them from TOML, `trials.py` turns them into rows."""

from dataclasses import dataclass
from pathlib import Path

SCENARIOS = (
    "inner", "cross_method", "cross_dataset", "cross_language", "official", "adaptation", "loao",
    "cross_domain", "joint", "test_only",
)  # fmt: skip
ROLES = ("train", "dev", "test")
BALANCES = ("none", "oversample")
METRICS = (
    "eer", "auc", "min_tdcf_2019", "min_tdcf_2021", "min_dcf", "act_dcf", "cllr", "t_eer", "a_dcf",
)  # fmt: skip
# What a reference channel holds: another clip of the speaker, nothing, somebody else, or a degraded copy.
REFERENCE_MODES = (
    "real", "zero", "mismatch", "noise", "silence", "snr10", "snr20", "1s", "3s", "enrolled",
)  # fmt: skip
OVERLAPS = ("audio", "source", "sentence", "speaker", "song", "attack")  # what a protocol may declare; utterances never
PAIRS = ("train/dev", "train/test", "dev/test")


@dataclass(frozen=True, slots=True)
class Count:
    """Trials of the complete corpora as the source states them; exact=False where a fold draws them."""

    bonafide: int
    spoof: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Limit:
    """Seeded sub-sampling: an int is a number of trials, a float in (0, 1) a share, "bonafide" or "spoof"
    as many as that label has. With `by` the limit holds for every value of that catalog column."""

    bonafide: int | float | str | None
    spoof: int | float | str | None
    by: str | None
    seed: int


@dataclass(frozen=True, slots=True)
class Reference:
    """The second utterance of a trial: drawn by md5 of (utterance, seed) from the bona fide clips of the same
    speaker, corpus and partition, never the trial itself; `enrolled` draws from a list of the user instead."""

    mode: str
    seed: int
    list: str | None


@dataclass(frozen=True, slots=True)
class TrialList:
    """A list of trials in a file that the user supplies: `column` (a header word, or a 1-based number where
    there is no header) holds the values of `id`: utt_id, source_id or stem."""

    name: str
    file: str
    column: str | int
    id: str
    members: int | None  # column of comma-joined utterances, for enrolment lists


@dataclass(frozen=True, slots=True)
class Part:
    """One selection: SQL conditions that all hold, one more per label, and what happens to the rows."""

    where: tuple[str, ...]
    bonafide: str | None  # None: `where` alone
    spoof: str | None
    variant: str
    limit: Limit | None
    within: tuple[tuple[str, str], ...]  # (list, id): lists that the utterances must be in
    outside: tuple[tuple[str, str], ...]  # lists that they must not be in
    min_duration_s: float | None
    needs: frozenset[str]  # corpora that the conditions name


def role_label(role: str, subset: str | None) -> str:
    """`train`, `dev` or `test.<subset>`, as messages and tables print it."""
    return role if subset is None else f"{role}.{subset}"


@dataclass(frozen=True, slots=True)
class Role:
    """Train, dev, or one named subset of test."""

    role: str
    subset: str | None
    parts: tuple[Part, ...]
    shares: tuple[str, dict[str, float]] | None  # column -> value -> share of the draws
    equal: tuple[str, ...]  # columns whose groups get equal total weight (within a share)
    reference: Reference | None
    count: Count | None

    @property
    def needs(self) -> frozenset[str]:
        """Corpora that the conditions name."""
        return frozenset().union(*(part.needs for part in self.parts))

    @property
    def weighed_by(self) -> tuple[str, ...]:
        """The columns beside the label by which the trials are weighed."""
        columns = (*((self.shares[0],) if self.shares else ()), *self.equal)
        return tuple(column for column in dict.fromkeys(columns) if column != "label")

    @property
    def label(self) -> str:
        """The role and subset in one word, as by role_label()."""
        return role_label(self.role, self.subset)


@dataclass(frozen=True, slots=True)
class Declared:
    """An overlap that the protocol has on purpose, and why; pair and subset None: everywhere."""

    pair: str | None
    subset: str | None
    kinds: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """One experiment: which utterances train, which tune, which are tested in which named subsets."""

    name: str  # folder/stem
    title: str
    scenario: str
    source: str
    note: str
    path: Path
    train: Role
    dev: Role
    test: tuple[Role, ...]
    metrics: tuple[str, ...]
    averages: dict[str, tuple[str, ...]]  # name -> subsets whose EERs are averaged without weights
    pooled: dict[str, tuple[str, ...]]  # name -> subsets scored as one, each utterance once
    balance: str
    clip: int | None  # samples at 16 kHz; None: the detector's own crop
    dev_mean_over: str | None  # column: dev is the mean of the EERs of its groups
    lists: dict[str, TrialList]
    declares: tuple[Declared, ...]

    @property
    def roles(self) -> tuple[Role, ...]:
        """Train and dev (where the protocol trains) and the test subsets in the order of the file."""
        return tuple(role for role in (self.train, self.dev, *self.test) if role.parts)

    @property
    def needs(self) -> frozenset[str]:
        """Every corpus that some role names."""
        return frozenset().union(*(role.needs for role in self.roles))
