"""What a case knows: one object that the loop carries whole, also over continue-as-new.

Pure data; it holds ids and references only, never a buyer's name, phone, address or words.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

from casework.messages import OrderId, StaffId, Text, given_in, references_of
from casework.money import LineQuantity
from casework.policy import ShopPolicy
from state_machines.roles import Role

MOST_REFUSED = 200
MOST_ANSWERS = 1_000
MOST_KEPT = 50
"""How many refused lines, answers and kept facts a case carries: it is carried whole in one Temporal payload."""
MOST_BYTES = 1_000_000
"""So large a case takes no more words beside the table, and no facts that it cannot use yet; a move stands in its trail
without what it named and gave. Temporal carries at most two million bytes in one payload, and moves, answers and
refusals still come to it."""
MOST_BYTES_OF_WORDS = 1_500_000
"""So large a case has moves in its trail without their notes too: it may be sent round and round."""
FEW = 25
"""With so few of them a case is far below that, and is not measured."""
FULL = "the case holds as much as Temporal carries; it takes no more words, and no facts that it cannot use yet"
ELSEWHERE = "the case is full: {what} this move stands in Temporal's history alone, as long as that is kept"
LONGEST_WHY = 300
FORGOTTEN = "no_longer_listed"


class Start(BaseModel):
    """What every case is opened with: the contract's common fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ONLY_FROM_CASE: ClassVar[frozenset[str]] = frozenset()
    """Fields that only another case may fill in: they are believed together with `from_case`, the parent workflow."""

    order_id: OrderId
    by: StaffId
    note: Text | None = None
    from_case: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The case that opens this one: only its parent workflow, as Temporal names it, may say so."""

    @model_validator(mode="after")
    def _only_from_another_case(self) -> Self:
        for name in sorted(self.ONLY_FROM_CASE):
            if self.from_case is None and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is only for a case that another case opens")
        return self


class TrailLine(BaseModel):
    """One line of a case's trail: a move, a comment or other side message (no `dest`), or an attempt that was
    refused, with the reason in `why`.

    `at` is aware.
    """

    at: datetime
    by: str
    role: str | None = None
    trigger: str
    source: str | None = None
    dest: str | None = None
    note: str | None = None
    accepted: bool
    why: str | None = None
    references: dict[str, list[str]] = Field(default_factory=dict[str, "list[str]"])
    """The photos, documents, waybills and the like that an accepted message named, by its field."""
    given: dict[str, Any] = Field(default_factory=dict[str, Any])
    """What else the message of a move said, as JSON by its field: what an inspection accepted, for example."""

    @property
    def is_move(self) -> bool:
        """Whether it is a move: comments and other side messages are on the record too, and lead nowhere."""
        return self.accepted and self.dest is not None


class Answer(BaseModel):
    """What became of one message."""

    trigger: str
    by: str
    content: str
    accepted: bool
    why: str | None = None


class KeptFact(BaseModel):
    """A fact that came before the case could use it. `at` is aware."""

    at: datetime
    trigger: str
    by: str
    actor: Actor
    payload: dict[str, Any]


class Approval(BaseModel):
    """Who approved at which level."""

    role: Role
    by: str


class Actor(BaseModel):
    """Who is asking, as the shop's staff list said at the moment of the decision.

    `grants` maps every role the person may act in to their own limit in fen (None: none of their own), including the
    roles of absent people whom they deputise. `deputises_for` names everybody who named them as deputy, absent or not;
    `stands_in_for` those of whom they act in the place of now.
    """

    staff_id: str
    grants: dict[Role, int | None] = Field(default_factory=dict[Role, "int | None"])
    deputises_for: list[str] = Field(default_factory=list[str])
    stands_in_for: list[str] = Field(default_factory=list[str])


class Loan(BaseModel):
    """A case that was reassigned for as long as it waits for a role: then it is again whose it was."""

    role: Role
    before: str | None


class CaseFigures(BaseModel):
    """The policy in force when the case opened; it stays with the case."""

    version: str
    shop: ShopPolicy


FiguresT = TypeVar("FiguresT", bound=CaseFigures)


class Case(BaseModel, Generic[FiguresT]):
    """Everything a case knows about itself. Flows add their own fields.

    Times are aware datetimes in UTC on the case's own clock (Temporal's), money is whole fen.
    """

    OWNED_BY: ClassVar[Role | None] = None
    """The role of the one person whom the flow itself assigns a case to; None: it assigns nobody."""

    case_id: str
    run_id: str
    """The first run's id: with the case id it names this one execution, also after a continue-as-new."""
    flow: str
    order_id: str
    state: str
    opened_by: str
    opened_at: datetime
    note: str | None = None
    platform_deadline: datetime | None = None
    from_case: str | None = None
    references: dict[str, list[str]] = Field(default_factory=dict[str, "list[str]"])
    """What it was opened with, as `TrailLine.references`."""
    given: dict[str, Any] = Field(default_factory=dict[str, Any])
    """What it was opened with, as `TrailLine.given`."""

    lines: list[LineQuantity] = Field(default_factory=list[LineQuantity])
    """The lines of the order that it is about; empty where it is about none in particular."""

    changes: list[str] = Field(default_factory=list[str])
    """The changes of its flow that it goes by, each by its name (docs/changing-a-flow.md)."""

    policy: FiguresT | None = None
    amount_fen: int = 0
    version: int = 0
    outcome: str | None = None
    assignee: str | None = None
    links: list[str] = Field(default_factory=list[str])

    entered_at: datetime | None = None
    due: datetime | None = None
    remind_at: datetime | None = None
    reminded: int = 0
    """How often those who may act were reminded in this stay."""
    watch_at: datetime | None = None
    """When the case polls the courier and the shop next; None: at once, where it watches."""
    alarm_at: datetime | None = None
    """When the case sounds an alarm of its own, wherever it waits then: it moves no deadline."""
    alarms: int = 0
    """How often the clock has already fired in the state without leaving it."""

    said: int = 0
    """How many side messages there have been so far: the number makes each task that comes of it another one."""
    asked_by: list[str] = Field(default_factory=list[str])
    """Whose questions to the opener wait for an answer."""
    called_at: datetime | None = None
    """When somebody last had those reminded who may act."""
    loan: Loan | None = None
    """The assignee has the case only while it waits for their role."""

    trail: list[TrailLine] = Field(default_factory=list[TrailLine])
    kept: list[KeptFact] = Field(default_factory=list[KeptFact])
    answers: dict[str, Answer] = Field(default_factory=dict[str, Answer])
    """Answers by the message's own id, so that a resend is harmless."""

    approvals: list[Approval] = Field(default_factory=list[Approval])
    involved: list[str] = Field(default_factory=list[str])
    """Who opened this case or one it came from, or spoke for the buyer in it: they may not approve it."""
    forgotten: int = 0
    """How many refused lines are no longer listed."""
    money_sent: bool = False

    def shorten(self, line: TrailLine) -> None:
        """Take out of a move's line what the case has no room for: it may be sent round and round, and must move."""
        size = self._bytes() if line.note or line.references or line.given else 0
        if size <= MOST_BYTES:
            return
        line.references, line.given, what = {}, {}, "what was named with"
        if size > MOST_BYTES_OF_WORDS:
            line.note, what = None, "what was said and named with"
        elsewhere = ELSEWHERE.format(what=what)
        line.why = elsewhere if line.why is None else f"{line.why}; {elsewhere}"

    def note_refused(self, line: TrailLine) -> None:
        """Put a refused line in the trail; the newest stand whole, older ones are only counted.

        A case must never grow beyond what Temporal carries, whatever strangers send.
        """
        line.why = line.why and line.why[:LONGEST_WHY]
        self.trail.append(line)
        counted = next((one for one in self.trail if (one.by, one.trigger) == ("system", FORGOTTEN)), None)
        refused = [one for one in self.trail if not one.accepted and one is not counted]
        if len(refused) <= MOST_REFUSED:
            return
        self.trail.remove(refused[0])
        self.forgotten += 1
        if counted is None:
            counted = TrailLine(at=line.at, by="system", trigger=FORGOTTEN, accepted=False)
            self.trail.insert(0, counted)
        counted.at, counted.why = line.at, f"{self.forgotten} older refused messages are no longer listed"

    def remember_answer(self, key: str, answer: Answer) -> None:
        """Remember what became of a message, so that a resend is harmless; the newest only."""
        self.answers[key] = answer
        while len(self.answers) > MOST_ANSWERS:
            del self.answers[next(iter(self.answers))]

    def is_full(self) -> bool:
        """Whether it has grown so large that words must stay out."""
        return self._bytes() > MOST_BYTES

    def _bytes(self) -> int:
        """How large it is in a payload; 0: far below any limit, and not measured."""
        few = sum(line.accepted for line in self.trail) + len(self.kept) <= FEW
        return 0 if few else len(self.model_dump_json().encode())

    def has_taken(self, trigger: str) -> bool:
        """Whether a move by this trigger has ever been made in the case."""
        return any(line.is_move and line.trigger == trigger for line in self.trail)

    def has_adopted(self, change: str) -> bool:
        """Whether the case goes by the change, as far as it knows by itself: it was opened with it, or has asked since.

        For places that must not ask Temporal (`adopts` in `workflows/steps.py`): handlers and wait conditions, where
        an answer would be an event that no replay repeats, the table, and what every case comes past.
        """
        return change in self.changes

    @property
    def figures(self) -> FiguresT:
        """The policy in force for this case.

        Raises:
            RuntimeError: before the case has been opened in the shop.

        """
        if self.policy is None:
            raise RuntimeError(f"case {self.case_id} has not been opened in the shop yet")
        return self.policy

    def local_day(self, at: datetime) -> date:
        """The calendar day at `at` (aware) in the shop's zone."""
        return at.astimezone(ZoneInfo(self.figures.shop.timezone)).date()

    def local_time(self, at: datetime) -> str:
        """The time `at` (aware) as people in the shop read it: in the shop's zone."""
        return at.astimezone(ZoneInfo(self.figures.shop.timezone)).strftime("%Y-%m-%d %H:%M")

    @classmethod
    def initial(cls, start: Start, *, flow: str, state: str, case_id: str, run_id: str, at: datetime) -> Self:
        """The case as it is before anything has been done. `at` is aware."""
        given = start.model_dump(exclude={"order_id", "by", "note"}, exclude_none=True)
        known = {name: value for name, value in given.items() if name in cls.model_fields}
        return cls(
            case_id=case_id,
            run_id=run_id,
            flow=flow,
            order_id=start.order_id,
            state=state,
            opened_by=start.by,
            opened_at=at,
            note=start.note,
            involved=[start.by],
            references=references_of(start),
            given=given_in(start),
            **known,
        )


class PayingCase(Case[FiguresT], Generic[FiguresT]):
    """A case that may pay the buyer."""

    decided_fen: int = 0
    """Up to which amount, in fen, whoever last decided to pay may decide: a lower limit of their own counts."""
    paid_fen: int = 0
    """What was really sent, in fen, by us or by the platform."""

    @property
    def to_pay_fen(self) -> int:
        """What is to be paid next, in fen: the case's amount, unless the flow says otherwise."""
        return self.amount_fen

    @to_pay_fen.setter
    def to_pay_fen(self, fen: int) -> None:
        self.amount_fen = fen


class WaitingFor(BaseModel):
    """One thing that people may do now."""

    trigger: str
    roles: list[str]
    fields: dict[str, str]


class IfSilent(BaseModel):
    """What the clock will do at `at` (aware) if nobody acts, and the fen that leave the shop by it."""

    trigger: str
    dest: str
    at: datetime
    pays_fen: int


class CaseView(BaseModel):
    """The case as the contract shows it to outsiders (query `case`, update `submit`). Times are aware."""

    case_id: str
    flow: str
    order_id: str
    state: str
    final: bool
    outcome: str | None
    amount_fen: int
    version: int
    waiting_for: list[WaitingFor]
    assignee: str | None
    due: datetime | None
    if_silent: IfSilent | None
    opened_by: str
    opened_at: datetime
    trail: list[TrailLine]
    policy: str
    links: list[str]
    note: str | None
    """What was said when the case was opened."""
    kept: list[str]
    """Facts that came before the case could use them, by trigger."""
    references: dict[str, list[str]] = Field(default_factory=dict[str, "list[str]"])
    """The photos, documents and the like that it was opened with, by field; later ones stand in the trail."""
    given: dict[str, Any] = Field(default_factory=dict[str, Any])
    """What else it was opened with, as JSON by field: its cause, for example; later words stand in the trail."""


KeptFact.model_rebuild()
