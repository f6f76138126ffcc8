"""The targets, and files that add to them."""

from edgebrain.errors import UserError
import pytest

from deploy import stedgeai
from deploy.st.targets import get_target, load_targets


def test_a_target_can_be_added_by_a_file(models, tmp_path, capsys):
    extra = tmp_path / "mine.toml"
    extra.write_text('[small]\nlike = "stm32n6"\ndescription = "mine"\n')
    with extra.open("a") as file:
        file.write("on_chip_bytes = 1000\n[small.severity]\nprime_bins='off'")
    words = [str(models["stream"]), "--target", "small", "--check_only"]
    assert stedgeai.main([*words, "--targets_file", str(extra)]) == 1
    text = capsys.readouterr().out
    assert "1,000 on the chip" in text and "bins divisible" not in text
    assert set(load_targets()) == {"stm32", "stm32n6", "stm32u5", "stm32h7"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("[mine]\ndescription = 'x'", "lacks max_opset"),
        ("[mine]\nlike = 'stm33'", "did you mean stm32"),
        ("[mine]\nlike = 'mine'", "circle"),
        ("[mine]\nlike = 'stm32'\nspeed = 3", "unknown key speed"),
        ("[mine", "not a file of targets"),
    ],
)
def test_a_bad_targets_file_is_refused(tmp_path, text, message):
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_targets(path)


def test_an_unknown_target_names_the_nearest():
    with pytest.raises(UserError, match="did you mean stm32n6"):
        get_target("stm32n7")
