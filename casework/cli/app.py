"""What every command says of itself: its arguments, its options and its help. What it does is imported when it runs.

The public functions here are commands; their docstrings are the help that people read.
"""

# ruff: noqa: ARG001 - every command takes --by, also where nothing depends on who asks

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from casework.names import ANSWER, ASK_OPENER, COMMENT, REASSIGN, REMIND

_AFTER: Final = (
    "CASE is a case id, an order id, a waybill, or any end of one with at least four digits. "
    "FLOW is a flow's name or an unambiguous beginning of it: refund is enough for refund-before-shipping. "
    "Exit codes: 0 done, 2 wrong usage or refused input, 3 the case refused, 1 anything else. "
    "Settings come from the environment or a .env file: CASEWORK_HOME, CASEWORK_DATABASE_URL, CASEWORK_POLICY, "
    "CASEWORK_STAFF, CASEWORK_LANG, CASEWORK_TEMPORAL_CLI, CASEWORK_WEBHOOK_URL, CASEWORK_WEBHOOK_SECRET, "
    "CASEWORK_WEBHOOK_TEMPLATE, and Temporal's own TEMPORAL_*."
)

app = typer.Typer(
    name="casework",
    help="A case desk for an online shop: refunds, returns, gifts, bulk orders, problem parcels as cases on Temporal.",
    epilog=_AFTER,
    # plain text: quick, and the same in a terminal, a pipe and the documentation
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
policy_app = typer.Typer(invoke_without_command=True)
staff_app = typer.Typer(invoke_without_command=True)
shop_app = typer.Typer(no_args_is_help=False, invoke_without_command=True)


def examples(*lines: str) -> str:
    """Example command lines, for the end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class DiagramFormat(StrEnum):
    """As what a diagram is printed."""

    MERMAID = "mermaid"
    SVG = "svg"


class Fault(StrEnum):
    """What the embedded shop can let fail."""

    PAYMENT = "payment"
    INTERCEPT = "intercept"


class EvidenceLanguage(StrEnum):
    """In which language evidence is written."""

    ZH = "zh"
    EN = "en"


class HowOften(StrEnum):
    """How often it fails."""

    ONCE = "once"
    ALWAYS = "always"
    NEVER = "never"


Case = Annotated[str, typer.Argument(metavar="CASE", help="The case: its id, its order, or an end of one.")]
Cases = Annotated[
    list[str],
    typer.Argument(
        metavar="CASE…", help="The cases: by id, order, or an end of one; - reads them from standard input."
    ),
]
Order = Annotated[str, typer.Argument(metavar="ORDER", help="The order's id, in full.")]
FlowName = Annotated[str, typer.Argument(metavar="FLOW", help="The flow, or an unambiguous beginning of its name.")]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="STAFF", help="Who you are: a staff id. Default: CASEWORK_STAFF."),
]
StaffMember = Annotated[str, typer.Argument(metavar="STAFF", help="The person's staff id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, which is never translated.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]
Print = Annotated[
    bool, typer.Option("--print", help="Send nothing: print the plain temporal command that does the same.")
]
Note = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Why. It stays in the case's trail.")]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="A further field; may be repeated. Texts as they are, lists with commas, yes, no or none, everything else "
        "as JSON; a time without a zone is the shop's; lines as 1,3x2 (line 1 whole, two pieces of line 3).",
    ),
]
Lines = Annotated[
    str | None,
    typer.Option("--lines", metavar="LINES", help="Which lines: 1,3x2 is line 1 whole and two pieces of line 3."),
]
OptionalFlow = Annotated[str | None, typer.Option("--flow", metavar="FLOW", help="Only cases of this flow.")]


@app.callback(invoke_without_command=True)
def start_here(context: typer.Context) -> None:
    """A case desk for an online shop: refunds, returns, gifts, bulk orders, problem parcels as cases on Temporal."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(epilog=examples("casework up", "CASEWORK_HOME=/tmp/second casework up --port 7400 --ui-port 8400"))
def up(
    port: Annotated[int | None, typer.Option(help="The embedded server's port. Default: 7233.")] = None,
    ui_port: Annotated[int | None, typer.Option(help="The port of its UI. Default: 8233.")] = None,
    by: By = None,
) -> None:
    """Run the case desk: Temporal server and its UI, worker and shop, until Ctrl-C.

    The server is an embedded one, unless Temporal's own settings (TEMPORAL_ADDRESS, its configuration file) name a
    cluster. Everything is kept in CASEWORK_HOME (default: .casework).
    """
    from casework.cli.up import run_desk

    run_desk(port=port, ui_port=ui_port)


@app.command(
    "import",
    epilog=examples("casework import ExportOrderList*.csv ExportOrderDetailList*.csv kuaidi100.jsonl"),
)
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="The shop's own exports, in any order.")],
    as_of_now: Annotated[
        bool,
        typer.Option(
            "--as-of-now", help="Move every time by the same amount, so that the newest order is an hour old."
        ),
    ] = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Take in the shop's own exports: orders, lines, courier answers, gifts, chats.

    Files are known by their content. The same file twice changes nothing; a wrong row is named and the rest goes in;
    a wrong file is refused and then nothing is changed at all. Open cases are told what happened to their orders.
    """
    from casework.cli.shop import import_exports

    import_exports(files, as_of_now=as_of_now, as_json=json)


@app.command(
    epilog=examples(
        'casework start refund --order 3300012345678901208 --by aftersale.1 --reason "尺码不合适"',
        "casework start refund --order 3300012345678901208 --lines 1,3x2",
        "casework start return --order 3300012345678901208 --cause quality --defect hole --photos a.jpg --photos b.jpg",
        "casework start gift --order 3300012345678901208 --kind gift --gift-sku GP-1 --quantity 1 --cost-fen 2500",
        "casework start bulk --order 3300012345678901208 --discount-percent 5 --chat chats.jsonl --by bulk.1",
        "casework start problem --waybill 7743351417195 --by parcel.1",
    )
)
def start(
    flow: FlowName,
    order: Annotated[
        str | None, typer.Option("--order", metavar="ID", help="The order's id. A parcel's may be left out.")
    ] = None,
    lines: Lines = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Refund, gift: why the buyer asks.")] = None,
    platform_deadline: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Refund, return: until when the platform waits for the shop's answer."),
    ] = None,
    cause: Annotated[
        str | None,
        typer.Option(
            metavar="CAUSE",
            help="Return: no_reason, quality, wrong_item, not_as_described, counterfeit, transit_damage. "
            "Parcel: asked (default), overdue, signed_unconfirmed, exception.",
        ),
    ] = None,
    defect: Annotated[
        str | None,
        typer.Option(
            metavar="DEFECT",
            help="Return for quality: severe_loose_thread, hole, missing_button, burst_seam, other.",
        ),
    ] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="Return: what is wrong.")] = None,
    photos: Annotated[
        list[str] | None, typer.Option(metavar="REF", help="Return: a photo's reference; may be repeated.")
    ] = None,
    appraisal: Annotated[
        str | None, typer.Option(metavar="REF", help="Return for counterfeit: the appraisal's reference.")
    ] = None,
    opened: Annotated[bool, typer.Option("--opened", help="Return: opened, and cannot be restored.")] = False,
    buyer_damage: Annotated[
        bool, typer.Option("--buyer-damage", help="Return: the buyer damaged it deliberately.")
    ] = False,
    force_majeure_damage: Annotated[
        bool, typer.Option("--force-majeure-damage", help="Return: damaged by force majeure after it was signed for.")
    ] = False,
    slight_colour_difference: Annotated[
        bool, typer.Option("--slight-colour-difference", help="Return: only the colour differs, slightly.")
    ] = False,
    reopens: Annotated[
        str | None, typer.Option(metavar="CASE", help="Return: the lapsed case of the same lines, by its whole id.")
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Gift: gift or free_shipping.")] = None,
    gift_sku: Annotated[str | None, typer.Option(metavar="SKU", help="Gift: which one of the catalogue.")] = None,
    quantity: Annotated[str | None, typer.Option(metavar="PIECES", help="Gift: how many.")] = None,
    cost_fen: Annotated[
        str | None,
        typer.Option(metavar="FEN", help="Gift: the catalogue's cost x quantity, or the order's postage, in fen."),
    ] = None,
    discount_percent: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="Bulk: the discount that is asked, such as 7.5.")
    ] = None,
    chat: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Bulk: the conversation, alone or in an export; it stays in the shop."),
    ] = None,
    waybill: Annotated[str | None, typer.Option(metavar="WAYBILL", help="Parcel: its waybill.")] = None,
    courier: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Parcel: Kuaidi100's code of its courier. Default: as the shop knows it."),
    ] = None,
    note: Note = None,
    fields: Fields = None,
    by: By = None,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Open a case and print its id.

    Without --lines, a refund is about all lines that have not shipped, or about all when every line has; a return about
    all that have.
    """
    from casework.cli.opening import start_case

    given = {
        "lines": lines,
        "reason": reason,
        "platform_deadline": platform_deadline,
        "cause": cause,
        "defect": defect,
        "description": description,
        "photos": photos or None,
        "appraisal": appraisal,
        "opened": opened or None,
        "buyer_damage": buyer_damage or None,
        "force_majeure_damage": force_majeure_damage or None,
        "slight_colour_difference": slight_colour_difference or None,
        "reopens": reopens,
        "kind": kind,
        "gift_sku": gift_sku,
        "quantity": quantity,
        "cost_fen": cost_fen,
        "discount_percent": discount_percent,
        "waybill": waybill,
        "courier": courier,
        "note": note,
    }
    start_case(flow, order, given, fields or [], chat=chat, by=by, print_only=print_only, as_json=json)


@app.command(
    epilog=examples(
        "casework batch cases.csv --by aftersale.1 --dry-run",
        "casework batch cases.csv --by aftersale.1 --report opened.csv",
        "casework batch cases.jsonl --at-once 40 --json",
    )
)
def batch(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON lines; - is standard input.")],
    flow: Annotated[
        str | None, typer.Option("--flow", metavar="FLOW", help="The flow of the rows that name none.")
    ] = None,
    by: By = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row, and open nothing.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Open also what an earlier run has opened, unless it is still open.")
    ] = False,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, max=500, help="Starts on their way at the same time.")
    ] = 20,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what became of each row: CSV or JSON lines, by the ending."),
    ] = None,
    json: Json = False,
) -> None:
    """Open many cases, of any flows, from one file.

    A column or field for each field of a start, and one for the flow; headings in English or Chinese. In CSV, lines are
    1x2;3 (two pieces of line 1, and line 3 whole), photos are parted by ;, and a time without a zone is the shop's. Bad
    rows are listed by their line and skipped. --by is for rows that do not say who opens them.

    What was opened is remembered by flow and content: run again, also after it was killed, it opens what is left and
    nothing twice. After --again was killed, run it again without.
    """
    from casework.cli.batch import run_batch

    run_batch(
        file, flow_text=flow, by=by, only_check=dry_run, again=again, at_once=at_once, report=report, as_json=json
    )


@app.command(
    epilog=examples(
        "casework inbox --by finance.1",
        "casework inbox --role finance_manager --overdue",
        "casework inbox --by aftersale-lead.1 --flow refund --over 500 --watch",
    )
)
def inbox(
    role: Annotated[
        str | None,
        typer.Option(metavar="ROLE", help="For this role, instead of a person's roles; with --by, of that person's."),
    ] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those whose deadline has passed.")] = False,
    flow: OptionalFlow = None,
    order: Annotated[str | None, typer.Option("--order", metavar="ID", help="Only cases of this order.")] = None,
    over: Annotated[str | None, typer.Option(metavar="YUAN", help="Only cases about more money than this.")] = None,
    assignee: Annotated[
        str | None, typer.Option(metavar="STAFF", help="Only cases that were given to this person; me is you.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show at most so many.")] = 50,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every other second, until Ctrl-C.")] = False,
    by: By = None,
    json: Json = False,
) -> None:
    """The cases that wait for you or for a role, soonest deadline first: what is asked, and what silence would do.

    A person sees what waits in all their roles, and in those of absent people whose deputy they are. At the foot stands
    how much money leaves by silence in the next 24 hours.
    """
    from casework.cli.inbox import Wanted, show_inbox

    wanted = Wanted(
        by=by, role=role, overdue=overdue, flow=flow, order=order, over=over, assignee=assignee, limit=limit
    )
    show_inbox(wanted, watch=watch, as_json=json)


@app.command(epilog=examples("casework forecast", "casework forecast --hours 72 --role finance_manager"))
def forecast(
    hours: Annotated[float, typer.Option(metavar="HOURS", help="How far to look.")] = 24,
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="Only cases that wait for this role now.")] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """What the open cases will do by themselves in the next hours if nobody acts, and what money leaves.

    What depends on the outside (a parcel, the shop as it will be then, the end of some work) is said to be unknown.
    """
    from casework.cli.inbox import show_forecast

    show_forecast(hours=hours, role=role, as_json=json)


@app.command(epilog=examples("casework cases --order 3300012345678901208", "casework cases --closed --csv cases.csv"))
def cases(
    order: Annotated[str | None, typer.Option(metavar="ID", help="Only cases of this order.")] = None,
    opened_by: Annotated[str | None, typer.Option(metavar="STAFF", help="Only cases that this person opened.")] = None,
    flow: OptionalFlow = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Only cases in this state.")] = None,
    outcome: Annotated[str | None, typer.Option(metavar="OUTCOME", help="Only cases that ended so.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only cases opened since then; without a zone: the shop's time.")
    ] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Only cases that have ended.")] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write them to a CSV file that spreadsheets read right.")
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Open and closed cases, newest first, also those that Temporal no longer keeps."""
    from casework.cli.cases import list_cases

    list_cases(
        order=order,
        opened_by=opened_by,
        flow=flow,
        state=state,
        outcome=outcome,
        since=since,
        closed=closed,
        csv_file=csv,
        as_json=json,
    )


@app.command(epilog=examples("casework show 1208", "casework show refund-before-shipping-3300012345678901208 --json"))
def show(case: Case, by: By = None, json: Json = False) -> None:
    """A case: its state, what is expected from whom until when, what silence would do, and its trail."""
    from casework.cli.cases import show_one

    show_one(case, as_json=json)


@app.command(
    epilog=examples(
        "casework submit 1208 buyer_insists --by aftersale.1",
        'casework submit 1208 send_back --note "客户再联系一次" --by finance.1',
        "casework submit 1208 confirm_paid_by_hand --set payment_reference=2026-77 --set amount_fen=47800",
    )
)
def submit(
    case: Case,
    trigger: Annotated[
        str, typer.Argument(metavar="TRIGGER", help="What to do; casework show names what is possible.")
    ],
    note: Note = None,
    fields: Fields = None,
    by: By = None,
    yes: Yes = False,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Act on a case, and say its new state or why not.

    The case is asked first, and the version it then has goes along: if it has moved on meanwhile, it refuses.
    """
    from casework.cli.cases import act

    act(case, trigger, fields or [], note=note, by=by, yes=yes, print_only=print_only, as_json=json)


@app.command(
    epilog=examples(
        "casework why 1208 approve --by aftersale-lead.4",
        "casework why 1208 confirm_paid_by_hand --by refund.1 --set payment_reference=2026-77 --set amount_fen=47800",
    )
)
def why(
    case: Case,
    trigger: Annotated[
        str, typer.Argument(metavar="TRIGGER", help="What somebody would do; casework show names what is possible.")
    ],
    note: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="The note that would be sent with it.")
    ] = None,
    fields: Fields = None,
    by: By = None,
    json: Json = False,
) -> None:
    """May somebody do this now? If not: which row, condition, limit or rule stands in the way, and who could.

    Nothing is sent. Exit code 3 if they may not. Without --by and CASEWORK_STAFF, only who could is told.
    """
    from casework.cli.why import explain_why

    explain_why(case, trigger, fields or [], note=note, by=by, as_json=json)


@app.command(
    epilog=examples(
        "casework approve 1208 --by finance.1",
        "casework approve 1208 1209 1210 --by finance.1",
        "casework approve - --by finance.1 < cases.txt",
    )
)
def approve(
    cases: Cases,
    note: Note = None,
    fields: Fields = None,
    by: By = None,
    yes: Yes = False,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Approve: the same as `casework submit CASE approve`, for one case or several, each answered by itself.

    Of several exit codes it gives the worst: 1 before 2 before 3 before 0. On a terminal it asks once before money
    leaves, with the sum.
    """
    from casework.cli.deciding import decide

    decide(cases, "approve", fields or [], note=note, by=by, yes=yes, print_only=print_only, as_json=json)


@app.command(epilog=examples('casework reject 1208 --note "不符合规则" --by finance.1'))
def reject(
    cases: Cases,
    note: Note = None,
    fields: Fields = None,
    by: By = None,
    yes: Yes = False,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Reject, in flows that can: the same as `casework submit CASE reject`, for one case or several as approve does."""
    from casework.cli.deciding import decide

    decide(cases, "reject", fields or [], note=note, by=by, yes=yes, print_only=print_only, as_json=json)


@app.command("ask", epilog=examples('casework ask 1208 "买家是否同意换货?" --by aftersale-lead.1'))
def ask(
    case: Case,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.")],
    note: Note = None,
    by: By = None,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Ask who opened a case something: the same as `casework submit CASE ask_opener`. The case stays as it is."""
    from casework.cli.cases import act

    act(case, ASK_OPENER, {"question": question}, note=note, by=by, yes=True, print_only=print_only, as_json=json)


@app.command(epilog=examples('casework answer 1208 "同意" --by aftersale.1'))
def answer(
    case: Case,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What you answer.")],
    note: Note = None,
    by: By = None,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Answer what you were asked about a case you opened: whoever asked is told."""
    from casework.cli.cases import act

    act(case, ANSWER, {"text": text}, note=note, by=by, yes=True, print_only=print_only, as_json=json)


@app.command(epilog=examples("casework reassign 1208 aftersale-lead.5 --by aftersale-lead.1"))
def reassign(
    case: Case,
    to: Annotated[str, typer.Argument(metavar="STAFF", help="Whose it is from now on: present, and of the role.")],
    note: Note = None,
    by: By = None,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Give a waiting case to a person of the role that it waits for. Others of the role may still act in it."""
    from casework.cli.cases import act

    act(case, REASSIGN, {"to": to}, note=note, by=by, yes=True, print_only=print_only, as_json=json)


@app.command(epilog=examples("casework remind 1208 --by aftersale.1"))
def remind(case: Case, note: Note = None, by: By = None, print_only: Print = False, json: Json = False) -> None:
    """Remind everybody who is asked to act in a case, at most once an hour."""
    from casework.cli.cases import act

    act(case, REMIND, {}, note=note, by=by, yes=True, print_only=print_only, as_json=json)


@app.command(epilog=examples('casework comment 1208 "仓库已拍照" --ref photos/1208-1.jpg --by warehouse.1'))
def comment(
    case: Case,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to stay on the record.")],
    references: Annotated[
        list[str] | None, typer.Option("--ref", metavar="REF", help="A reference to evidence; may be repeated.")
    ] = None,
    note: Note = None,
    by: By = None,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Put something on a case's record, with references to evidence; also while the case works by itself."""
    from casework.cli.cases import act

    fields = {"text": text, **({"references": references} if references else {})}
    act(case, COMMENT, fields, note=note, by=by, yes=True, print_only=print_only, as_json=json)


@app.command(epilog=examples('casework cancel 1208 --note "重复开单" --by aftersale-lead.1'))
def cancel(
    case: Case,
    note: Note = None,
    by: By = None,
    yes: Yes = False,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Call a case off: it lets go of everything and ends as cancelled.

    With --note it is a person's decision (cancel_case), and the trail says whose; without, it is Temporal's own cancel.
    """
    from casework.cli.cases import cancel_case

    cancel_case(case, note=note, by=by, yes=yes, print_only=print_only, as_json=json)


@app.command("open", epilog=examples("casework open 1208", "casework open 1208 --print"))
def open_(
    case: Case,
    by: By = None,
    print_only: Annotated[bool, typer.Option("--print", help="Only print the address.")] = False,
    json: Json = False,
) -> None:
    """Open a case's page in the Temporal UI."""
    from casework.cli.cases import open_page

    open_page(case, print_only=print_only, as_json=json)


@app.command(epilog=examples("casework diagram refund > refund.mmd", "casework diagram 1208 --format svg > case.svg"))
def diagram(
    what: Annotated[str, typer.Argument(metavar="FLOW|CASE", help="A flow, or a case with the path it took.")],
    format_: Annotated[DiagramFormat, typer.Option("--format", help="As what.")] = DiagramFormat.MERMAID,
    by: By = None,
    json: Json = False,
) -> None:
    """The diagram of a flow, or of a case with its path and state marked."""
    from casework.cli.cases import print_diagram

    print_diagram(what, as_svg=format_ is DiagramFormat.SVG, as_json=json)


@app.command(epilog=examples("casework evidence 1208", "casework evidence 1208 --lang zh -o evidence.html"))
def evidence(
    case: Case,
    lang: Annotated[EvidenceLanguage | None, typer.Option("--lang", help="Default: CASEWORK_LANG.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to. Default: <case id>.html.")
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Write what there is to show of a case into one HTML file, for a dispute on the platform.

    What happened when, who decided what by which rule, what the buyer was told, parcels and their scans, money, photos
    and documents by their references, and the flow with the path taken. Nothing in it is loaded from elsewhere.
    """
    from casework.cli.evidence import write_evidence

    write_evidence(case, language=lang.value if lang else None, file=output, as_json=json)


@policy_app.callback()
def policy(context: typer.Context, by: By = None, json: Json = False) -> None:
    """The policy in force: every figure of the shop, and where it comes from."""
    if context.invoked_subcommand is None:
        from casework.cli.looking import show_policy

        show_policy(as_json=json)


@policy_app.command("check", epilog=examples("casework policy check policy.toml"))
def policy_check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy file.")], by: By = None, json: Json = False
) -> None:
    """Is a policy file valid? If not: which key, which value, and what is allowed."""
    from casework.cli.looking import check_policy

    check_policy(file, as_json=json)


@staff_app.callback(epilog=examples("casework staff", "casework staff --json"))
def staff(context: typer.Context, by: By = None, json: Json = False) -> None:
    """The staff: id, name, roles, own limit, who is present, who deputises (* now), and when they are absent."""
    if context.invoked_subcommand is None:
        from casework.cli.staffing import show_staff

        show_staff(as_json=json)


@staff_app.command(
    "import", epilog=examples("casework staff import staff.csv", "casework staff import staff.csv --replace")
)
def staff_import(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV with id, name, roles, limit_fen, present, deputy and, if wanted, absent: "
            "2026-12-01..2026-12-05; 2026-12-24.",
        ),
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Whoever is not in the file has left, and may not act any more.")
    ] = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Take the staff in from a file. It is refused whole if a row is wrong; the same file again changes nothing.

    Who is not in the file stays as they are, unless told otherwise. Cases look people up at the moment of a decision,
    so a new list counts at once, also in open cases.
    """
    from casework.cli.staffing import import_file

    import_file(file, replacing=replace, as_json=json)


@staff_app.command("absent", epilog=examples("casework staff absent finance.1 --from 2026-12-01 --until 2026-12-05"))
def staff_absent(
    staff_id: StaffMember,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="The first day, in the shop's zone. Default: today.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DAY", help="The last day. Default: until further notice.")
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Note that somebody is away: on these days they may not act, and their deputy may in their place."""
    from casework.cli.staffing import note_absent

    note_absent(staff_id, from_, until, as_json=json)


@staff_app.command("present", epilog=examples("casework staff present finance.1"))
def staff_present(staff_id: StaffMember, by: By = None, json: Json = False) -> None:
    """Note that somebody is back: an absence of today ends, later ones stay."""
    from casework.cli.staffing import note_present

    note_present(staff_id, as_json=json)


@app.command(epilog=examples("casework patrol", "casework patrol --json"))
def patrol(by: By = None, json: Json = False) -> None:
    """Look at every open shipment now, and open a case for each parcel that is overdue, in trouble or unconfirmed.

    casework up does so by itself, as often as the policy says. While a patrol is under way, this one joins it.
    """
    from casework.cli.patrol import patrol_now

    patrol_now(as_json=json)


@app.command(epilog=examples("casework deliver --once", "casework deliver --once --again"))
def deliver(
    once: Annotated[bool, typer.Option("--once", help="Deliver what is due now, and end.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Try at once what has failed, also what was refused for good.")
    ] = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Deliver messages and tasks, to the log or to CASEWORK_WEBHOOK_URL, until Ctrl-C; then say what is left.

    casework up does so by itself; several may run at once. Exit code 1 with --once if a delivery failed.
    """
    from casework.cli.deliver import deliver_messages

    deliver_messages(once=once, again=again, as_json=json)


@app.command(epilog=examples("casework retry 1208 --by refund.1", "casework retry 1208 --print"))
def retry(
    case: Case,
    note: Note = None,
    by: By = None,
    yes: Yes = False,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Get a case that is stuck going again, or say what it hangs on.

    A payment that failed for good is tried again (retry_payment, by a refund clerk). Where the case's own code keeps
    failing, it says of what, and prints the temporal command that resets it; exit code 1. Where there is nothing to
    retry, it says what the case waits for; exit code 3.
    """
    from casework.cli.repair import retry_case

    retry_case(case, note=note, by=by, yes=yes, print_only=print_only, as_json=json)


@app.command(epilog=examples("casework doctor", "casework doctor --cases", "casework doctor --cases --mend"))
def doctor(
    cases: Annotated[
        bool, typer.Option("--cases", help="Look at all cases instead: which are stuck, or contradicted by the shop.")
    ] = False,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="With --cases: let go of what belongs to no open case, and close the records of cases that were "
            "broken off. It asks first, and touches no money.",
        ),
    ] = False,
    lost: Annotated[
        bool,
        typer.Option("--lost", help="With --mend: also where Temporal has not one of the cases that are open."),
    ] = False,
    by: By = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """What Casework would run with: server, versions, database, delivery, search attributes, worker, policy.

    Exit code 1 if anything is wrong; each thing that is wrong is named.
    """
    if cases:
        from casework.cli.repair import examine_cases

        examine_cases(mend_them=mend, lost=lost, yes=yes, as_json=json)
        return
    from casework.cli.doctor import examine
    from casework.cli.errors import bad_input

    if mend or lost or yes:
        raise bad_input("--mend, --lost and --yes are for cases: say casework doctor --cases --mend.")
    examine(as_json=json)


@shop_app.callback()
def shop(context: typer.Context) -> None:
    """Let the outside happen in the embedded shop, so that holds, races and faults can be tried."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@shop_app.command("ship", epilog=examples("casework shop ship 3300012345678901208"))
def shop_ship(
    order: Order,
    lines: Annotated[str | None, typer.Option(metavar="LINES", help="Which lines, whole: 1,3.")] = None,
    waybill: Annotated[str | None, typer.Option(help="The parcel's waybill. Default: one is made up.")] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Ship an order, or some of its lines; refused where a case holds one, naming the cases."""
    from casework.cli.shop import ship

    ship(order, lines, waybill, as_json=json)


@shop_app.command("close", epilog=examples("casework shop close 3300012345678901208"))
def shop_close(order: Order, by: By = None, json: Json = False) -> None:
    """The platform closes an order."""
    from casework.cli.shop import close

    close(order, as_json=json)


@shop_app.command("refunded", epilog=examples("casework shop refunded 3300012345678901208 --lines 1"))
def shop_refunded(order: Order, lines: Lines = None, by: By = None, json: Json = False) -> None:
    """The platform pays the buyer for an order, or for some of its lines."""
    from casework.cli.shop import refunded

    refunded(order, lines, as_json=json)


@shop_app.command("flag", epilog=examples("casework shop flag 3300012345678901208 green"))
def shop_flag(
    order: Order,
    colour: Annotated[str, typer.Argument(metavar="COLOUR", help="red, yellow, green, blue, purple or none.")],
    by: By = None,
    json: Json = False,
) -> None:
    """Give an order another flag of its own."""
    from casework.cli.shop import flag

    flag(order, colour, as_json=json)


@shop_app.command("address", epilog=examples('casework shop address 3300012345678901208 "…"'))
def shop_address(
    order: Order,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The new address. It stays in the shop.")],
    by: By = None,
    json: Json = False,
) -> None:
    """The buyer changes an order's address."""
    from casework.cli.shop import change_address

    change_address(order, address, as_json=json)


@shop_app.command("fail", epilog=examples("casework shop fail payment 3300012345678901208 once"))
def shop_fail(
    what: Annotated[Fault, typer.Argument(help="What fails.")],
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The order, or for intercept also the waybill.")],
    how: Annotated[HowOften, typer.Argument(help="How often.")],
    by: By = None,
    json: Json = False,
) -> None:
    """Let a payment or the stopping of a parcel fail: once (it works later), always (for good), never (again)."""
    from casework.cli.shop import fail

    fail(what.value, identifier, how.value, as_json=json)


app.add_typer(policy_app, name="policy")
app.add_typer(staff_app, name="staff")
app.add_typer(shop_app, name="shop")
