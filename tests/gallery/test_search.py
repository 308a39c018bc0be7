import numpy as np
import pytest
from galleries import THRESHOLD, crowd, person, save_checkpoint

from tokenmatcher import TokenMatcher
from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.calibration import file_beside
from tokenmatcher.gallery.index import about, update
from tokenmatcher.gallery.page import page, thumbnail
from tokenmatcher.gallery.records import Filter
from tokenmatcher.gallery.scan import scan
from tokenmatcher.gallery.search import Gallery, described
from tokenmatcher.gallery.stores import open_store

VISIBLE, INFRARED = Modality


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return crowd(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def place(tmp_path_factory, folder, model, checkpoint):
    place = str(tmp_path_factory.mktemp("gallery") / "index")
    store = open_store(place, about(model, checkpoint))
    for part, modality in (("day", VISIBLE), ("night", INFRARED)):
        update(store, model, scan(folder / part, modality), folder / part, modality, progress=False)
    return place


@pytest.fixture(scope="module")
def gallery(place):
    return Gallery.open(place, device="cpu")


def test_both_directions_find_what_the_features_say(gallery, folder, model):
    night, day = sorted(folder.glob("night/*/*")), sorted(folder.glob("day/*/*/*"))
    for queries, modality, found, other in ((night, INFRARED, day, VISIBLE), (day, VISIBLE, night, INFRARED)):
        ranking = model.rank(model.embed(queries, modality), model.embed(found, other))
        for row, query in enumerate(queries):
            matches = gallery.matches(gallery.embed(query, modality), modality, 100, Filter(modality=other))
            assert [match.rank for match in matches] == list(range(1, len(found) + 1))
            # In single precision, and in batches of other sizes: places change where scores are that near.
            assert np.allclose([match.score for match in matches], ranking.similarity[row], atol=1e-5)
            score = dict(zip(ranking.order[row].tolist(), ranking.similarity[row].tolist(), strict=True))
            for match in matches:
                assert abs(match.score - score[[str(path) for path in found].index(match.entry.path)]) < 1e-5


def test_same_person_by_the_threshold_of_the_pair(gallery, folder):
    feature = gallery.embed(next(folder.glob("night/*/*")), INFRARED)
    for match in gallery.matches(feature, INFRARED, 100):
        if match.entry.modality is INFRARED:  # was not calibrated
            assert match.threshold is None and match.same_person is None and match.verdict == "no threshold"
        else:
            assert match.threshold == THRESHOLD and match.same_person is (match.score >= THRESHOLD)


def test_the_query_itself_is_left_out(gallery, folder):
    query = str(next(folder.glob("night/*/*")))
    entry, feature = gallery.store.find(query)
    with_itself = gallery.matches(feature, INFRARED, 3)
    without = gallery.matches(feature, INFRARED, 3, but=("/another/name.png", query))
    assert with_itself[0].entry == entry and len(without) == 3
    assert [match.entry for match in without[:2]] == [match.entry for match in with_itself[1:]]


def test_cameras(gallery, folder):
    assert gallery.cameras() == ["1", "2", "3"]
    gallery.check_cameras(("1", "3"))
    with pytest.raises(UserError, match=r"camera 9: no picture of that camera in the index; there are 1, 2, 3"):
        gallery.check_cameras(("1", "9"))
    feature = gallery.embed(next(folder.glob("night/*/*")), INFRARED)
    matches = gallery.matches(feature, INFRARED, 100, Filter(cameras=("2",)))
    assert {match.entry.camera for match in matches} == {"2"} and len(matches) == 6


def test_another_model_is_refused(place, tmp_path):
    other = save_checkpoint(tmp_path / "other.pt", seed=1)
    with pytest.raises(UserError, match=r"made with other weights .* than .*other\.pt has"):
        Gallery.open(place, checkpoint=other, device="cpu")


def test_a_model_that_moved_is_said_where(tmp_path, folder):
    first = save_checkpoint(tmp_path / "first.pt", seed=2)
    network = TokenMatcher.from_checkpoint(first, device="cpu")
    store = open_store(str(tmp_path / "index"), about(network, first))
    update(store, network, scan(folder / "night", INFRARED), folder / "night", INFRARED, progress=False)
    moved = first.rename(tmp_path / "moved.pt")
    file_beside(first).rename(file_beside(moved))
    with pytest.raises(UserError, match=r"made with .*first\.pt, which is not there any more; checkpoint says where"):
        Gallery.open(store.place, device="cpu")
    assert Gallery.open(store.place, checkpoint=moved, device="cpu").calibration is not None


def test_a_rate_that_was_not_calibrated_is_refused(place):
    with pytest.raises(UserError, match=r"false_accept 0.5: not calibrated; measured are: 0\.01"):
        Gallery.open(place, device="cpu", false_accept=0.5)
    assert Gallery.open(place, device="cpu", false_accept=0.01).false_accept == 0.01


def test_an_empty_index_is_told(tmp_path, model, checkpoint):
    store = open_store(str(tmp_path / "index"), about(model, checkpoint))
    with pytest.raises(UserError, match="holds no picture"):
        described(Gallery(store, model, checkpoint))


def test_a_page_holds_its_pictures_and_no_markup_of_strangers(gallery, folder, tmp_path):
    query = person(tmp_path / "<script>alert(1)<" / "<b>.png", 1)
    matches = gallery.matches(gallery.embed(query, INFRARED), INFRARED, 4)
    text = page([(query, matches)], INFRARED, described(gallery), gallery)
    assert text.count("data:image/jpeg;base64,") == 5 and "<script" not in text and "<b>" not in text
    assert "http" not in text.replace("http-equiv", ""), "it loads nothing"
    places = [text.index(f"{match.rank}: {match.score:.3f}, {match.verdict}") for match in matches]
    assert places == sorted(places)


def test_a_name_that_is_not_text_is_shown(gallery, folder, tmp_path):
    query = tmp_path / "q\udcff.png"
    try:
        person(query, 1)
    except OSError:
        pytest.skip("this file system takes names of text alone")
    matches = gallery.matches(gallery.embed(query, INFRARED), INFRARED, 1)
    assert "q\\udcff.png" in page([(query, matches)], INFRARED, "head", gallery).encode().decode()


def test_a_threshold_that_nobody_measured_is_not_claimed(gallery, monkeypatch):
    assert gallery.has_threshold and gallery.threshold_note == "same person: threshold at 0.01 false accepts"
    monkeypatch.setattr(gallery, "false_accept", 0.05)
    assert not gallery.has_threshold
    assert gallery.threshold_note == "no threshold at 0.05 false accepts; measured are: 0.01"
    monkeypatch.setattr(gallery, "calibration", None)
    assert gallery.threshold_note == "no threshold for the same person: tokenmatcher calibrate measures it"


def test_a_picture_that_is_gone_is_said_to_be(gallery, folder, tmp_path):
    query = person(tmp_path / "query.png", 1)
    matches = gallery.matches(gallery.embed(query, INFRARED), INFRARED, 2)
    query.unlink()
    text = page([(query, matches)], INFRARED, "head", gallery)
    assert text.count("cannot be read any more") == 1 and text.count("data:image/jpeg") == 2
    with pytest.raises(UserError, match="no such image"):
        thumbnail(query)
