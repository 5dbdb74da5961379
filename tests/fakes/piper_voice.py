"""A voice file for Piper's real engine: the network in it hums, 20 ms for each sound of the text.

Inputs and outputs are those of a Piper voice (`input`, `input_lengths`, `scales`, `sid` -> `output`, as its exporter
names them), and so is the `.json` beside it; the first scale but one makes it longer. The second speaker hums higher.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper

RATE = 22050
HOP = RATE // 50
HUMS = (220.0, 440.0)
"""Hertz, by speaker."""


def make_voice(folder: Path, *, speakers: int = 2) -> Path:
    """Write a voice; returns its `.onnx`."""
    path = folder / "hum.onnx"
    onnx.save(_model(), str(path))
    symbols = ["_", "^", "$", " ", *"!',.?", *(chr(code) for code in range(0x61, 0x400))]
    config = {
        "audio": {"sample_rate": RATE, "quality": "x_low"},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": {symbol: [number] for number, symbol in enumerate(symbols)},
        "num_symbols": len(symbols),
        "num_speakers": speakers,
        "speaker_id_map": {},
        "piper_version": "1.0.0",
    }
    path.with_name("hum.onnx.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def _model() -> onnx.ModelProto:
    def constant(name: str, kind: int, values: list[float], shape: list[int]) -> onnx.TensorProto:
        return helper.make_tensor(name, kind, shape, values)

    whole, real = TensorProto.INT64, TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["input_lengths"], ["lengths"], to=real),
        helper.make_node("Gather", ["scales", "one"], ["scale"], axis=0),
        helper.make_node("Mul", ["lengths", "hop"], ["normal"]),
        helper.make_node("Mul", ["normal", "scale"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["counts"], to=whole),
        helper.make_node("Squeeze", ["counts", "axis"], ["count"]),
        helper.make_node("Range", ["zero", "count", "step"], ["positions"]),
        helper.make_node("Cast", ["positions"], ["times"], to=real),
        helper.make_node("Gather", ["hums", "sid"], ["hum"], axis=0),
        helper.make_node("Mul", ["times", "hum"], ["angles"]),
        helper.make_node("Sin", ["angles"], ["wave"]),
        helper.make_node("Reshape", ["wave", "shape"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hum",
        [
            helper.make_tensor_value_info("input", whole, ["batch", "phonemes"]),
            helper.make_tensor_value_info("input_lengths", whole, ["batch"]),
            helper.make_tensor_value_info("scales", real, [3]),
            helper.make_tensor_value_info("sid", whole, ["batch"]),
        ],
        [helper.make_tensor_value_info("output", real, [1, 1, "time"])],
        [
            constant("one", whole, [1], [1]),
            constant("hop", real, [HOP], [1]),
            constant("axis", whole, [0], [1]),
            constant("zero", whole, [0], []),
            constant("step", whole, [1], []),
            constant("hums", real, [2 * 3.141592653589793 * hum / RATE for hum in HUMS], [2]),
            constant("shape", whole, [1, 1, -1], [3]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
