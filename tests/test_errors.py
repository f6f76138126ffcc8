from edgebrain.errors import UserError, nearest, unknown_name


def test_collect_lists_every_problem():
    error = UserError.collect("bad files", ["a.wav: empty", "b.wav: NaN"])
    assert "2 problems" in str(error)
    assert "a.wav: empty" in str(error) and "b.wav: NaN" in str(error)


def test_unknown_name_gives_nearest_and_known():
    text = str(unknown_name("metric", "stoy", ["stoi", "pesq"]))
    assert "did you mean stoi" in text and "pesq" in text


def test_nearest_of_nothing_alike():
    assert nearest("zzz", ["stoi"]) == []
