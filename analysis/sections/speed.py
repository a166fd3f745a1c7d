"""Speed: decode, speed-up over nodes, where a token's time goes, prefill and perplexity."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.blocks import Block, File, Part, Section, Tabled, cited
from analysis.cells.tabulate import Table, frame_table, naming
from analysis.charted import charted
from analysis.charts import charts, frames
from analysis.network.network import link_speeds, predictor
from analysis.network.servers import spans_by_speed
from analysis.study import Study
from analysis.text.sentence import Sentence, say, together

SERVERS = (
    "Medians over trials, for one decoded token. A server's time is measured by its own clock, "
    "from receiving a message to having its answer packed, so it includes Petals' own overhead, "
    "not only the layers. Network and messages is the rest of the chain's time: transfer, and "
    "sending and receiving at both ends."
)
SPANS = "Layers shared in proportion to the measured speed of the servers would be: {spans}."
SPAN = "{cell}: spans: [{spans}]"
LINK = "The busier direction of the root's link. The mean is over a whole token."
SYNCING = "“While syncing” is over the sync time alone, where that is known."
UNKNOWN_LINK = "Link utilisation is unknown: not every node reported the speed of its link."
VIRTUAL_LINK = "Link utilisation is unknown: virtual nodes have no link speed."
PERPLEXITY = "Lower is better."
OWN_WINDOWS = (
    "Compare only within one series: engines split a text into different windows and average over "
    "different tokens, so perplexities of different engines are not comparable."
)


def decoding(study: Study) -> Iterator[Section]:
    """Make the section on decoding speed."""
    made = charted(charts.decode_charts(study.on_nodes, study.shown))
    if made:
        yield Section("decode", "Decoding", made, "Decoding")


def scaling(study: Study) -> Iterator[Section]:
    """Make the section on speed over nodes, where several numbers of them were measured."""
    made = charted(charts.scaling_charts(study.scalings, study.shown))
    if made:
        yield Section("scaling", "Speed-up and efficiency", made, "Speed-up")


def time(study: Study) -> Iterator[Section]:
    """Make the section on where a token's time goes, as far as engines report it."""
    predict = predictor(study.run)
    blocks: list[Block] = list(charted(charts.time_charts(study.on_nodes, study.shown, predict)))
    blocks += [*_servers(study), *_link_use(study)]
    if blocks:
        yield Section("time", "Where the time goes", tuple(blocks), "Time and traffic")


def _servers(study: Study) -> Iterator[Part]:
    data = study.chain
    if data.empty:
        return
    columns = {
        **naming(data), "part": "Part", "layers": "Layers", "ms": "ms/token", "share": "Share",
    }  # fmt: skip
    made = frame_table(data, columns, percents=["share"])
    notes: list[Sentence] = [say(SERVERS)]
    if spans := spans_by_speed(data):
        told = [say(SPAN, cell=cell, spans=one) for cell, one in spans.items()]
        notes.append(say(SPANS, spans=together(told, "; ")))
    title = say("Time of each server")
    yield Part(title, (Tabled(title, made, tuple(notes), File("servers", data)),))


def _link_use(study: Study) -> Iterator[Part]:
    # The link of a virtual node is memory; what its interface reports is not a speed.
    speeds = {} if study.is_lab else link_speeds(study.all_series, study.tables.nodes)
    found = frames.link_use(study.all_series, speeds)
    if found.empty:
        return
    data = found.drop(columns="use")
    made, is_known = _link_table(found), bool(data["link_mbit"].notna().any())
    notes = [LINK]
    notes += [SYNCING] if data["sync_mbit_per_s_low"].notna().any() else []
    notes += [] if is_known else [VIRTUAL_LINK if study.is_lab else UNKNOWN_LINK]
    title = say("Link utilisation")
    shown = Tabled(title, made, tuple(map(say, notes)), File("link-use", data))
    yield Part(title, (shown,))


def _link_table(data: pd.DataFrame) -> Table:
    """How much of their links nodes used; shares only where a link's speed is known."""
    uses = list(data["use"])
    shown = data.assign(
        sync=[use.words_mbit() for use in uses],
        mean_share=[use.words_mean_use() for use in uses],
        sync_share=[use.words_use() for use in uses],
    )
    columns = {
        **naming(data), "busier_kib_per_token": "KiB/token, busier direction",
        "mean_mbit_per_s": "Mbit/s, mean", "sync": "Mbit/s, while syncing",
    }  # fmt: skip
    if data["link_mbit"].notna().any():
        columns |= {
            "link_mbit": "Link, Mbit/s", "mean_share": "Link used, mean",
            "sync_share": "Link used, while syncing",
        }  # fmt: skip
    return frame_table(shown, columns)


def prompt(study: Study) -> Iterator[Section]:
    """Make the section on prefill and perplexity, whichever was measured."""
    made = charted(charts.prompt_charts(study.on_nodes, study.shown))
    perplexity = list(_perplexity(study))
    if made:
        parts = (Part("Perplexity", tuple(perplexity)),) if perplexity else ()
        yield Section("prompt", "Prefill (prompt processing)", (*made, *parts), "Prefill")
    elif perplexity:
        yield Section("prompt", "Perplexity", tuple(perplexity), "Perplexity")


def _perplexity(study: Study) -> Iterator[Block]:
    data = frames.perplexities(study.all_series)
    if data.empty:
        return
    columns = {
        **naming(data), "perplexity": "Perplexity, median", "change": "Against the fewest nodes",
        "lowest": "Lowest", "highest": "Highest", "trials": "Trials",
    }  # fmt: skip
    made = frame_table(data, columns, percents=["change"])
    notes = [PERPLEXITY, *([OWN_WINDOWS] if len(data["series"].unique()) > 1 else [])]
    yield Tabled("Perplexity", made, tuple(map(say, notes)), File("perplexity", data))
    yield from cited(("Perplexity", "jelinek1977"))
