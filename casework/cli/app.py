"""What every command says of itself: its arguments, its options and its help. What it does is imported when it runs.

The public functions here are commands; their docstrings are the help that people read.
"""

# ruff: noqa: ARG001 - every command takes --by, also where nothing depends on who asks

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

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
    help="A case desk for an online shop: refunds as cases on Temporal, with the people who may decide them.",
    epilog=_AFTER,
    add_completion=False,
    # plain text: quick, and the same in a terminal, a pipe and the documentation
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
policy_app = typer.Typer(invoke_without_command=True)
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
Order = Annotated[str, typer.Argument(metavar="ORDER", help="The order's id, in full.")]
FlowName = Annotated[str, typer.Argument(metavar="FLOW", help="The flow, or an unambiguous beginning of its name.")]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="STAFF", help="Who you are: a staff id. Default: CASEWORK_STAFF."),
]
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
    """A case desk for an online shop: refunds as cases on Temporal, with the people who may decide them."""
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


@app.command(epilog=examples("casework inbox --by finance.1", "casework inbox --role finance_manager --overdue"))
def inbox(
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="For this role, instead of a person's roles.")
    ] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those whose deadline has passed.")] = False,
    by: By = None,
    json: Json = False,
) -> None:
    """The cases that wait for you or for a role, soonest deadline first, and what silence would do."""
    from casework.cli.cases import show_inbox

    show_inbox(by=by, role=role, overdue=overdue, as_json=json)


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


@app.command(epilog=examples("casework approve 1208 --by finance.1"))
def approve(
    case: Case,
    note: Note = None,
    fields: Fields = None,
    by: By = None,
    yes: Yes = False,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Approve: the same as `casework submit CASE approve`."""
    from casework.cli.cases import act

    act(case, "approve", fields or [], note=note, by=by, yes=yes, print_only=print_only, as_json=json)


@app.command(epilog=examples('casework reject 1208 --note "不符合规则" --by finance.1'))
def reject(
    case: Case,
    note: Note = None,
    fields: Fields = None,
    by: By = None,
    yes: Yes = False,
    print_only: Print = False,
    json: Json = False,
) -> None:
    """Reject, in flows that can: the same as `casework submit CASE reject`."""
    from casework.cli.cases import act

    act(case, "reject", fields or [], note=note, by=by, yes=yes, print_only=print_only, as_json=json)


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


@app.command(epilog=examples("casework staff", "casework staff --json"))
def staff(by: By = None, json: Json = False) -> None:
    """The staff: id, name, roles, own limit, whether they are present, and who deputises."""
    from casework.cli.looking import show_staff

    show_staff(as_json=json)


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
    by: By = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """What Casework would run with: server, versions, database, delivery, search attributes, worker, policy.

    Exit code 1 if anything is wrong; each thing that is wrong is named.
    """
    if cases:
        from casework.cli.repair import examine_cases

        examine_cases(mend_them=mend, yes=yes, as_json=json)
        return
    from casework.cli.doctor import examine
    from casework.cli.errors import bad_input

    if mend or yes:
        raise bad_input("--mend and --yes are for cases: say casework doctor --cases --mend.")
    examine(as_json=json)


@app.command(hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def batch() -> None:
    """Not there yet."""
    from casework.cli.errors import bad_input

    raise bad_input("batch is not there yet: open cases one by one with casework start.")


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
app.add_typer(shop_app, name="shop")
