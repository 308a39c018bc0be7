"""The rendered people: same numbers, same pixels; layouts as the real sets have them; neither trivial nor hopeless."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError, flag
from tokenmatcher.people import (
    SYSU_INFRARED,
    SYSU_VISIBLE,
    World,
    cameras_of,
    contact_sheet,
    layouts,
    person_of,
    render,
    render_many,
    write_regdb,
    write_sysu,
)
from tokenmatcher.people.__main__ import REAL_SYSU, main
from tokenmatcher.people.layouts import sysu_shots
from tokenmatcher.people.person import GARMENTS

WORLD = World(seed=3)
SMALL = World(seed=3, height=64, width=24)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def small_sysu(root: Path, **changes: int) -> layouts.Written:
    sizes = {"train_ids": 3, "val_ids": 1, "test_ids": 2, "shots_visible": 2, "shots_infrared": 2, **changes}
    return write_sysu(root, SMALL, progress=False, **sizes)


class TestRender:
    def test_shape_and_range(self) -> None:
        picture = render(WORLD, 0, 1, 0)
        assert picture.shape == (128, 48, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 10

    @pytest.mark.parametrize("size", [(32, 12), (96, 32), (129, 47), (256, 96)])
    def test_any_size(self, size: tuple[int, int]) -> None:
        assert render(World(height=size[0], width=size[1]), 1, 4, 2).shape == (*size, 3)

    def test_infrared_is_grey_and_visible_is_not(self) -> None:
        for camera in (3, 6, 8):
            picture = render(WORLD, 2, camera, 1)
            assert np.array_equal(picture[..., 0], picture[..., 1])
            assert np.array_equal(picture[..., 0], picture[..., 2])
        assert (np.ptp(render(WORLD, 2, 1, 1).astype(int), axis=2) > 10).any()

    def test_order_does_not_matter(self) -> None:
        shots = [(identity, camera, shot) for identity in range(4) for camera in (1, 3, 7, 8) for shot in range(2)]
        forward = render_many(WORLD, shots)
        backward = render_many(World(seed=3), shots[::-1])
        assert np.array_equal(forward, backward[::-1])

    def test_global_random_state_is_neither_read_nor_changed(self) -> None:
        np.random.seed(0)
        first = render(WORLD, 5, 2, 0)
        drawn = np.random.random()
        np.random.seed(0)
        assert drawn == np.random.random()
        assert np.array_equal(first, render(WORLD, 5, 2, 0))

    def test_shots_identities_cameras_and_seeds_differ(self) -> None:
        base = render(WORLD, 0, 1, 0).astype(int)
        for other in (
            render(WORLD, 0, 1, 1),
            render(WORLD, 1, 1, 0),
            render(WORLD, 0, 2, 0),
            render(World(seed=4), 0, 1, 0),
        ):
            assert np.abs(base - other).mean() > 5

    def test_another_seed_is_another_world(self) -> None:
        other = World(seed=4)
        assert all(person_of(WORLD, identity) != person_of(other, identity) for identity in range(20))
        assert any(cameras_of(WORLD, identity) != cameras_of(other, identity) for identity in range(20))

    def test_people_do_not_depend_on_picture_size_or_casts(self) -> None:
        assert person_of(World(seed=3, height=64, width=24, camera_cast=0.0), 9) == person_of(WORLD, 9)

    def test_camera_cast_zero_leaves_colours_alike(self) -> None:
        def spread(cast: float) -> float:
            world = World(seed=3, camera_cast=cast)
            means = [
                render_many(world, [(i, camera, 0) for i in range(12)]).mean(axis=(0, 1, 2)) for camera in SYSU_VISIBLE
            ]
            ratios = np.array([np.log(mean[0] / mean[2]) for mean in means])
            return float(ratios.std())

        assert spread(0.0) < 0.5 * spread(1.5)

    def test_no_pictures(self) -> None:
        assert render_many(WORLD, []).shape == (0, 128, 48, 3)

    def test_contact_sheet(self) -> None:
        sheet = contact_sheet(SMALL, range(3), shots=2)
        assert sheet.shape == (3 * 68 + 4, 6 * 52 + 4, 3)

    def test_unknown_camera(self) -> None:
        with pytest.raises(UserError, match="camera"):
            render(WORLD, 0, 18, 0)


class TestInfrared:
    @staticmethod
    def surface_correlation(rho: float) -> float:
        world = World(seed=5, nir_correlation=rho, nir_inverted=0.0)
        pairs = [
            (person.surfaces[part].luminance, person.surfaces[part].near)
            for person in (person_of(world, identity) for identity in range(150))
            for part in GARMENTS
        ]
        return float(np.corrcoef(np.array(pairs).T)[0, 1])

    def test_correlation_follows_its_parameter(self) -> None:
        found = [self.surface_correlation(rho) for rho in (0.0, 0.35, 0.8, 1.0)]
        assert found == sorted(found)
        assert abs(found[0]) < 0.15
        assert 0.25 < found[1] < 0.65
        assert found[2] > 0.9
        assert found[3] == pytest.approx(1.0)

    def test_pixels_follow_it_too(self) -> None:
        def measured(rho: float) -> float:
            world = World(seed=5, nir_correlation=rho, nir_inverted=0.0, camera_cast=0.0, occlusion=0.0)
            shots = [(identity, 1, 0) for identity in range(80)]
            chests = [
                render_many(world, shots, modality)[:, 38:58, 20:28].mean(axis=(1, 2))
                for modality in (Modality.VISIBLE, Modality.INFRARED)
            ]
            return float(np.corrcoef(chests[0] @ (0.2989, 0.5870, 0.1140), chests[1][:, 0])[0, 1])

        assert measured(1.0) > 0.85
        assert measured(0.0) < 0.6

    def test_inverted_patterns(self) -> None:
        kept, changed = (World(seed=5, nir_correlation=1.0, nir_inverted=share) for share in (0.0, 0.4))
        contrast = []
        for world in (kept, changed):
            surfaces = [person_of(world, identity).surfaces for identity in range(1000)]
            lost = 0
            for found in surfaces:
                upper, accent = found[GARMENTS[0]], found[GARMENTS[1]]
                lost += (upper.luminance - accent.luminance) * (upper.near - accent.near) <= 0
            contrast.append(lost / len(surfaces))
        assert contrast[0] == 0
        assert abs(contrast[1] - 0.4) < 5 * (0.4 * 0.6 / 1000) ** 0.5  # five standard deviations

    def test_skin_is_the_warmest(self) -> None:
        for identity in range(30):
            surfaces = person_of(WORLD, identity).surfaces
            skin, *rest = sorted(surfaces.values(), key=lambda surface: -surface.thermal)
            assert skin.thermal > 0.9
            assert all(surface.thermal < 0.7 for surface in rest)


class TestSysu:
    def test_layout(self, tmp_path: Path) -> None:
        written = small_sysu(tmp_path / "sysu")
        root = written.root
        lists = [(root / "exp" / f"{name}_id.txt").read_text().strip().split(",") for name in ("train", "val", "test")]
        assert lists == [["1", "2", "3"], ["4"], ["5", "6"]]
        assert sorted(path.name for path in root.iterdir()) == [*(f"cam{n}" for n in range(1, 7)), "exp", "people.json"]
        pictures = sorted(root.glob("cam?/????/????.jpg"))
        assert len(pictures) == written.visible + written.infrared == len(list(root.rglob("*.jpg")))
        for person in range(1, 7):
            seen = {int(path.parent.name[3:]) for path in root.glob(f"cam*/{person:04d}")}
            assert len(seen & set(SYSU_VISIBLE)) >= 2
            assert len(seen & set(SYSU_INFRARED)) >= 1
        with Image.open(pictures[0]) as image:
            assert image.mode == "RGB"
            assert image.size == (24, 64)

    def test_workers_write_the_same_bytes(self, tmp_path: Path) -> None:
        one = write_sysu(tmp_path / "one", SMALL, train_ids=5, test_ids=2, progress=False)
        two = write_sysu(tmp_path / "two", SMALL, train_ids=5, test_ids=2, progress=False, workers=2)
        assert contents(one.root) == contents(two.root)

    def test_more_people_leave_the_first_ones_alone(self, tmp_path: Path) -> None:
        few, many = small_sysu(tmp_path / "few"), small_sysu(tmp_path / "many", train_ids=5)
        less, more = contents(few.root), contents(many.root)
        assert all(more[path] == data for path, data in less.items() if path.endswith(".jpg"))

    def test_offset_shifts_people(self, tmp_path: Path) -> None:
        base, shifted = small_sysu(tmp_path / "base"), small_sysu(tmp_path / "shifted", identity_offset=2)
        camera = cameras_of(SMALL, 2)[0]
        third = base.root / f"cam{camera}" / "0003" / "0001.jpg"
        assert third.read_bytes() == (shifted.root / f"cam{camera}" / "0001" / "0001.jpg").read_bytes()

    def test_real_size(self) -> None:
        people = REAL_SYSU["train_ids"] + REAL_SYSU["val_ids"]
        assert people == 395
        shots = list(sysu_shots(World(), people, REAL_SYSU["shots_visible"], REAL_SYSU["shots_infrared"]))
        infrared = sum(shot.camera in SYSU_INFRARED for shot in shots)
        assert infrared == pytest.approx(11_909, rel=0.05)
        assert len(shots) - infrared == pytest.approx(22_258, rel=0.05)
        assert len({shot.path for shot in shots}) == len(shots)

    def test_same_call_reuses(self, tmp_path: Path) -> None:
        first = small_sysu(tmp_path / "sysu")
        before = {path: path.stat().st_mtime_ns for path in first.root.rglob("*")}
        second = small_sysu(tmp_path / "sysu")
        assert (first.reused, second.reused) == (False, True)
        assert (first.visible, first.infrared) == (second.visible, second.infrared)
        assert before == {path: path.stat().st_mtime_ns for path in first.root.rglob("*")}

    def test_other_parameters_are_refused(self, tmp_path: Path) -> None:
        root = small_sysu(tmp_path / "sysu").root
        before = contents(root)
        with pytest.raises(UserError, match="other parameters"):
            small_sysu(root, train_ids=4)
        assert contents(root) == before

    def test_foreign_incomplete_and_broken_folders_are_refused(self, tmp_path: Path) -> None:
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        (foreign / "thesis.txt").write_text("precious")
        with pytest.raises(UserError, match="foreign"):
            small_sysu(foreign)
        assert (foreign / "thesis.txt").read_text() == "precious"
        root = small_sysu(tmp_path / "sysu").root
        next(root.rglob("*.jpg")).unlink()
        with pytest.raises(UserError, match="lacks 1"):
            small_sysu(root)
        (root / "people.json").write_text("{")
        with pytest.raises(UserError, match=r"people\.json"):
            small_sysu(root)
        with pytest.raises(UserError, match="is a file"):
            small_sysu(foreign / "thesis.txt")

    def test_empty_folder_is_filled(self, tmp_path: Path) -> None:
        (tmp_path / "sysu").mkdir()
        assert not small_sysu(tmp_path / "sysu").reused

    def test_interruption_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        drawn = []

        def interrupted(*arguments: int) -> np.ndarray:
            drawn.append(arguments)
            if len(drawn) == 10:
                raise KeyboardInterrupt
            return render(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(layouts, "render", interrupted)
        with pytest.raises(KeyboardInterrupt):
            small_sysu(tmp_path / "sysu")
        assert list(tmp_path.iterdir()) == []


class TestRegdb:
    def test_layout(self, tmp_path: Path) -> None:
        written = write_regdb(tmp_path / "regdb", SMALL, ids=6, images=2, progress=False)
        assert (written.visible, written.infrared) == (12, 12)
        splits = set()
        for trial in range(1, 11):
            owners: dict[str, dict[str, set[tuple[int, int]]]] = {}
            for half in ("train", "test"):
                owners[half] = {}
                for folder in ("Visible", "Thermal"):
                    lines = (written.root / "idx" / f"{half}_{folder.lower()}_{trial}.txt").read_text().splitlines()
                    assert len(lines) == 6
                    pairs = set()
                    for line in lines:
                        path, label = line.split(" ")
                        assert (written.root / path).is_file()
                        assert path.startswith(folder + "/")
                        assert path.endswith(".bmp")
                        pairs.add((int(path.split("/")[1]), int(label)))
                    assert sorted(label for _, label in pairs) == [0, 1, 2]
                    owners[half][folder] = pairs
                assert owners[half]["Visible"] == owners[half]["Thermal"]
            train, test = ({person for person, _ in owners[half]["Visible"]} for half in ("train", "test"))
            assert not train & test
            splits.add(frozenset(train))
        assert len(splits) > 3

    def test_same_call_reuses(self, tmp_path: Path) -> None:
        calls = [write_regdb(tmp_path / "r", SMALL, ids=2, images=1, progress=False).reused for _ in range(2)]
        assert calls == [False, True]


class TestCommandLine:
    def test_sysu_then_reuse(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        flags = [
            "sysu",
            "--out",
            str(tmp_path / "a"),
            "--train-ids",
            "2",
            "--test-ids",
            "1",
            "--no-progress",
            "--seed",
            "3",
        ]
        main(flags)
        assert "written" in capsys.readouterr().out
        main(flags)
        assert "kept" in capsys.readouterr().out
        manifest = json.loads((tmp_path / "a" / "people.json").read_text())
        assert manifest["world"]["seed"] == 3
        assert manifest["parameters"]["train_ids"] == 2

    def test_sheet(self, tmp_path: Path) -> None:
        main(["sheet", "--out", str(tmp_path / "sheet.png"), "--people", "2", "--shots", "1"])
        with Image.open(tmp_path / "sheet.png") as image:
            assert image.height == 2 * 132 + 4

    @pytest.mark.parametrize(
        ("flags", "named"),
        [
            (["sysu", "--nir-correlation", "1.5"], "--nir-correlation"),
            (["sysu", "--nir-inverted", "-1"], "--nir-inverted"),
            (["sysu", "--camera-cast", "nan"], "--camera-cast"),
            (["sysu", "--seed", "-1"], "--seed"),
            (["sysu", "--height", "3"], "--height"),
            (["sysu", "--train-ids", "-1"], "--train-ids"),
            (["sysu", "--train-ids", "0", "--test-ids", "0"], "--train-ids"),
            (["sysu", "--train-ids", "many"], "--train-ids"),
            (["sysu", "--shots-visible", "0"], "--shots-visible"),
            (["sysu", "--workers", "0"], "--workers"),
            (["sysu", "--first-identity", "-1"], "--first-identity"),
            (["regdb", "--ids", "3"], "--ids"),
            (["regdb", "--images", "0"], "--images"),
            (["sheet", "--people", "0"], "--people"),
        ],
    )
    def test_bad_flags_are_named(self, tmp_path: Path, flags: list[str], named: str) -> None:
        with pytest.raises(UserError) as caught:
            main([*flags, "--out", str(tmp_path / "out.png")])
        assert named in caught.value.worded(flag)
        assert list(tmp_path.iterdir()) == []

    def test_out_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="file"):
            main(
                [
                    "sysu",
                    "--out",
                    str(tmp_path / "file" / "demo"),
                    "--train-ids",
                    "1",
                    "--test-ids",
                    "0",
                    "--no-progress",
                ]
            )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 8])
def test_pixels_alone_do_not_tell_people(seed: int) -> None:
    """Rank-1 of raw pixels, nearest by L2 or cosine, on 40 people with one gallery picture per camera."""
    world, shots = World(seed=seed), 3
    features, owners = {}, {}
    for camera in (*SYSU_VISIBLE, *SYSU_INFRARED):
        people = [identity for identity in range(100, 140) if camera in cameras_of(world, identity)]
        pictures = render_many(world, [(identity, camera, shot) for identity in people for shot in range(shots)])
        features[camera] = pictures.reshape(len(pictures), -1).astype(np.float32)
        owners[camera] = np.repeat(people, shots)

    def rank1(queries: tuple[int, ...], gallery: tuple[int, ...], cosine: bool) -> float:
        hits = []
        for camera in queries:
            others = [other for other in gallery if other != camera]
            known = np.concatenate([features[other][::shots] for other in others])
            names = np.concatenate([owners[other][::shots] for other in others])
            asked = np.isin(owners[camera], names)
            product = features[camera][asked] @ known.T
            norms = np.linalg.norm(known, axis=1)
            score = product / norms if cosine else product - norms**2 / 2
            hits.append(names[score.argmax(axis=1)] == owners[camera][asked])
        return float(np.concatenate(hits).mean())

    for cosine in (False, True):
        assert 0.05 < rank1(SYSU_VISIBLE, SYSU_VISIBLE, cosine) < 0.6
        assert rank1(SYSU_INFRARED, SYSU_INFRARED, cosine) < 0.6
        assert rank1(SYSU_INFRARED, SYSU_VISIBLE, cosine) < 0.2
