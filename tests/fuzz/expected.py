"""What may come of a damage, and how something comes into a file's place.

SAME       the same images, people, cameras, pixels as without it
PIXELS     the same images, people, cameras
LESS       no image that was not there before
MORE       three images more
ANY        any of the above; refused is right, too
"text"     refused, in a line that holds this text
"""

SAME, PIXELS, LESS, MORE, ANY = "SAME", "PIXELS", "LESS", "MORE", "ANY"


def exchanged(path, make=None):
    """Nothing, or what `make` makes, in the place of a file; returns its name."""
    path.unlink()
    if make is not None:
        make(path)
    return path.name


def loop(path):
    path.symlink_to(path.name)
