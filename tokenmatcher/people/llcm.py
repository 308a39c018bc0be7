"""Writing rendered people to disk in the raw layout of LLCM: nine cameras, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError
from tokenmatcher.people.layouts import Shot, Written, require_counts, write_tree
from tokenmatcher.people.world import LLCM_CAMERAS, LLCM_FIRST, Stream, World

LLCM_SHORT = {Modality.VISIBLE: "vis", Modality.INFRARED: "nir"}
LLCM_WITHOUT_INFRARED = 3
_NIGHT = 1000  # pictures by night are of other moments than those by day: their numbers begin here


def llcm_views(world: World, identity: int) -> Iterator[tuple[Modality, int]]:
    """Who of LLCM's cameras sees a person, by day and by night: four cameras, of which one has no infrared sensor."""
    random = world.random(Stream.PRESENCE, identity, LLCM_FIRST)
    for camera in sorted(1 + random.choice(LLCM_CAMERAS, size=4, replace=False)):
        for modality in Modality:
            if modality is Modality.VISIBLE or camera != LLCM_WITHOUT_INFRARED:
                yield modality, int(camera)


def write_llcm(
    root: Path | str,
    world: World,
    *,
    train_ids: int = 100,
    test_ids: int = 40,
    shots: int = 5,
    identity_offset: int = 0,
    workers: int = 1,
    progress: bool = True,
) -> Written:
    """Write a raw LLCM tree: `vis|nir/<id>/<id>_c0<camera>_s<n>_f<n>_<vis|nir>.jpg` for training, with lists in `idx/`,
    and `test_vis|test_nir/cam<camera>/<id>/<n>.jpg`.

    Args:
        root: folder to make; must be missing, empty, or written by the very same call before.
        world: the world.
        train_ids, test_ids: numbers of people; file ids 1.. train first, then test.
        shots: pictures per person, camera and modality.
        identity_offset, workers, progress: as for `write_sysu`.

    Raises:
        UserError: bad numbers, or a folder that is in the way.
    """
    require_counts(train_ids=train_ids, test_ids=test_ids, first_identity=identity_offset)
    if train_ids + test_ids == 0:
        raise SettingError("{train_ids} and {test_ids} are both 0: nobody to draw")
    if shots < 1:
        raise SettingError(f"{{shots}} must be at least 1, got {shots}")
    pictures: list[Shot] = []
    lines: dict[Modality, list[str]] = {m: [] for m in Modality}
    for file_id in range(1, train_ids + test_ids + 1):
        identity = identity_offset + file_id - 1
        for modality, camera in llcm_views(world, identity):
            short = LLCM_SHORT[modality]
            for number in range(shots):
                name = f"{file_id:04d}_c{camera:02d}_s{number:06d}_f{number:04d}_{short}.jpg"
                path = f"test_{short}/cam{camera}/{file_id:04d}/{name}"
                if file_id <= train_ids:
                    path = f"{short}/{file_id:04d}/{name}"
                    lines[modality].append(f"{path} {file_id - 1}\n")
                moment = number + (_NIGHT if modality is Modality.INFRARED else 0)
                pictures.append(Shot(path, identity, LLCM_FIRST + camera - 1, moment, modality))

    def write_lists(target: Path) -> None:
        (target / "idx").mkdir()
        for modality, listed in lines.items():
            (target / "idx" / f"train_{LLCM_SHORT[modality]}.txt").write_text("".join(listed), encoding="ascii")
        ids = ",".join(str(number) for number in range(train_ids + 1, train_ids + test_ids + 1))
        (target / "idx" / "test_id.txt").write_text(ids + "\n", encoding="ascii")

    parameters = {"train_ids": train_ids, "test_ids": test_ids, "shots": shots, "identity_offset": identity_offset}
    return write_tree(Path(root), world, "llcm", parameters, pictures, write_lists, workers, progress)
