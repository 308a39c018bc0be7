"""The local page: its requests, and what a browser shows with the network off."""

import os
import re
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from browsers import chromium, until
from galleries import crowd, person
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.gallery.index import about, update
from tokenmatcher.gallery.records import Filter
from tokenmatcher.gallery.scan import scan
from tokenmatcher.gallery.search import Gallery
from tokenmatcher.gallery.stores import open_store
from tokenmatcher.gallery.web import LARGEST, served

pytestmark = pytest.mark.slow
VISIBLE, INFRARED = Modality
HERE = "127.0.0.1"


def free_port():
    with socket.socket() as one:
        one.bind((HERE, 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return crowd(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory, folder, model, checkpoint):
    store = open_store(str(tmp_path_factory.mktemp("gallery") / "index"), about(model, checkpoint))
    for part, modality in (("day", VISIBLE), ("night", INFRARED)):
        update(store, model, scan(folder / part, modality), folder / part, modality, progress=False)
    return Gallery.open(store.place, device="cpu")


@pytest.fixture(scope="module")
def address(gallery):
    with served(gallery, HERE, free_port()) as address:
        yield address


@pytest.fixture(scope="module")
def query(tmp_path_factory):
    return person(tmp_path_factory.mktemp("query") / "someone ä.png", 3, shot=9)


@pytest.fixture
def client(address):
    return Client(address, verbose=False)


@pytest.fixture
def http(address):
    with httpx.Client(base_url=address, trust_env=False, timeout=None) as made:
        yield made


def expected(gallery, query, modality=INFRARED, count=10, where=None):
    """Paths by the way that the command line goes."""
    matches = gallery.matches(gallery.embed(query, modality), modality, count, where or Filter())
    return [match.entry.path for match in matches]


def rows(answer):
    return [row[-1] for row in answer[2]["data"]]


def test_the_order_is_the_command_lines(client, gallery, query):
    asked = {"file": handle_file(str(query)), "count": 7, "api_name": "/search"}
    answer = client.predict(modality="infrared", among="both", cameras=[], **asked)
    assert rows(answer) == expected(gallery, query, count=7)
    captions = [one["caption"] for one in answer[1]["value"]]
    assert [caption.split(":")[0] for caption in captions] == list("1234567")
    answer = client.predict(modality="visible", among="infrared", cameras=["3"], **asked)
    where = Filter(cameras=("3",), modality=INFRARED)
    assert rows(answer) == expected(gallery, query, VISIBLE, 7, where) and len(rows(answer)) == 6


def test_twenty_at_once(address, gallery, tmp_path):
    queries = [person(tmp_path / f"{number}.png", number, shot=20) for number in range(20)]

    def ask(query):
        answer = Client(address, verbose=False).predict(
            handle_file(str(query)), "infrared", "both", [], 5, api_name="/search"
        )
        return rows(answer)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, queries))
    assert answers == [expected(gallery, query, count=5) for query in queries]


@pytest.mark.parametrize("name", ["bomb.png", "text.jpg", "cut.png", "empty.png"])
def test_a_bad_picture_is_a_message(client, query, tmp_path, name):
    path = tmp_path / name
    if name == "bomb.png":  # 8 kB that would be 64 million pixels
        Image.new("1", (8000, 8000)).save(path)
    else:
        path.write_bytes({"text.jpg": b"no picture", "cut.png": query.read_bytes()[:900], "empty.png": b""}[name])
    with pytest.raises(AppError) as error:
        client.predict(handle_file(str(path)), "infrared", "both", [], 5, api_name="/search")
    said = str(error.value)
    assert "this picture cannot be searched with" in said and "\n" not in said and "/tmp" not in said
    assert ("50,000,000" in said) is (name == "bomb.png")


def test_another_format_is_a_message(client, tmp_path):
    Image.new("RGB", (30, 60)).save(tmp_path / "picture.gif")
    with pytest.raises(AppError, match=r"(?i)invalid file type"):
        client.predict(handle_file(str(tmp_path / "picture.gif")), "infrared", "both", [], 5, api_name="/search")


def test_nothing_dropped_is_a_message(client):
    with pytest.raises(AppError, match="drop a picture first"):
        client.predict(None, "infrared", "both", [], 5, api_name="/search")
    with pytest.raises(AppError, match="click on a match first"):
        client.predict("both", [], 5, api_name="/step")


def test_no_number_of_matches_is_a_message(client, query):
    with pytest.raises(AppError, match="how many matches"):
        client.predict(handle_file(str(query)), "infrared", "both", [], None, api_name="/search")


def test_a_huge_upload_is_refused(http):
    answer = http.post("/gradio_api/upload", files={"files": ("huge.png", bytes(LARGEST + 2**16))})
    assert answer.status_code == 413 and "exceeded" in answer.text


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("Content-Length: 999999999", 413),
        ("Transfer-Encoding: chunked", 411),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 411),
        ("X-None: 1", 411),
    ],
)
def test_a_request_that_is_too_large_or_endless_is_refused_unread(address, length, status):
    port = urlsplit(address).port
    with socket.create_connection((HERE, port), timeout=600) as raw:
        raw.sendall(f"POST /gradio_api/upload HTTP/1.1\r\nHost: {HERE}:{port}\r\n{length}\r\n\r\n".encode())
        assert raw.recv(100).split()[1] == str(status).encode()


@pytest.mark.parametrize(
    ("name", "answers"), [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("rebound.example", False)]
)
def test_a_name_that_a_stranger_lets_point_here_is_refused(http, name, answers):
    status = http.get("/config", headers={"host": f"{name}:{http.base_url.port}"}).status_code
    assert status == (200 if answers else 400)


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://localhost:1", "own"])
def test_another_pages_request_is_refused(http, address, origin):
    headers = {"origin": address.rstrip("/") if origin == "own" else origin}
    answer = http.post("/gradio_api/upload", files={"files": ("small.png", b"x")}, headers=headers)
    assert answer.status_code == (200 if origin == "own" else 403)


def test_a_page_at_an_ipv6_address_beside_a_proxy(gallery, monkeypatch):
    """Gradio asks its own page, which must not go through the proxy."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{HERE}:9")
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.delenv("NO_PROXY", raising=False)
    port = free_port()
    with served(gallery, "::1", port) as address:
        assert address == f"http://[::1]:{port}/"
        assert os.environ["NO_PROXY"] == "example.org,::1"
        assert httpx.get(f"{address}config", trust_env=False, timeout=None).status_code == 200
    assert os.environ["no_proxy"] == "example.org" and "NO_PROXY" not in os.environ


def ask(http, path):
    """What /search answers to a file that is named by its path."""
    file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    event = http.post("/gradio_api/call/search", json={"data": [file, "infrared", "both", [], 5]}).json()["event_id"]
    return http.get(f"/gradio_api/call/search/{event}").text


def test_no_file_of_this_machine_can_be_asked_for(http, folder, query):
    picture = next(folder.glob("night/*/*"))
    for path in ("/etc/passwd", picture, query, "../../../../etc/passwd", f"/tmp/../{picture}"):
        assert http.get(f"/gradio_api/file={path}").status_code in (403, 404), path
        answer = ask(http, path)
        assert answer.startswith("event: error") and "not uploaded by a user" in answer, path


def test_nothing_is_fetched_for_a_stranger(http):
    with socket.socket() as trap:
        trap.bind((HERE, 0))
        trap.listen()
        trap.setblocking(False)
        port = trap.getsockname()[1]
        for path in (f"http://{HERE}:{port}/a.png", f"HTTP://{HERE}:{port}/a.png", "https://localhost/a.png"):
            assert "must be uploaded, not named by its address" in ask(http, path)
        with pytest.raises(BlockingIOError):
            trap.accept()


def test_uploads_are_gone_at_the_end(gallery, query, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    port = free_port()
    with served(gallery, HERE, port) as address:
        Client(address, verbose=False).predict(handle_file(str(query)), "infrared", "both", [], 5, api_name="/search")
        (kept,) = tmp_path.glob("tokenmatcher-*")
        assert any(kept.rglob("*.png"))
    assert not kept.exists()


def test_a_port_that_is_taken_is_told(gallery):
    with socket.socket() as other:
        other.bind((HERE, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port}: cannot be listened at"), served(gallery, HERE, port):
            pass


@pytest.fixture(scope="module")
def browser():
    """Chromium that can resolve no name, so that it reaches this machine alone."""
    names = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with chromium("--disable-background-networking", names) as started:
        yield started


@pytest.fixture
def tab(browser, address):
    """A page and the addresses that it asked for."""
    page = browser.new_page()
    page.set_default_timeout(600_000)  # a busy machine
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("#go")
    yield page
    page.close()


def drop(page, path):
    """Uploads a picture; the page then shows its name."""
    until(
        lambda: page.set_input_files("input[type=file]", str(path), timeout=30_000),
        page.get_by_text(re.compile(re.escape(path.stem))).first,
    )


def found(page, first):
    """Captions, once a search has put `first` in front."""
    page.wait_for_function(
        "first => document.querySelector('#found .caption-label')?.textContent.includes(first)", arg=first
    )
    return page.locator("#found .caption-label").all_inner_texts()


def caption(match):
    return f"{match.rank}: {match.score:.3f}, {match.verdict}, {match.entry.modality}, camera {match.entry.camera}"


def test_in_a_browser(tab, address, gallery, query):
    drop(tab, query)
    tab.click("#go")
    matches = gallery.matches(gallery.embed(query, INFRARED), INFRARED, 10)
    assert found(tab, caption(matches[0])) == [caption(match) for match in matches]
    assert tab.locator("#on").is_disabled()
    tab.locator("#found .thumbnail-item").nth(8).click()  # a visible one: the other direction
    tab.wait_for_function("() => !document.querySelector('#on').disabled")
    tab.click("#on")
    entry, feature = gallery.store.find(matches[8].entry.path)
    following = gallery.matches(feature, entry.modality, 10, but=(entry.path,))
    assert entry.modality is VISIBLE
    assert found(tab, caption(following[0])) == [caption(match) for match in following]
    assert {match.verdict for match in following} >= {"same person"}
    assert all(url.startswith((address, "blob:", "data:")) for url in tab.asked), "it asks nobody else"


def test_a_message_in_a_browser(tab, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    drop(tab, tmp_path / "text.png")
    tab.click("#go")
    tab.get_by_text("this picture cannot be searched with").wait_for()
