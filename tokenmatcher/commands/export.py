"""`tokenmatcher export`: its flags."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tokenmatcher.cli import Parser
from tokenmatcher.errors import SettingError

NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": (), "safetensors": ("safetensors",)}


def parser() -> Parser:
    """All flags of the export."""
    made = Parser("Turn a checkpoint into files that other programs read, with a model card beside them.")
    made.add_argument("--checkpoint", type=Path, required=True, help="our checkpoint, or the authors'")
    made.add_argument(
        "--format",
        choices=tuple(NEEDED),
        required=True,
        help="onnx, torch (torch.export): a graph for each modality, pixels to unit feature; safetensors: the weights, "
        "which test, calibrate and --pretrained-path read",
    )
    made.add_argument("--output", "-o", type=Path, required=True, metavar="FOLDER", help="folder for the files")
    made.add_argument(
        "--input",
        choices=("uint8", "float"),
        help="pixels that a graph takes: 0..255, or float of 0..1 (default uint8)",
    )
    made.add_argument(
        "--no-mirror",
        action="store_true",
        help="a graph does not average with the mirror image's feature, as the tests do: half the work",
    )
    made.add_argument("--license", default="", metavar="TEXT", help="of the weights, for the model card")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Export as the flags say.

    Raises:
        UserError: anything about flags or files that is not right.
    """
    given = parser().called("export").parse_args(arguments)
    if missing := [name for name in NEEDED[given.format] if find_spec(name) is None]:
        raise SettingError(
            '{format} {asked}: needs {missing}: pip install ".[export]"',
            asked=given.format,
            missing=", ".join(missing),
        )
    if given.format == "safetensors" and (given.input or given.no_mirror):
        raise SettingError("{input} and {no_mirror} are for graphs, {format} safetensors is none")
    given.input = given.input or "uint8"
    if given.output.exists() and not given.output.is_dir():
        raise SettingError("{output} {path}: is no folder", path=given.output)
    if not given.license.isprintable():
        raise SettingError("{license} {text}: must be one line of printable characters", text=given.license)

    from tokenmatcher.commands.exporting import export

    export(given)
