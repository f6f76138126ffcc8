"""Stands in for ST Edge AI Core: writes files of the documented formats.

The environment variable STAND_IN says how it fails.
"""

import json
import os
from pathlib import Path
import sys

MODE = os.environ.get("STAND_IN", "")
MESSAGES = {
    "tool_error": "TOOL ERROR: operation not managed",
    "internal_error": "INTERNAL ERROR: list index out of range",
    "not_implemented": "NOT IMPLEMENTED: Unsupported layer types: Mod, stop",
    "e103": "E103(CliRuntimeError): Error calling the Neural Art compiler",
}
C_INFO = {
    "json_schema_version": "2.0",
    "memory_footprint": {
        "weights": 1_665_904,
        "activations": 102_400,
        "io": [1028, 1028],
    },
    "memory_pools": [
        {"name": "npuRAM6", "size_bytes": 458_752, "used_size_bytes": 1000}
    ],
    "graphs": [
        {
            "nodes": [
                {"mapping": "NODE_HW", "macc": 65_000_000},
                {"mapping": "NODE_HW", "macc": 200_000},
                {"mapping": "NODE_SW", "macc": 0},
            ]
        }
    ],
}
REPORT = {
    "ram_size": [102_400],
    "rom_size": 1_665_904,
    "rom_n_macc": 65_200_000,
}


def check_options(words):
    """Refuse what the tool of a target does not take."""
    target = words[words.index("--target") + 1]
    if target == "stm32n6":
        profile = words[words.index("--st-neural-art") + 1].split("@")[1]
        assert Path(profile).is_file(), profile
    else:
        assert target in ("stm32", "stm32h7", "stm32u5"), target
        assert "--st-neural-art" not in words, "there is no accelerator"
    if "--optimization" in words:
        aim = words[words.index("--optimization") + 1]
        assert aim in ("balanced", "time", "ram"), aim


def main(words):
    """Do what one command would leave behind; return the exit code."""
    if words == ["--version"]:
        if MODE == "bad_version":
            print("license expired")
            return 1
        print("" if MODE == "no_version" else "ST Edge AI Core v4.0.0-20500")
        return 0
    name = words[0]
    model = Path(words[words.index("-m") + 1])
    assert model.is_file(), f"no model {model}"
    output = Path(words[words.index("-o") + 1])
    if MODE in MESSAGES:
        print(MESSAGES[MODE])
        return 0
    if MODE == "silent":
        return 0
    workspace = Path(words[words.index("--workspace") + 1])
    workspace.mkdir(parents=True, exist_ok=True)
    if name == "validate":
        for word in words:
            assert not word.endswith(".npy") or Path(word).is_file(), word
        print("  duration    :  7.2 ms (average)")
        (output / "network_val_io.csv").write_text("0.1,0.1\n")
        return 0
    check_options(words)
    text = json.dumps(C_INFO)
    if MODE == "damaged":
        text = text[:50]
    if MODE == "strange":
        text = json.dumps({"graphs": [3], "memory_pools": "x"})
    (workspace / "network_c_info.json").write_text(text)
    (output / "network_report.json").write_text(json.dumps(REPORT))
    if name == "generate" and MODE != "no_code":
        code = "" if MODE == "empty_code" else "/* network */\n"
        (output / "network.c").write_text(code)
    return 1 if MODE == "exit_1" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
