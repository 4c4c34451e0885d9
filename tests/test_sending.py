"""Messages on their way out: claimed by one, tried until taken, signed, to whom it concerns now; in the log no word."""

from __future__ import annotations

import asyncio
import hmac
import io
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from casework.logs import configure_logs
from casework.port import NotSent, ToLog
from casework.sending import AT_ONCE, LEASE, Sent, port_of, send_due
from casework.settings import Settings, SettingsError
from casework.shop import database, outbox, records, sending
from casework.shop.database import Database
from casework.shop.sending import FIRST_WAIT, LONGEST_WAIT, MOST_REFUSALS, Dispatch, wait_after
from casework.shop.staff import set_present
from casework.shop.tables import StaffRow
from casework.webhook import NAMES, ToWebhook, body_of, read_template
from tests.orders import new_shop

SECRET = "a-secret-of-sixteen-or-more"  # noqa: S105 - invented
CASE, RUN = "refund-before-shipping-3300012345678901208", "run-1"
SAID = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


class Receiver:
    """Takes what is posted, and answers as it is told: a status, or a status and a body."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, bytes]] = []
        self.silent = threading.Event()
        """Set: answers nothing until it is cleared again."""
        self.free = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                if receiver.silent.is_set():
                    receiver.free.wait(20)
                    return
                status, said = receiver.answers.pop(0) if receiver.answers else (200, b"")
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(said)

            def do_GET(self) -> None:
                raise AssertionError("a redirection was followed")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its own name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/robot?key=very-secret"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


class Clock:
    """The clock on the wall, which a test turns on."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    receiver.free.set()
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Database]:
    database = new_shop(f"sqlite:///{tmp_path / 'shop.db'}")
    with database.writing() as session:
        records.open_record(
            session,
            case_id=CASE,
            run_id=RUN,
            flow="refund-before-shipping",
            order_id="3300012345678901208",
            opened_by="aftersale.1",
            opened_at=SAID,
        )
    yield database
    database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def post(
    shop: Database,
    purpose: str,
    *,
    template: str = "asked_to_act",
    recipient: str | None = "finance_manager",
    text: str | None = None,
) -> str:
    key = f"{CASE}/{RUN}/{purpose}"
    with shop.writing() as session:
        outbox.post(
            session,
            key=key,
            case_id=CASE,
            to="buyer" if recipient is None else "staff",
            recipient=recipient,
            template=template,
            parameters={"case_id": CASE},
            text_zh=f"说 {purpose}",
            text_en=text or f"says {purpose}",
            at=SAID,
        )
    return key


def webhook(receiver: Receiver, **more: Any) -> ToWebhook:
    return ToWebhook(receiver.url, SECRET, language=more.pop("language", "en"), **more)


def states(shop: Database) -> Mapping[str, int]:
    with shop.reading() as session:
        return {str(state): number for state, number in sending.backlog(session).counts.items()}


def problems(shop: Database) -> list[sending.Unsent]:
    with shop.reading() as session:
        return sending.backlog(session).failed


# --- what goes out ---


async def test_a_message_is_posted_once_signed_over_time_and_body(shop: Database, receiver: Receiver) -> None:
    key = post(shop, "one")
    port = webhook(receiver, clock=lambda: 1_790_000_000.7)
    assert await send_due(shop, port) == Sent(1, 0)
    assert await send_due(shop, port) == Sent(0, 0)
    ((headers, body),) = receiver.got
    assert headers["casework-timestamp"] == "1790000000"
    expected = hmac.new(SECRET.encode(), b"1790000000." + body, sha256).hexdigest()
    assert headers["casework-signature"] == f"sha256={expected}"
    assert headers["casework-id"] == key
    told = json.loads(body)
    assert told["id"] == key
    assert told["case_id"] == CASE
    assert told["order_id"] == "3300012345678901208"
    assert (told["to"], told["recipient"], told["template"]) == ("staff", "finance_manager", "asked_to_act")
    assert told["at"] == SAID.isoformat()
    assert (told["text_zh"], told["text_en"]) == ("说 one", "says one")
    assert states(shop) == {"delivered": 1}


async def test_the_text_for_people_is_in_the_staffs_language_and_says_for_whom(
    shop: Database, receiver: Receiver
) -> None:
    post(shop, "one")
    post(shop, "two", recipient=None, template="refunded")
    await send_due(shop, webhook(receiver, language="zh"))
    for_staff, for_buyer = receiver.bodies
    assert for_staff["text"].startswith("说 one [finance.1")
    assert (for_buyer["text"], for_buyer["people"]) == ("说 two", []), "a buyer reads nothing of ours"


def test_a_template_may_use_all_that_is_told(shop: Database) -> None:
    post(shop, "one")
    with shop.writing() as session:
        (dispatch,) = sending.claim(session, now=datetime.now(UTC), lease=LEASE, at_most=1)
    assert set(body_of(dispatch, "en")) == NAMES


async def test_a_template_shapes_it_for_a_chat_robot(shop: Database, receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "robot.json"
    file.write_text(
        '{"msgtype": "text", "text": {"content": "${case_id}: $text, 5 $$"}, "at": {"ids": "$people"}, "a": ["$to", 1]}'
    )
    key = post(shop, "one", recipient="finance.1", text='hostile "} \n <b> $id')
    await send_due(shop, webhook(receiver, template=read_template(file)))
    ((headers, body),) = receiver.got
    assert headers["casework-id"] == key, "also where the body does not say it"
    assert json.loads(body) == {
        "msgtype": "text",
        "text": {"content": f'{CASE}: hostile "}} \n <b> $id [finance.1], 5 $'},
        "at": {"ids": ["finance.1"]},
        "a": ["staff", 1],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ('{"a": "$nonsense"}', r"knows no \$nonsense"),
        ('{"a": ["5 $ x"]}', r"write \$\$"),
        (None, "cannot be read"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "robot.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=said) as refused:
        read_template(file)
    assert str(refused.value).startswith("CASEWORK_WEBHOOK_TEMPLATE: ")
    assert str(refused.value).endswith(".")


# --- to whom ---


async def test_it_goes_to_those_who_are_there_or_deputise_at_that_moment(shop: Database, receiver: Receiver) -> None:
    with shop.writing() as session:
        for number, (staff_id, present, deputy) in enumerate(
            [("w.1", True, None), ("w.2", False, "w.3"), ("w.4", False, None)], start=100
        ):
            session.add(
                StaffRow(id=staff_id, position=number, name="x", roles=["warehouse"], present=present, deputy=deputy)
            )
        session.add(StaffRow(id="w.3", position=200, name="x", roles=["returns_clerk"], present=True))
        for row in session.query(StaffRow).filter(StaffRow.id.not_like("w.%")):
            session.delete(row)
    post(shop, "role", recipient="warehouse")
    post(shop, "absent", recipient="w.2")
    await send_due(shop, webhook(receiver))
    assert [one["people"] for one in receiver.bodies] == [["w.1", "w.3"], ["w.3"]]
    with shop.writing() as session:
        set_present(session, "w.1", present=False)
        set_present(session, "w.2", present=True)
        set_present(session, "w.3", present=False)
    post(shop, "later", recipient="warehouse")
    post(shop, "nobody", recipient="returns_clerk")
    await send_due(shop, webhook(receiver))
    assert receiver.bodies[2]["people"] == ["w.2"]
    assert receiver.bodies[3]["people"] == []
    assert receiver.bodies[3]["text"] == "says nobody [returns clerk: nobody is there]"


# --- what is not needed any more ---


async def test_a_cancelled_task_and_a_call_to_a_case_that_has_ended_are_not_sent(
    shop: Database, receiver: Receiver
) -> None:
    post(shop, "cancelled", recipient="warehouse", template="ask_warehouse")
    with shop.writing() as session:
        outbox.cancel_tasks(session, CASE, "warehouse", at=SAID)
    post(shop, "call", template="reminder")
    post(shop, "farewell", recipient=None, template="refunded")
    post(shop, "to do", template="take_parcel_in")
    with shop.writing() as session:
        records.close_record(session, case_id=CASE, run_id=RUN, view={}, outcome="refunded", at=SAID)
    await send_due(shop, webhook(receiver))
    assert sorted(one["id"].rpartition("/")[2] for one in receiver.bodies) == ["farewell", "to do"]
    assert states(shop) == {"delivered": 2, "skipped": 2}


def test_what_was_posted_before_anything_was_sent_is_left_alone(tmp_path: Path) -> None:
    from alembic import command
    from sqlalchemy import create_engine, text

    from casework.shop.migrations import configuration

    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        settings = configuration()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0008")
        connection.execute(
            text(
                'INSERT INTO outbox (key, case_id, "to", template, parameters, text_zh, text_en, at) '
                "VALUES ('k', 'c', 'buyer', 't', '{}', '', '', '2026-01-01 00:00:00')"
            )
        )
    engine.dispose()
    shop = Database(url)
    shop.migrate()
    with shop.writing() as session:
        assert not sending.anything_due(session, now=datetime.now(UTC))
    assert states(shop) == {"skipped": 1}
    shop.close()


# --- what fails ---


async def test_it_is_tried_again_later_and_later_under_the_same_id(
    shop: Database, receiver: Receiver, clock: Clock
) -> None:
    post(shop, "one")
    receiver.answers = [(500, b""), (429, b""), (408, b""), (503, b""), (500, b"")]
    port = webhook(receiver)
    for attempt in range(1, 6):
        assert await send_due(shop, port, clock=clock) == Sent(0, 1)
        (problem,) = problems(shop)
        assert problem.attempts == attempt
        assert await send_due(shop, port, clock=clock) == Sent(0, 0), "not before its time"
        clock.ahead += wait_after(attempt)
    assert await send_due(shop, port, clock=clock) == Sent(1, 0)
    assert len({one["id"] for one in receiver.bodies}) == 1
    assert len(receiver.got) == 6
    assert problems(shop) == []


def test_waits_double_up_to_the_longest() -> None:
    assert [wait_after(number) / FIRST_WAIT for number in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert wait_after(100) == LONGEST_WAIT


@pytest.mark.parametrize("status", [400, 401, 404, 410, 302])
async def test_what_is_refused_is_given_up_after_few_tries_and_shown(
    shop: Database, receiver: Receiver, clock: Clock, status: int
) -> None:
    key = post(shop, "one")
    receiver.answers = [(status, b"")] * MOST_REFUSALS
    for _ in range(MOST_REFUSALS):
        await send_due(shop, webhook(receiver), clock=clock)
        clock.ahead += LONGEST_WAIT
    assert await send_due(shop, webhook(receiver), clock=clock) == Sent(0, 0)
    (problem,) = problems(shop)
    assert (problem.id, problem.why, problem.next_try) == (key, f"the receiver answered {status}", None)
    with shop.writing() as session:
        assert sending.try_again(session, now=clock()) == 1
    assert await send_due(shop, webhook(receiver), clock=clock) == Sent(1, 0)


async def test_failures_that_pass_do_not_count_as_refusals(shop: Database, receiver: Receiver, clock: Clock) -> None:
    post(shop, "one")
    receiver.answers = [(500, b"")] * 5 + [(403, b"")]
    for _ in range(6):
        await send_due(shop, webhook(receiver), clock=clock)
        clock.ahead += LONGEST_WAIT
    assert states(shop) == {"waiting": 1}


async def test_a_chat_robot_that_answers_200_with_an_errcode_has_not_taken_it(
    shop: Database, receiver: Receiver, clock: Clock
) -> None:
    post(shop, "one")
    receiver.answers = [(200, b'{"errcode": 45009}'), (200, b'{"errcode": 0}')]
    assert await send_due(shop, webhook(receiver), clock=clock) == Sent(0, 1)
    assert problems(shop)[0].why == "the receiver answered errcode 45009"
    clock.ahead += LONGEST_WAIT
    assert await send_due(shop, webhook(receiver), clock=clock) == Sent(1, 0)


@pytest.mark.parametrize("said", [b"[" * 9_000, b'{"errcode": ' + b"9" * 9_000, b"\xff", b'{"errcode": "x"}'])
async def test_an_answer_of_which_nothing_can_be_made_is_no_errcode(
    shop: Database, receiver: Receiver, said: bytes
) -> None:
    post(shop, "one")
    receiver.answers = [(200, said)]
    assert await send_due(shop, webhook(receiver)) == Sent(1, 0)


async def test_a_receiver_that_is_away_or_silent_is_asked_later_and_its_key_is_not_repeated(
    shop: Database, receiver: Receiver
) -> None:
    post(shop, "one")
    receiver.silent.set()
    assert await send_due(shop, webhook(receiver, seconds=0.2)) == Sent(0, 1)
    assert "did not answer within" in str(problems(shop)[0].why)
    post(shop, "two")
    away = ToWebhook("http://127.0.0.1:1/robot?key=very-secret", SECRET, language="en")
    assert await send_due(shop, away) == Sent(0, 1)
    assert "could not be reached" in str([one.why for one in problems(shop)])
    assert "secret" not in str(problems(shop))


async def test_a_receiver_that_is_away_is_not_asked_for_each_message(shop: Database, receiver: Receiver) -> None:
    for number in range(3 * AT_ONCE):
        post(shop, f"n{number}")
    receiver.answers = [(500, b"")] * 3 * AT_ONCE
    assert (await send_due(shop, webhook(receiver))).failed == AT_ONCE


# --- claims ---


class Gathering:
    """A port that keeps what it is given, after a pause in which others may come."""

    def __init__(self, *, meet: Callable[[], Any] | None = None) -> None:
        self.got: list[str] = []
        self._meet = meet

    async def send(self, dispatch: Dispatch) -> None:
        self.got.append(dispatch.id)
        await asyncio.sleep(0)
        if self._meet is not None:
            await self._meet()


async def test_two_workers_never_send_the_same_at_one_time(shop: Database) -> None:
    keys = [post(shop, f"n{number}") for number in range(5 * AT_ONCE)]
    together = asyncio.Barrier(2)
    met = False

    async def meet() -> None:
        nonlocal met
        if not met:
            await together.wait()  # both have claimed before either goes on
            met = True

    one, other = Gathering(meet=meet), Gathering(meet=meet)
    await asyncio.gather(send_due(shop, one), send_due(shop, other))
    assert sorted(one.got + other.got) == sorted(keys)
    assert one.got
    assert other.got


async def test_after_a_crash_between_sending_and_noting_it_is_sent_again_under_the_same_id(
    shop: Database, receiver: Receiver, clock: Clock
) -> None:
    key = post(shop, "one")
    with shop.writing() as session:
        (dispatch,) = sending.claim(session, now=clock(), lease=LEASE, at_most=1)
    await webhook(receiver).send(dispatch)
    # here the first worker is gone
    assert await send_due(shop, webhook(receiver), clock=clock) == Sent(0, 0)
    with shop.writing() as session:
        assert sending.try_again(session, now=clock()) == 0, "what somebody may be at is left alone"
    clock.ahead = LEASE
    assert await send_due(shop, webhook(receiver), clock=clock) == Sent(1, 0)
    assert [one["id"] for one in receiver.bodies] == [key, key]


async def test_a_shop_that_is_locked_as_a_message_has_gone_out_is_asked_again_to_note_it(
    shop: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = post(shop, "one")
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 20)
    impatient = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    other = sqlite3.connect(tmp_path / "shop.db", isolation_level=None, check_same_thread=False)

    async def lock() -> None:
        other.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.2, other.execute, "ROLLBACK")

    port = Gathering(meet=lock)
    with closing(impatient), closing(other):
        assert await send_due(impatient, port) == Sent(1, 0)
    assert port.got == [key]
    assert states(shop) == {"delivered": 1}


async def test_what_could_be_sent_only_when_somebody_else_may_have_claimed_it_is_left_alone(
    shop: Database, clock: Clock
) -> None:
    for number in range(3):
        post(shop, f"n{number}")

    async def slow() -> None:
        clock.ahead = LEASE - timedelta(seconds=5)

    assert await send_due(shop, Gathering(meet=slow), clock=clock) == Sent(1, 0)
    assert states(shop) == {"delivered": 1, "waiting": 2}


async def test_more_that_is_not_needed_than_is_claimed_at_once_does_not_stand_before_what_is_due(
    shop: Database, receiver: Receiver
) -> None:
    for number in range(2 * AT_ONCE):
        post(shop, f"cancelled {number}", recipient="warehouse", template="ask_warehouse")
    with shop.writing() as session:
        outbox.cancel_tasks(session, CASE, "warehouse", at=SAID)
    post(shop, "one")
    assert await send_due(shop, webhook(receiver)) == Sent(1, 0)
    assert states(shop) == {"delivered": 1, "skipped": 2 * AT_ONCE}


async def test_a_late_failure_does_not_undo_what_another_has_sent(
    shop: Database, receiver: Receiver, clock: Clock
) -> None:
    post(shop, "one")
    with shop.writing() as session:
        (dispatch,) = sending.claim(session, now=clock(), lease=LEASE, at_most=1)
    clock.ahead = LEASE
    assert await send_due(shop, webhook(receiver), clock=clock) == Sent(1, 0)
    with shop.writing() as session:
        sending.note_failed(session, dispatch, "late", refused=True, at=clock())
    assert states(shop) == {"delivered": 1}


async def test_a_late_failure_does_not_give_away_what_another_is_at(shop: Database, clock: Clock) -> None:
    post(shop, "one")
    with shop.writing() as session:
        (late,) = sending.claim(session, now=clock(), lease=LEASE, at_most=1)
    clock.ahead = LEASE
    with shop.writing() as session:
        assert len(sending.claim(session, now=clock(), lease=LEASE, at_most=1)) == 1
        sending.note_failed(session, late, "late", refused=False, at=clock() - LEASE)
        assert not sending.anything_due(session, now=clock() + LEASE / 2)
    assert problems(shop) == []


# --- the log, and the settings ---


async def test_the_log_names_case_and_people_and_holds_no_words(shop: Database) -> None:
    post(shop, "one")
    post(shop, "两", recipient=None, template="refunded")
    written = io.StringIO()
    configure_logs(written)
    assert await send_due(shop, ToLog()) == Sent(2, 0)
    staff, buyer = [json.loads(line) for line in written.getvalue().splitlines()]
    assert (staff["event"], staff["case"], staff["role"]) == ("message", CASE, "finance_manager")
    assert "finance.1" in staff["people"]
    assert (buyer["to"], buyer["template"]) == ("buyer", "refunded")
    assert "says" not in written.getvalue()
    assert "说" not in written.getvalue()


async def test_a_message_by_webhook_leaves_no_key_in_the_log(shop: Database, receiver: Receiver) -> None:
    post(shop, "one")
    post(shop, "two")
    receiver.answers = [(404, b"very-secret")]
    written = io.StringIO()
    configure_logs(written)
    await send_due(shop, webhook(receiver))
    assert "message_not_delivered" in written.getvalue()
    assert "very-secret" not in written.getvalue()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    for name in ("URL", "SECRET", "TEMPLATE"):
        monkeypatch.delenv(f"CASEWORK_WEBHOOK_{name}", raising=False)
    return monkeypatch


def test_the_settings_name_the_port(environment: pytest.MonkeyPatch) -> None:
    assert isinstance(port_of(Settings()), ToLog)
    environment.setenv("CASEWORK_WEBHOOK_URL", "https://chat.example.com/robot?key=x")
    environment.setenv("CASEWORK_WEBHOOK_SECRET", SECRET)
    settings = Settings()
    assert isinstance(port_of(settings), ToWebhook)
    assert "robot" not in repr(settings)
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        ("https://chat.example.com/robot?key=x", "", "CASEWORK_WEBHOOK_SECRET: its value is missing"),
        ("https://chat.example.com/robot?key=x", "short", "CASEWORK_WEBHOOK_SECRET: its value is too short"),
        ("ftp://chat.example.com/robot?key=x", SECRET, "CASEWORK_WEBHOOK_URL: its value is no address"),
        ("https://", SECRET, "CASEWORK_WEBHOOK_URL: its value is no address"),
        ("http://[robot", SECRET, "CASEWORK_WEBHOOK_URL: its value is no address"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence_that_holds_no_secret(
    environment: pytest.MonkeyPatch, url: str, secret: str, said: str
) -> None:
    environment.setenv("CASEWORK_WEBHOOK_URL", url)
    environment.setenv("CASEWORK_WEBHOOK_SECRET", secret)
    with pytest.raises(SettingsError) as refused:
        Settings()
    assert str(refused.value).startswith(said)
    assert "robot" not in str(refused.value)
    assert SECRET not in str(refused.value)


async def test_a_port_that_says_no_is_believed(shop: Database) -> None:
    class No:
        async def send(self, dispatch: Dispatch) -> None:
            raise NotSent(f"no {dispatch.template}", refused=True)

    post(shop, "one")
    assert await send_due(shop, No()) == Sent(0, 1)
    assert problems(shop)[0].why == "no asked_to_act"


async def test_a_port_that_breaks_has_not_sent_and_does_not_end_the_desk(shop: Database) -> None:
    class Broken:
        async def send(self, dispatch: Dispatch) -> None:
            raise KeyError(dispatch.text_en)

    post(shop, "one")
    post(shop, "two")
    assert await send_due(shop, Broken()) == Sent(0, 2)
    assert {one.why for one in problems(shop)} == {"the delivery itself failed (KeyError)"}
    assert states(shop) == {"waiting": 2}
