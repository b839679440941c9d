"""The error for an unknown name."""

from ingest.types import SHOWN, nearest


def test_an_unknown_name_is_told_the_nearest_else_some_of_all():
    assert (
        str(nearest("asist", ["aasist", "rawnet2"], what="detector"))
        == "unknown detector 'asist'; did you mean aasist?"
    )
    assert str(nearest("RawNet-2", ["aasist", "rawnet2"], what="detector")).endswith("did you mean rawnet2?")
    assert str(nearest("x", ["b", "a"], what="run")) == "unknown run 'x'; known: a, b"
    runs = [f"run-{i:03d}" for i in range(SHOWN + 191)]
    said = str(nearest("?", runs, what="run"))
    assert said.endswith(f"run-{SHOWN - 1:03d} and 191 more") and said.count("run-") == SHOWN
