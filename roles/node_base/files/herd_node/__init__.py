"""The only program of llama-herd that runs as root on a node after provisioning.

It starts engines, the client that asks them and the program that measures nodes, as confined
transient units under the user `herd`, and reports what they did.

    herd-node serve                          requests on standard input, replies on standard output
    herd-node facts|clean|space|firewall|gpu one request, for people and roles (`gpu engine=…`);
                                             ends with 1 if it was refused

A request is a verb, lines `key=value`, an empty line. A reply is parts, each `part NAME BYTES`
and so many bytes, then `end ok VERB` or `end error VERB`. One process serves one connection from
beginning to end. When the connection of the cluster's owner breaks, all that it started stops.

A user who may run this as root is not root. Everything that needs root for them is in one module,
`privileges`: nothing outside of it starts, stops, signals, locks, deletes or opens what a request
names. The rest reads requests, looks at files of the kernel, and answers.

What is measured here must not be disturbed from here: nothing is forked during a trial. systemd
is asked through its own library over its private socket, and the end of a process is awaited
through a pidfd. It needs only Python 3.9 and its standard library, which every node has. On a node
these modules are one file (`core/packing.py`).
"""

VERSION = "12"
