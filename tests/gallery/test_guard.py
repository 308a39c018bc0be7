import pytest

from tokenmatcher.gallery.guard import guards, in_url, is_loopback


@pytest.mark.parametrize(
    ("host", "loopback", "written"),
    [("127.0.0.1", True, "127.0.0.1"), ("127.1.2.3", True, "127.1.2.3"), ("::1", True, "[::1]"),
     ("localhost", True, "localhost"), ("0.0.0.0", False, "0.0.0.0"), ("::", False, "[::]")],
)  # fmt: skip
def test_hosts(host, loopback, written):
    assert is_loopback(host) is loopback and in_url(host) == written
    assert len(guards(host, 1)) == (2 if loopback else 1), "names and other pages matter where this machine alone asks"
