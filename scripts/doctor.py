"""Say what is installed, how many threads and which devices there are, and whether the exchange answers.

Exit code 0 if everything needed is there, 1 if a package is missing or too old.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from scripts._cli import Parser, default_data_dir, run

EXIT_INCOMPLETE: Final = 1


def _parser() -> Parser:
    parser = Parser(prog="scripts.doctor", description=__doc__)
    parser.add_argument("--rest-url", default="https://fapi.binance.com", help="address to ping (default: %(default)s)")
    parser.add_argument(
        "--data", type=Path, default=default_data_dir(), help="folder of market data (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def _torch_devices() -> dict[str, Any]:
    try:
        import torch
    except ImportError:
        return {"devices": [], "threads": None}
    cuda = [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return {"devices": ["cpu", *cuda], "threads": torch.get_num_threads()}


def main() -> int:
    """Print the diagnosis and return the exit code."""
    arguments = _parser().parse_args()

    from rl_trader import diagnosis

    packages = diagnosis.required_packages()
    faults = [package.fault for package in packages if package.fault is not None]
    report: dict[str, Any] = {
        "machine": asdict(diagnosis.machine()),
        "packages": {package.name: package.installed for package in packages},
        "faults": faults,
        "torch": _torch_devices(),
    }
    folder = diagnosis.data_folder(arguments.data)
    exchange = diagnosis.exchange(arguments.rest_url)
    if arguments.json:
        print(json.dumps(report | {"data": asdict(folder), "exchange": asdict(exchange)}, indent=2))
    else:
        _print_report(report)
        print(folder.describe())
        for name, symbols in folder.tables.items():
            print(f"  {name:<18} {' '.join(symbols)}")
        print(exchange.describe())
        for fault in faults:
            print(fault)
    return EXIT_INCOMPLETE if faults else 0


def _print_report(report: dict[str, Any]) -> None:
    machine, torch = report["machine"], report["torch"]
    print(f"Python {machine['python']} on {machine['system']}")
    for name, version in report["packages"].items():
        print(f"  {name:<18} {version or 'missing'}")
    print(f"{machine['num_cpus']} processors")
    if machine["numba_threads"] is not None:
        print(f"  numba: {machine['numba_threads']} threads, threading layer {machine['numba_layer']}")
    if torch["threads"] is not None:
        print(f"  torch: {torch['threads']} threads")
    print(f"devices: {', '.join(torch['devices']) or 'unknown, torch is missing'}")
    print(f"compiled kernels are kept in {machine['kernel_cache'] or 'no folder, numba is missing'}")


if __name__ == "__main__":
    run(main)
