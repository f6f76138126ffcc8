"""Profile and memory pools of the Neural-ART compiler."""

import json

from deploy.st.commands import NEURAL_ART
from deploy.st.targets import Target


def files(target: Target) -> dict[str, str]:
    """Return the files by name; none where the target has no accelerator."""
    if not target.tool.get("neural_art"):
        return {}
    pools = f"{target.tool['name']}.mpool"
    profile = {
        "Globals": {},
        "Profiles": {
            "default": {
                "memory_pool": f"./{pools}",
                "options": target.tool["profile_options"],
            }
        },
    }
    memory = {
        "memory": {
            "cacheinfo": [
                {
                    "nlines": 512,
                    "linesize": 64,
                    "associativity": 8,
                    "bypass_enable": 1,
                    "prop": {
                        "rights": "ACC_WRITE",
                        "throughput": "MID",
                        "latency": "MID",
                        "byteWidth": 8,
                        "freqRatio": 2.5,
                    },
                }
            ],
            "mem_file_prefix": "atonbuf",
            "mempools": [_pool(pool) for pool in target.memory_pool],
        }
    }
    return {
        NEURAL_ART: json.dumps(profile, indent=2) + "\n",
        pools: json.dumps(memory, indent=2) + "\n",
    }


def _pool(pool: dict) -> dict:
    size, unit = pool["size"].split()
    properties = {
        "rights": pool["rights"],
        "throughput": pool["throughput"],
        "latency": pool["latency"],
        "byteWidth": pool["byte_width"],
        "freqRatio": pool["frequency_ratio"],
    }
    if pool.get("cacheable"):
        properties["cacheable"] = "CACHEABLE_ON"
    if pool.get("constants_preferred"):
        properties["constants_preferred"] = "true"
    return {
        "fname": pool["file"],
        "name": pool["name"],
        "fformat": "FORMAT_RAW",
        "prop": properties,
        "offset": {"value": pool["address"], "magnitude": "BYTES"},
        "size": {"value": size, "magnitude": unit},
    }
