"""Every store held to a search by NumPy over a list."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import qdrant_client
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.gallery.records import About, Entry, Filter
from tokenmatcher.gallery.stores import lance, open_store, qdrant
from tokenmatcher.gallery.stores.qdrant import QdrantStore

WIDTH = 8
ABOUT = About("digest", WIDTH, "/models/last.pt")
KINDS = ("lance", "qdrant")


def made(kind, folder):
    if kind == "lance":
        return open_store(str(folder / "index"), ABOUT)
    return QdrantStore(qdrant_client.QdrantClient(":memory:"), "people", "qdrant+http://here/people", ABOUT)


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    return made(request.param, tmp_path)


def pictures(count, seed=0):
    """Entries of three cameras, some without a time, and unit features; two pictures in a row look the same."""
    random = np.random.default_rng(seed)
    features = random.standard_normal((count, WIDTH)).repeat(2, axis=0)[:count].astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    entries = [
        Entry(
            path=f"/bilder ü/it's {number:03d}.jpg",
            modality=list(Modality)[number % 2],
            camera=("", "3", "gate's")[number % 3],
            time=None if number % 4 == 0 else 1_000 * number,
            size=number,
            changed=10**18 + number,
        )
        for number in range(count)
    ]
    return entries, features


def brute_force(entries, features, query, count, where):
    """The obvious way."""
    scored = [(float(feature @ query), entry) for entry, feature in zip(entries, features, strict=True)]
    scored = [(score, entry) for score, entry in scored if where.admits(entry)]
    return sorted(scored, key=lambda pair: (-pair[0], pair[1].path))[:count]


def check(hits, entries, features, query, count, where):
    """Held to the obvious way; which of two pictures of one score comes first, or at all, rounding may decide."""
    expected = brute_force(entries, features, query, count, where)
    true = {entry.path: float(feature @ query) for entry, feature in zip(entries, features, strict=True)}
    # Unit features of eight float32 numbers: a few roundings.
    assert np.allclose([hit.score for hit in hits], [score for score, _ in expected], atol=1e-5)
    assert np.allclose([hit.score for hit in hits], [true[hit.entry.path] for hit in hits], atol=1e-5)
    assert all(where.admits(hit.entry) and hit.entry in entries for hit in hits)
    assert len({hit.entry.path for hit in hits}) == len(hits)
    assert [(-hit.score, hit.entry.path) for hit in hits] == sorted((-hit.score, hit.entry.path) for hit in hits)


FILTERS = (
    Filter(),
    Filter(cameras=("gate's",)),
    Filter(cameras=("3", "gate's", "unknown")),
    Filter(cameras=("",)),
    Filter(modality=Modality.INFRARED),
    Filter(since=5_000, until=21_000),
    Filter(cameras=("3",), modality=Modality.VISIBLE, since=0),
    Filter(cameras=("unknown",)),
)


@pytest.mark.parametrize("where", FILTERS, ids=range(len(FILTERS)))
def test_a_search_is_the_obvious_one(store, where):
    entries, features = pictures(40)
    store.add(entries[:25], features[:25])
    store.add(entries[25:], features[25:])
    queries = pictures(6, seed=1)[1]
    assert store.count(where) == sum(map(where.admits, entries))
    for count in (1, 7, 100):
        for query, hits in zip(queries, store.search(queries, count, where), strict=True):
            check(hits, entries, features, query, count, where)


def test_an_empty_store(store):
    queries = pictures(2)[1]
    assert store.count(Filter()) == 0 and list(store.entries()) == [] and store.find("/x.jpg") is None
    assert store.search(queries, 5, Filter(cameras=("3",))) == [[], []]
    assert store.search(queries[:0], 5, Filter()) == []
    store.add([], np.empty((0, WIDTH), np.float32))
    store.remove([])
    store.remove(["/x.jpg"])
    store.optimise()
    assert store.count(Filter()) == 0


def test_what_is_removed_is_gone_and_may_come_again(store):
    entries, features = pictures(10)
    store.add(entries, features)
    store.remove([entries[3].path, entries[5].path, "/was never in.jpg"])
    left = [number for number in range(10) if number not in (3, 5)]
    assert sorted(entry.path for entry in store.entries()) == [entries[number].path for number in left]
    assert store.find(entries[3].path) is None
    store.add([entries[3]], features[:1])
    entry, feature = store.find(entries[3].path)
    assert entry == entries[3] and np.allclose(feature, features[0], atol=1e-6)
    store.optimise()
    assert store.count(Filter()) == 9


def test_pictures_that_look_the_same_are_all_found(store):
    entries, features = pictures(9)
    features[:] = features[0]
    store.add(entries, features)
    (hits,) = store.search(features[:1], 20, Filter())
    assert {hit.entry for hit in hits} == set(entries) and np.allclose([hit.score for hit in hits], 1, atol=1e-5)


@settings(max_examples=10)
@given(
    steps=st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 11), max_size=5)), max_size=5),
    kind=st.sampled_from(KINDS),
)
def test_any_adding_and_removing_keeps_a_dictionary(tmp_path_factory, steps, kind):
    store, kept = made(kind, tmp_path_factory.mktemp("store")), {}
    entries, features = pictures(12)
    for add, numbers in steps:
        numbers = [number for number in sorted(numbers) if add is (number not in kept)]
        if add:
            store.add([entries[number] for number in numbers], features[numbers])
            kept.update((number, entries[number]) for number in numbers)
        else:
            store.remove([entries[number].path for number in numbers])
            for number in numbers:
                del kept[number]
    assert sorted(store.entries(), key=lambda entry: entry.path) == [kept[number] for number in sorted(kept)]
    assert store.count(Filter()) == len(kept)


def test_a_folder_is_opened_again(tmp_path):
    entries, features = pictures(5)
    first = open_store(str(tmp_path / "index"), ABOUT)
    first.add(entries, features)
    second = open_store(str(tmp_path / "index"))
    assert second.about == ABOUT and second.count(Filter()) == 5
    first.remove([entries[0].path])
    first.optimise()
    assert second.count(Filter()) == 4, "what another process changed is seen"
    assert [len(hits) for hits in second.search(features, 9, Filter())] == [4] * 5


@pytest.mark.parametrize("width", [64, 12])  # codes, and whole features
def test_lists_find_what_comparing_with_all_finds(tmp_path, monkeypatch, width):
    """Of people with many pictures, whom lists keep together; also what came and went after the lists were made."""
    monkeypatch.setattr(lance, "PROBES", 4)
    random = np.random.default_rng(0)
    people = random.standard_normal((500, width)).repeat(50, axis=0)
    features = (people + 0.1 * random.standard_normal(people.shape)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    entries = [Entry(f"/{number}.jpg", Modality.VISIBLE, str(number % 5), None, 1, 1) for number in range(25_000)]
    store = open_store(str(tmp_path / "index"), About("digest", width, "/models/last.pt"))
    store.add(entries[:24_000], features[:24_000])
    assert not store.table.list_indices()
    store.optimise()
    assert len(store.table.list_indices()) == 1
    store.add(entries[24_000:], features[24_000:])
    store.remove([entry.path for entry in entries[:100]])
    store.optimise()
    asked = store.table.search(features[0]).distance_type("dot").nprobes(2).limit(10).select(["path"])
    ranked = re.search(r"partitions_ranked=(\d+)", asked.analyze_plan())
    assert ranked is not None and int(ranked[1]) > 3, "LanceDB joined the lists"
    for where in (Filter(), Filter(cameras=("2", "3"))):
        found = store.search(features[101::2503], 10, where)
        shares = []
        for query, hits in zip(features[101::2503], found, strict=True):
            true = {entry for _, entry in brute_force(entries[100:], features[100:], query, 10, where)}
            shares.append(len(true & {hit.entry for hit in hits}) / 10)
        assert np.mean(shares) > 0.9, shares


@pytest.mark.parametrize("kind", KINDS)
def test_another_models_features_are_refused(tmp_path, kind):
    store = made(kind, tmp_path)
    for other in (About("other", WIDTH, "/other.pt"), About("digest", 16, "/other.pt")):
        with pytest.raises(UserError, match=r"made with other weights .* than /other\.pt has"):
            if kind == "lance":
                open_store(store.place, other)
            else:
                QdrantStore(store.client, store.collection, store.place, other)


def test_what_is_no_index_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    for place, create, said in (
        ("absent", None, "no index there"),
        ("file", ABOUT, "a file, not an index"),
        ("full", ABOUT, "a folder with other files"),
        ("full", None, "no index there"),
    ):
        with pytest.raises(UserError, match=said):
            open_store(str(tmp_path / place), create)
    assert not (tmp_path / "absent").exists()


def test_a_damaged_index_is_told(tmp_path):
    place = tmp_path / "index"
    open_store(str(place), ABOUT)
    for path in place.rglob("*"):
        if path.is_file():
            path.write_bytes(b"damage")
    with pytest.raises(UserError, match="damaged, or no index") as error:
        open_store(str(place))
    assert ".rs" not in str(error.value), "no place in LanceDB's source"


class Full:
    """A table on a disk that is full."""

    def __init__(self, schema):
        self.schema = schema

    def add(self, *values):
        raise RuntimeError("lance error: LanceError(IO): No space left on device (os error 28), /x/src/io.rs:1:2")

    delete = add


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    store, (entries, features) = made("lance", tmp_path), pictures(2)
    monkeypatch.setattr(store, "table", Full(store.table.schema))
    for change in (lambda: store.add(entries, features), lambda: store.remove(["/a.jpg"])):
        with pytest.raises(UserError, match=r"index: cannot be written \(No space left on device\)$"):
            change()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"output .*file/index: cannot be made \(Not a directory\)"):
        open_store(str(tmp_path / "file" / "index"), ABOUT)


@pytest.mark.parametrize("kind", KINDS)
def test_where_the_checkpoint_lies_is_learnt_anew(tmp_path, kind):
    store = made(kind, tmp_path)

    def opened(create):
        if kind == "lance":
            return open_store(store.place, create)
        return QdrantStore(store.client, store.collection, store.place, create)

    moved = replace(ABOUT, checkpoint="/elsewhere/last.pt")
    assert opened(moved).about == opened(None).about == moved


def test_an_index_of_another_version_is_told(tmp_path):
    with pytest.raises(UserError, match="version 99, this program reads version 1"):
        open_store(str(tmp_path / "index"), About("digest", WIDTH, "/last.pt", format=99))


def test_a_collection_of_somebody_elses_is_told():
    client = qdrant_client.QdrantClient(":memory:")
    size = qdrant_client.models.VectorParams(size=3, distance=qdrant_client.models.Distance.DOT)
    client.create_collection("theirs", vectors_config=size)
    with pytest.raises(UserError, match="no index of this program"):
        QdrantStore(client, "theirs", "qdrant+http://here/theirs", None)
    with pytest.raises(UserError, match="no index there"):
        QdrantStore(client, "absent", "qdrant+http://here/absent", None)


@pytest.mark.parametrize("place", ["qdrant://localhost/people", "s3://bucket/people", "http://host:6333/people"])
def test_a_kind_that_is_not_known_is_no_folder(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"an index is a folder, or qdrant\+http://host:port/collection"):
        open_store(place, ABOUT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "place",
    [
        "qdrant+http://",
        "qdrant+http://host:6333",
        "qdrant+ftp://host/people",
        "qdrant+http://host:port/people",
        "qdrant+http://host/a/b",
        "qdrant+http://host/..",
        "qdrant+http://key@host/people",
        "qdrant+people",
    ],
)
def test_uris_that_name_no_collection_are_told(place):
    with pytest.raises(UserError, match="must be qdrant"):
        open_store(place)


def test_a_cluster_that_does_not_answer_is_told_in_one_line():
    with pytest.raises(UserError, match="does not answer"):
        open_store("qdrant+http://127.0.0.1:1/people")  # nothing listens at port 1


def test_a_uri_leads_to_a_cluster(monkeypatch):
    asked, local = {}, qdrant_client.QdrantClient(":memory:")
    monkeypatch.setattr(qdrant, "QdrantClient", lambda **options: asked.update(options) or local)
    monkeypatch.setenv(qdrant.KEY, "secret")
    entries, features = pictures(5)
    open_store("qdrant+https://host:1234/people", ABOUT).add(entries, features)
    assert (asked["host"], asked["port"], asked["https"], asked["api_key"]) == ("host", 1234, True, "secret")
    store = open_store("qdrant+http://host/people")
    assert (asked["port"], asked["https"]) == (6333, False)
    assert store.about == ABOUT and set(store.entries()) == set(entries)
    store.add(entries, features)
    assert store.count(Filter()) == 5, "two who add the same pictures add them once"


def test_a_cluster_that_goes_away_is_told(monkeypatch):
    store = made("qdrant", None)

    def gone(*values, **options):
        raise ResponseHandlingException(ConnectionError("gone"))

    monkeypatch.setattr(store.client, "count", gone)
    with pytest.raises(UserError, match=r"qdrant\+http://here/people: the cluster does not answer as it should"):
        store.count(Filter())


@pytest.mark.parametrize(
    "error", [ResourceExhaustedResponse("too many requests", 7), json.JSONDecodeError("Expecting value", "<html>", 0)]
)
def test_a_cluster_that_has_enough_or_is_another_server_is_told(monkeypatch, error):
    store = made("qdrant", None)

    def answer(*values, **options):
        raise error

    monkeypatch.setattr(store.client, "count", answer)
    with pytest.raises(UserError, match="the cluster does not answer as it should"):
        store.count(Filter())


def test_a_point_of_another_program_is_told():
    store = made("qdrant", None)
    point = qdrant_client.models.PointStruct(id=7, vector=[1.0] * WIDTH, payload={"colour": "red"})
    store.client.upsert(store.collection, [point])
    with pytest.raises(UserError, match="point 7 is no picture of this program"):
        list(store.entries())
    with pytest.raises(UserError, match="point 7 is no picture of this program"):
        store.search(np.ones((1, WIDTH), dtype=np.float32), 1, Filter())
