"""Two Ray nodes on loopback, in a process of their own: ``python -m tests.ray_stage TEMPORARY FOLDER``.

Says the cluster's address; kills the second node, whose temporary files lie in FOLDER, once a line comes in; ends
when its input does. TEMPORARY is Ray's own folder, with a short name, since its sockets lie below.
"""

import os
import sys
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # else the nodes listen on every interface

from ray.cluster_utils import Cluster

HEALTH = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


def say(text: str) -> None:
    """Write a line for the test."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Start, kill, end."""
    temporary, folder = Path(sys.argv[1]) / "ray", sys.argv[2]
    temporary.mkdir()
    os.environ["RAY_TMPDIR"] = sys.argv[1]  # where Ray notes the address; it does not make the folder
    head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": str(temporary), "_system_config": HEALTH}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    second = cluster.add_node(num_cpus=1, env_vars={"TMPDIR": folder})
    say(cluster.address)
    sys.stdin.readline()
    cluster.remove_node(second, allow_graceful=False)
    say("killed")
    sys.stdin.read()
    cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
