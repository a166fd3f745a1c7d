"""What `fab doctor` and `fab plan` say about plugs."""

from __future__ import annotations

from experiments.doctor.checks.plugs import SUBJECT, try_plugs, with_plugs
from experiments.doctor.finding import Diagnosis, NodeAnswer, Severity, ok
from experiments.fleet.cluster import Cluster, Node, Plug
from experiments.planning.describe import plug_lines
from tests.doubles.plugs import Constant, PlugDouble


def diagnosis(name: str) -> Diagnosis:
    return Diagnosis(NodeAnswer(name, "192.0.2.1", "192.0.2.1"), [ok("machine", "A machine.")])


def test_each_node_has_a_finding_about_its_plug() -> None:
    with PlugDouble("tasmota", Constant(31.0)) as strip, PlugDouble("shelly_gen2") as alone:
        alone.fault = "unauthorised"
        plugs = (strip.plug("strip", "pi1", "pi2", switch=True), alone.plug("alone", "pi3"))
        tried = try_plugs((*plugs, Plug("rack", "tasmota", "127.0.0.1", 1, feeds_switch=True)))
    pi1, pi2, pi3, pi4 = with_plugs([diagnosis(f"pi{n}") for n in (1, 2, 3, 4)], tried)

    (_, of_strip, of_rack), (_, same) = pi1.findings, pi2.findings
    assert of_strip == same
    assert (of_strip.subject, of_strip.verdict) == (SUBJECT, Severity.OK)
    assert of_strip.sentence.startswith(
        "The plug strip (Tasmota) feeds pi1, pi2 and the switch and reads 31 W. Its counter steps "
        "by 3.6e+03 J"
    )
    assert of_rack.verdict is Severity.WARNING
    assert "It gave no reading: it refuses connections on port 1." in of_rack.sentence
    assert "asks for a password (401): check plug_user" in pi3.findings[1].sentence
    assert len(pi4.findings) == 1


def test_a_plan_says_what_plugs_feed_and_which_nodes_have_none() -> None:
    nodes = tuple(Node(name, "192.0.2.1", "192.0.2.1") for name in ("pi1", "pi2", "desk"))
    strip = Plug("strip", "tasmota", "192.0.2.9", nodes=("pi1", "pi2"), feeds_switch=True)
    assert plug_lines(Cluster(nodes)) == []
    assert plug_lines(Cluster(nodes, (strip,)))[1:] == [
        "  strip: pi1, pi2 and the switch",
        "  none: desk; cells with them have no energy at the wall",
    ]
