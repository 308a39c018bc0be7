"""Lists that go wrong, of ids and of images; see `damages`."""

from pathlib import Path

from fuzz.expected import ANY, SAME, exchanged, loop


def id_list(rng, tree):
    return rng.choice(sorted([*tree.glob("exp/*_id.txt"), *tree.glob("idx/test_id.txt")]))


def lines_of(rng, tree):
    """A RegDB list of trial 1, or an LLCM list of training."""
    return rng.choice(sorted((tree / "idx").glob("*_1.txt")) or sorted((tree / "idx").glob("train_*.txt")))


# --- lists of ids (SYSU-MM01, LLCM)


def rewritten(path, change):
    path.write_bytes(change(path.read_bytes()))


def untidy_ids(rng, tree):
    path = id_list(rng, tree)
    changes = [
        lambda b: b"\xef\xbb\xbf" + b,
        lambda b: b.replace(b"\n", b"\r\n"),
        lambda b: b.replace(b",", b" , "),
        lambda b: b.replace(b",", b"\n"),
        lambda b: b.replace(b",", b",,"),
        lambda b: b + b" \t\r\n\n\n",
        lambda b: b"\n\n" + b,
        lambda b: b.rstrip(b"\n"),
        lambda b: b.strip() + b"," + b,
        lambda b: b"000" + b,
    ]
    for change in rng.sample(changes, rng.randint(1, 4)):
        if change is not changes[0] or not path.read_bytes().startswith(b"\xef"):
            rewritten(path, change)
    content = path.read_bytes()
    if b"\xef\xbb\xbf" in content[1:]:  # the mark is one at the start only
        path.write_bytes(content[:1] + content[1:].replace(b"\xef\xbb\xbf", b""))
    return SAME


def bad_ids(rng, tree):
    path = id_list(rng, tree)
    bad = rng.choice(("-3", "1.5", "zwei", "1e3", "٣", "12345678901", "0x1", "../1", "1;2", "nan", "\0"))
    path.write_text(f"{path.read_text().strip()},{bad}\n", encoding="utf-8")
    return path.name


def binary_ids(rng, tree):
    path = id_list(rng, tree)
    path.write_bytes(rng.choice((b"\xff\xfe1\0", rng.randbytes(200) + b"\xff", "1,4".encode("utf-16"))))
    return path.name


def ids_of_nobody(rng, tree):
    path = id_list(rng, tree)
    path.write_text(f"{path.read_text().strip()},{rng.randint(500, 999_999_999)}\n")
    return SAME


def no_ids(rng, tree):
    id_list(rng, tree).write_text(rng.choice(("", "\n", " , ,\n")))
    return ANY


def id_list_is_gone(rng, tree):
    return exchanged(id_list(rng, tree))


def id_list_is_a_folder(rng, tree):
    return exchanged(id_list(rng, tree), Path.mkdir)


def id_list_is_a_loop(rng, tree):
    return exchanged(id_list(rng, tree), loop)


def id_list_without_permission(rng, tree):
    path = id_list(rng, tree)
    path.chmod(0)
    return path.name


def ids_in_training_and_test(rng, tree):
    test = (tree / "exp" / "test_id.txt").read_text().strip().split(",")
    path = tree / "exp" / f"{rng.choice(('train', 'val'))}_id.txt"
    path.write_text(f"{path.read_text().strip()},{rng.choice(test)}\n")
    return "both of training and of test"


# --- lists of images (RegDB, LLCM)


def untidy_lines(rng, tree):
    path = lines_of(rng, tree)
    changes = [
        lambda b: b"\xef\xbb\xbf" + b,
        lambda b: b.replace(b"\n", b"\r\n"),
        lambda b: b.replace(b"\n", b"\n\n"),
        lambda b: b.replace(b"\n", b"  \n"),
        lambda b: b + b"\n \t \n",
        lambda b: b.rstrip(b"\n"),
    ]
    rewritten(path, rng.choice(changes))
    return SAME


def a_bad_line(rng, tree):
    path = lines_of(rng, tree)
    lines = path.read_text().splitlines()
    place = rng.randrange(len(lines))
    entry = lines[place].rpartition(" ")[0]
    lines[place] = rng.choice(
        (entry, f"{entry} x", f"{entry} -1", f"{entry} 1.5", f"{entry} 12345678901", f"/etc/passwd {place}", "7",
         f"../{tree.name}/{entry} 1", f"C:\\x.bmp {place}", f"{entry}.absent 0", f"Visible/../../x.bmp {place}",
         f"{'x' * 5000}.bmp 1", f"\\\\host\\share\\x.bmp {place}", f"{entry}\0 1", lines[place - 1])
    )  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path.name


def list_is_gone(rng, tree):
    return exchanged(lines_of(rng, tree))


def list_is_empty(rng, tree):
    path = lines_of(rng, tree)
    path.write_text("\n\n")
    return path.name


def list_is_binary(rng, tree):
    path = lines_of(rng, tree)
    path.write_bytes(rng.randbytes(100) + b"\xff\xfe")
    return path.name


def list_is_a_folder(rng, tree):
    return exchanged(lines_of(rng, tree), Path.mkdir)


def list_is_a_loop(rng, tree):
    return exchanged(lines_of(rng, tree), loop)


def a_person_in_both_splits(rng, tree):
    train, test = tree / "idx" / "train_visible_1.txt", tree / "idx" / "test_visible_1.txt"
    train.write_text(train.read_text() + test.read_text().splitlines()[0].rpartition(" ")[0] + " 0\n")
    return "both in training and in test"


def a_name_without_camera(rng, tree):
    path = lines_of(rng, tree)
    entry = path.read_text().splitlines()[0].rpartition(" ")[0]
    other = entry.replace("_c0", rng.choice(("_x0", "c0", "_c0x", "_c-")))
    (tree / entry).rename(tree / other)
    path.write_text(path.read_text().replace(entry, other))
    return "does not say its camera"


def a_test_id_of_training(rng, tree):
    path = tree / "idx" / "test_id.txt"
    path.write_text(f"{path.read_text().strip()},1\n")
    return "both of training and of test"


_IDS = (
    untidy_ids, bad_ids, binary_ids, ids_of_nobody, no_ids, id_list_is_gone, id_list_is_a_folder, id_list_is_a_loop,
    id_list_without_permission,
)  # fmt: skip
_IMAGES = (untidy_lines, a_bad_line, list_is_gone, list_is_empty, list_is_binary, list_is_a_folder, list_is_a_loop)
OF_SYSU = (*_IDS, ids_in_training_and_test)
OF_REGDB = (*_IMAGES, a_person_in_both_splits)
OF_LLCM = (*_IDS, *_IMAGES, a_name_without_camera, a_test_id_of_training)
