"""Together or apart: machines that share a model, against each machine with its own user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from analysis.blocks import Block, File, Prose, Section, Tabled
from analysis.cells.family import Claim, Compared, Family
from analysis.cells.scaling import SPEED
from analysis.cells.tabulate import Table, frame_table
from analysis.charted import charted
from analysis.charts.together import together_chart, together_frame
from analysis.model.together import Choice, Match, choices_of, claim_of, speed_of
from analysis.model.ways import Option
from analysis.study import Study
from analysis.text.sentence import Sentence, capital, say
from analysis.text.wording import bare, count, interval, listing, plural, within
from analysis.verdict.scaling_text import compared

TITLE, MENU = "Together or apart", "Together or apart"
ONE_USER = "{what}, one user: {figures}."
HIGHEST = "{what}, one user, the highest medians alone and together: {figures}."
HIGHEST_ALONE = "{what}, one user, the highest median of a machine alone: {figures}."
HIGHEST_TOGETHER = "{what}, one user, the highest median of machines together: {figures}."
FIGURE = "{name} {speed} tokens/s"
FIGURE_WAIT = "{name} {speed} tokens/s with the first token after {wait} s"
BETTER = "{about} together is better: {name} is faster than {others}."
WORSE = "{about} a machine alone is better: {name} is faster than {others}."
EACH_ALONE, SOME_ALONE = "each machine alone", "{names} alone"
EACH_WAY = "each of {n} ways of machines together"
ONE, ONE_SO_FAR = "For one user", "For one user, of what was measured,"
MISSING = "Not measured: {names}."
SAME = "For one user it makes no difference within {margin}."
UNCLEAR = "For one user it is unclear whether together is better."
SUMMED = (
    "{machines} apart, each with its own user: {total} tokens/s of all users, summed from cells "
    "that were measured one at a time."
)
AT_ONCE = "{name}, measured at once: {total} tokens/s of {users}."
MANY = "{finding}."
SUM_IS = "the sum of these machines alone is"
AT_ONCE_IS = "all users of {name} together are"
THAT = "its"
FROM = (
    "From {users} on at the latest, and from {low} on at the earliest (95 % interval), the fastest "
    "machines apart make more tokens/s in all than {name}."
)
FROM_ALONE = (
    "From {users} on (the 95 % interval has no other number) the fastest machines apart make more "
    "tokens/s in all than {name}."
)
NEVER = "No number of users makes these machines apart exceed {name}."
NOT_SETTLED = (
    "It is not settled from how many users on machines apart make more tokens/s in all than "
    "{name}: from {low}, or never."
)
NONE_ALONE = "No machine can run {what} alone ({reason}), so together is the only way."
NONE_AT_ALL = "No machine can run {what} alone ({reason}), and together it was not measured."
LACKING = "{names} cannot run it alone ({reason}): apart, no one is served there."
READ = (
    "One user: the median tokens/s; at once, of the user in the middle; of a sum the mean. First "
    "token: prefill of the prompt and one decoded token. All: tokens/s of all users; at once, the "
    "speeds of all added up, each over its own time. A sum was not measured at once: a shared "
    "switch or host may make it too high. The axis groups measures it."
)
SHARED = (
    "These nodes are virtual and share one machine: apart at the same time, they would not reach a "
    "sum."
)
COLUMNS = {
    "series": "Series", "kind": "How", "machines": "Machines", "users": "Users",
    "one_tokens_per_s": "One user, tokens/s", "first_token_s": "First token, s",
    "all_tokens_per_s": "All, tokens/s", "state": "State",
}  # fmt: skip
MOST_MATCHES = 4


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run that measured machines alone and together, or several at once."""
    choices = choices_of(study.on_nodes, study.family)
    blocks: list[Block] = [
        Prose(told)
        for choice in choices
        for told in map(tuple, _paragraphs(choice, study.family))
        if told
    ]
    chart = together_chart(choices)
    if not blocks and not chart:
        return
    blocks += charted([chart] if chart else [])
    users = user_frame(choices)
    file = None if users.empty else File("users", users)
    notes = (say(READ), *((say(SHARED),) if study.is_lab else ()))
    blocks.append(Tabled(say(TITLE), _table(choices), notes, file))
    yield Section("together", say(TITLE), tuple(blocks), say(MENU))


def _paragraphs(choice: Choice, family: Family) -> Iterator[Iterator[Sentence]]:
    what = say(
        "{model} ({weights}) with {who}", model=choice.model, weights=choice.weights, who=choice.who
    )
    yield _one_user(choice, what, family)
    for match in _matches(choice):
        yield _many(match, choice, family)
    for option in choice.options:
        if option.users > 1 and option.all:
            yield _at_once(option, choice, family)
    yield _unable(choice, what)


def _unable(choice: Choice, what: str) -> Iterator[Sentence]:
    """Say which machines cannot run the model alone, and why the first of them cannot."""
    unable = choice.unable
    if not unable:
        return
    reason = bare(str(unable[0].cell.record.unavailable))
    if choice.able:
        yield say(LACKING, names=listing([one.name for one in unable]), reason=reason)
    elif len(unable) == len(choice.alone):
        yield say(NONE_ALONE if choice.together else NONE_AT_ALL, what=what, reason=reason)


def _one_user(choice: Choice, what: str, family: Family) -> Iterator[Sentence]:
    able, together = (sorted(ones, key=speed_of) for ones in (choice.able, choice.together))
    shown = [*able[-1:], *together[-1:]]
    if shown and (choice.alone or not choice.is_divided):
        highest = HIGHEST if able and together else HIGHEST_ALONE if able else HIGHEST_TOGETHER
        template = ONE_USER if len(shown) == len(able) + len(together) else highest
        yield say(template, what=what, figures=listing([_figure(one) for one in shown]))
    if able and together:
        yield _verdict(choice, family)
        if choice.missing:
            yield say(MISSING, names=listing([one.name for one in choice.missing]))


def _verdict(choice: Choice, family: Family) -> Sentence:
    """Which is better for one user."""
    claim, named = claim_of(choice, family)
    if named is None:
        template = SAME if claim is Claim.SAME else UNCLEAR
        return say(template, margin=within(family.margin))
    about = say(ONE_SO_FAR if choice.missing else ONE)
    if claim is Claim.FASTER:
        return say(BETTER, about=about, name=named.name, others=_alone(choice))
    return say(WORSE, about=about, name=named.name, others=_together(choice))


def _alone(choice: Choice) -> str:
    """The machines that a way together was found faster than."""
    if len(choice.able) == len(choice.alone):
        return say(EACH_ALONE)
    return say(SOME_ALONE, names=listing([one.name for one in choice.able]))


def _together(choice: Choice) -> str:
    """The ways together that a machine alone was found faster than."""
    ways = choice.together
    return ways[0].name if len(ways) == 1 else say(EACH_WAY, n=count(len(ways)))


def _figure(one: Option) -> str:
    wait = one.first_token_s
    return say(
        FIGURE_WAIT if wait else FIGURE,
        name=one.name,
        speed=interval(one.all, brief=True),
        wait=interval(wait, brief=True),
    )


def _matches(choice: Choice) -> list[Match]:
    """The largest sets of machines that serve one user together, each in its fastest order."""
    matches = [match for match in choice.matches if match.option.users == 1]
    matches.sort(key=lambda match: speed_of(match.option))
    found = {frozenset(match.option.machines): match for match in matches}
    return sorted(found.values(), key=lambda m: -len(m.option.machines))[:MOST_MATCHES]


def _many(match: Match, choice: Choice, family: Family) -> Iterator[Sentence]:
    apart, option = match.apart, match.option
    if len(apart.machines) == 1:
        return  # it is a machine alone
    if not _measured_at_once(match, choice):
        names = listing([one.name for one in apart.machines])
        yield say(SUMMED, machines=names, total=interval(apart.total, brief=True))
        yield from _finding(say(SUM_IS), match.against, option.name, family)
    crossing, most = match.crossing, len(apart.machines)
    if crossing is None or crossing.high == 1:
        return  # that one machine is faster than all together is told for one user
    if crossing.low > most:
        yield say(NEVER, name=option.name)
    elif crossing.high > most:
        yield say(NOT_SETTLED, name=option.name, low=plural(crossing.low, "user"))
    else:
        is_sure = crossing.low == crossing.high
        yield say(
            FROM_ALONE if is_sure else FROM,
            users=plural(crossing.high, "user"),
            low=crossing.low,
            name=option.name,
        )


def _measured_at_once(match: Match, choice: Choice) -> bool:
    """The same machines, each with a user, were measured at once."""
    own = set(match.option.machines)
    return any(
        one.users == len(own) == len(one.machines) and set(one.machines) == own and one.all
        for one in choice.options
    )


def _finding(who: str, found: Compared | None, other: str, family: Family) -> Iterator[Sentence]:
    if found is None or found.ratio is None:
        return
    told = compared(who, other, THAT, found, within(family.margin))
    yield say(MANY, finding=capital(told))


def _at_once(option: Option, choice: Choice, family: Family) -> Iterator[Sentence]:
    """Compare several at once with what is in this section; *Several at once* has the rest."""
    findings = [*_beside_one_user(option, choice, family), *_beside_sum(option, choice, family)]
    if findings:
        yield say(
            AT_ONCE,
            name=option.name,
            total=interval(option.all, brief=True),
            users=plural(option.users, "user"),
        )
        yield from findings


def _beside_one_user(option: Option, choice: Choice, family: Family) -> Iterator[Sentence]:
    """Against the fastest order of the same machines that serve one user."""
    same = [other for other in choice.together if option.is_at_once_beside(other)]
    for other in sorted(same, key=speed_of)[-1:]:
        found = family.find(SPEED, option.key, other.key)
        yield from _finding(say(AT_ONCE_IS, name=option.name), found, other.name, family)


def _beside_sum(option: Option, choice: Choice, family: Family) -> Iterator[Sentence]:
    for match in choice.matches:
        if match.option is option and match.against:
            yield from _finding(say(SUM_IS), match.against, option.name, family)


def user_frame(choices: Sequence[Choice]) -> pd.DataFrame:
    """Make `users.csv`: a row a cell with the same machines apart, numbers as numbers."""
    rows: list[dict[str, Any]] = []
    for choice in choices:
        for match in choice.matches:
            found, crossing = match.against, match.crossing
            ratio = found.ratio if found else None
            rows.append(
                {
                    "model": choice.model,
                    "series": choice.who,
                    "together": match.option.name,
                    "users_at_once": match.option.users,
                    "together_tokens_per_s": speed_of(match.option),
                    "apart": ", ".join(one.name for one in match.apart.machines),
                    "apart_tokens_per_s": match.apart.total.value,
                    "apart_low": match.apart.total.low,
                    "apart_high": match.apart.total.high,
                    "apart_is": "summed",
                    "apart_of_together": ratio.value if ratio else None,
                    "low": ratio.low if ratio else None,
                    "high": ratio.high if ratio else None,
                    "verdict": str(found.finding) if found else None,
                    "from_users": crossing.value if crossing else None,
                    "from_users_low": crossing.low if crossing else None,
                    "from_users_high": crossing.high if crossing else None,
                    "machines": len(match.apart.machines),
                }
            )
    return pd.DataFrame(rows)


def _table(choices: Sequence[Choice]) -> Table:
    data = together_frame(choices)
    columns = dict(COLUMNS)
    if len({(choice.model, choice.who) for choice in choices}) == 1:
        del columns["series"]
    if data["first_token_s"].isna().all():
        del columns["first_token_s"]
    return frame_table(data.assign(series=data["model"] + ", " + data["series"]), columns)
