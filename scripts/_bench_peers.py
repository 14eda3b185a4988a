"""The peers of ``scripts.bench``: which there are, and their installation."""

import sys

from scripts._cli import Parser


def main(arguments: list[str]) -> None:
    """List the peers, or install some or all of them."""
    from agents.benchmark.peers.venvs import VARIABLE, install, is_ready, peer_names, peers_folder

    parser = Parser(
        prog="scripts.bench peers",
        description=f"Packages that are measured beside this one, each in an environment of its own in ${VARIABLE} or"
        " .peers.",
    )
    parser.add_argument("--install", nargs="*", metavar="PEER", help="install these, or all that are not there yet")
    wanted = parser.parse_args(arguments).install
    if wanted is not None:
        install(wanted or peer_names(), lambda peer: print(f"installing {peer}", file=sys.stderr, flush=True))
    width = max(map(len, peer_names()))
    for peer in peer_names():
        print(f"{peer:<{width}}  {'ready' if is_ready(peer) else 'not installed'}")
    print(f"folder: {peers_folder()}")
