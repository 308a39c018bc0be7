"""Pictures to unit features by an exported graph, without PyTorch.

tokenmatcher export --checkpoint logs/demo/stage2/best.pt --format onnx -o exported
python examples/onnx_embed.py exported infrared a.jpg b.jpg
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

if len(sys.argv) < 4:
    sys.exit("usage: python examples/onnx_embed.py FOLDER visible|infrared PICTURE ...")
folder, modality, *files = sys.argv[1:]
session = onnxruntime.InferenceSession(f"{folder}/{modality}.onnx", providers=["CPUExecutionProvider"])
(given,) = session.get_inputs()
_, _, height, width = given.shape
pictures = [Image.open(file).convert("RGB").resize((width, height), Image.Resampling.LANCZOS) for file in files]
images = np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in pictures])  # (N, 3, H, W) uint8
if given.type == "tensor(float)":  # exported with --input float
    images = images.astype(np.float32) / 255
(found,) = session.run(None, {"images": images})
print(found.shape, "similarities:", np.round(found @ found.T, 3), sep="\n")
