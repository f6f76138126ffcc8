"""The targets, and files that add to them."""

import json
from pathlib import Path

from edgebrain.errors import UserError
import pytest

from deploy import stedgeai
from deploy.st import neural_art, targets
from deploy.st.checker import RULES
from deploy.st.targets import UNITS, get_target, load_targets

POOL = """[[mine.memory_pool]]
name = "r"
file = "R"
address = "0x34100000"
size = "1 KBYTES"
rights = "ACC_WRITE"
throughput = "MID"
latency = "MID"
byte_width = 8
frequency_ratio = 2.5
"""


def test_a_target_can_be_added_by_a_file(models, tmp_path, capsys):
    extra = tmp_path / "mine.toml"
    text = '[mine]\nlike = "stm32n6"\ndescription = "small"\n'
    text += "[mine.severity]\nprime_bins = 'off'\n"
    extra.write_text(text + POOL + "on_chip = true\n")
    words = [str(models["stream"]), "--target", "mine", "--check_only"]
    assert stedgeai.main([*words, "--targets_file", str(extra)]) == 1
    text = capsys.readouterr().out
    assert "1,024 on the chip" in text and "can be divided" not in text
    assert set(load_targets()) == {"stm32", "stm32n6", "stm32u5", "stm32h7"}


def test_the_check_counts_on_the_pools_that_the_tool_is_given():
    target = get_target("stm32n6")
    memory = json.loads(neural_art.files(target)["stm32n6.mpool"])["memory"]
    inside = [
        int(pool["size"]["value"]) * UNITS[pool["size"]["magnitude"]]
        for pool in memory["mempools"]
        if pool["fname"].startswith("AXISRAM")
    ]
    assert target.room == sum(inside) == 2**20 + 4 * 448 * 1024
    starts = [int(p["offset"]["value"], 16) for p in memory["mempools"][:5]]
    ends = [a + size for a, size in zip(starts, inside, strict=True)]
    # The banks lie one after the other.
    assert starts[1:] == ends[:-1] and starts[-1] == 0x34350000


def test_without_pools_the_number_counts(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text("[mine]\nlike = 'stm32'\non_chip_bytes = 1000")
    assert get_target("mine", path).room == 1000
    assert get_target("stm32").room is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("[mine]\ndescription = 'x'", "mine.max_opset: missing"),
        ("[mine]\nlike = 'stm33'", "mine.like: .*did you mean stm32"),
        ("[mine]\nlike = 3", "mine.like: unknown target '3'"),
        ("[mine]\nlike = 'mine'", "circle"),
        ("[mine", "not a file of targets"),
        ("mine = 3", "unknown target 'mine'"),
    ],
)
def test_a_bad_targets_file_is_refused(tmp_path, text, message):
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_targets(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("speed = 3", ".speed: unknown key"),
        ("hardwares = []", ".hardwares: .*did you mean hardware"),
        ("max_opset = '20'", ".max_opset: '20' is not a whole number from 1"),
        ("max_rank = true", ".max_rank: True is not a whole"),
        ("flash_bytes = 'many'", ".flash_bytes: 'many' is not a whole"),
        ("severity = 'off'", ".severity: 'off' is not a table"),
        ("severity.prime_bin = 'off'", ".severity.prime_bin: .*prime_bins"),
        ("severity.memory = 3", ".severity.memory: 3 is not a severity"),
        ("refused = ['Conv']", ".refused: .* is not a table"),
        ("refused.Mod = 3", ".refused.Mod: 3 is not a text"),
        ("hardware = 'Conv'", ".hardware: 'Conv' is not a list"),
        ("software = [3]", r".software\[0\]: 3 is not a text"),
        ("device = 'gpu'", ".device: 'gpu' is not a device: .*accelerator"),
        ("tool.opts = 3", ".tool.opts: unknown key: .*mean options"),
        ("tool.neural_art = 'yes'", ".tool.neural_art: .* true or false"),
        ("cloud.bord = 'x'", ".cloud.bord: unknown key: did you mean board"),
        ("memory_pool = 3", ".memory_pool: 3 is not a list"),
        (
            POOL.replace('size = "1 KBYTES"\n', ""),
            r".memory_pool\[0\].size: missing",
        ),
        (
            POOL.replace('"1 KBYTES"', '"1 KB"'),
            r".memory_pool\[0\].size: '1 KB' is not a size: .*KBYTES",
        ),
        (
            POOL.replace('"0x34100000"', '"here"'),
            r".memory_pool\[0\].address: 'here' is not an address",
        ),
    ],
)
def test_a_wrong_key_is_named_with_its_mend(tmp_path, text, message):
    path = tmp_path / "t.toml"
    path.write_text(f"[mine]\nlike = 'stm32'\n{text}\n")
    with pytest.raises(UserError, match=rf": mine{message}"):
        load_targets(path)


def test_all_that_is_wrong_is_listed_at_once(tmp_path):
    path = tmp_path / "t.toml"
    text = "[a]\nlike = 'stm32'\ndevice = 'gpu'\nspeed = 3\n[b]\nlike = 'c'"
    path.write_text(text)
    with pytest.raises(UserError, match="3 problems") as caught:
        load_targets(path)
    for part in (str(path), "a.device", "a.speed", "b.like"):
        assert part in str(caught.value)


def test_the_example_of_the_readme_is_a_target(tmp_path):
    text = Path(targets.__file__).with_name("README.md").read_text()
    path = tmp_path / "t.toml"
    path.write_text(text.split("```toml\n")[1].split("```")[0])
    assert get_target("my_board", path).room == 2**20


def test_the_first_target_names_every_rule():
    assert set(get_target("stm32").severity) == {r.__name__ for r in RULES}


def test_the_boards_of_the_farm_have_their_memory():
    h7, u5 = get_target("stm32h7"), get_target("stm32u5")
    assert (h7.room, h7.flash) == (512 * 1024, 2 * 2**20)
    assert (u5.room, u5.flash) == (768 * 1024, 2 * 2**20)
    assert get_target("stm32n6").flash == 63 * 2**20


def test_an_unknown_target_names_the_nearest():
    with pytest.raises(UserError, match="did you mean stm32n6"):
        get_target("stm32n7")
