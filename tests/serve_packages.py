"""Packages for the tests of serving: tables of every problem (toy_package), pictures, texts, dates."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd

from rightfit.package.write import write
from rightfit.records import Candidate, Column, Rule, Schema, Task


def png(red, green, blue, size=8):
    """A picture of one colour, as the bytes of a PNG file."""
    from PIL import Image

    into = io.BytesIO()
    Image.new("RGB", (size, size), (red, green, blue)).save(into, "PNG")
    return into.getvalue()


def uri(content):
    return "data:image/png;base64," + base64.b64encode(content).decode()


class Colours:
    """The colour that a picture has most of, as an ONNX graph from pixels."""

    classes = ("blue", "green", "red")

    def predict(self, X):
        from rightfit.data._media import decode

        means = np.stack([decode.array(ref, 8).mean(axis=(0, 1))[::-1] for ref in X["image"]]) / 10
        means = np.exp(means - means.max(axis=1, keepdims=True))
        return means / means.sum(axis=1, keepdims=True)

    def save(self, folder):
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        nodes = [helper.make_node("Cast", ["X"], ["f"], to=TensorProto.FLOAT),
                 helper.make_node("ReduceMean", ["f"], ["m"], axes=[1, 2], keepdims=0),
                 helper.make_node("Gather", ["m", "order"], ["r"], axis=1),
                 helper.make_node("Div", ["r", "ten"], ["d"]),
                 helper.make_node("Softmax", ["d"], ["Y"], axis=1)]
        constants = [numpy_helper.from_array(np.array([2, 1, 0]), "order"),
                     numpy_helper.from_array(np.array(10, np.float32), "ten")]
        made = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("X", TensorProto.UINT8, ["n", 8, 8, 3])],
                                 [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", 3])], constants)
        onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
                  folder / "model.onnx")
        return {"runtime": "image", "column": "image", "size": 8, "outputs": 3, "tolerance": 1e-3,
                "cores": [{"format": "onnx", "file": "model.onnx"}]}


def pictures(folder):
    """A package that tells colours of pictures."""
    schema = Schema(columns=(Column(name="image", kind="image"),
                             Column(name="colour", kind="categorical", categories=Colours.classes, role="target")))
    task = Task(modality="image", problem="multiclass", metric="accuracy", classes=Colours.classes,
                target=("colour",))
    sample = pd.DataFrame({"image": [uri(png(200, 0, 0)), uri(png(0, 200, 0)), uri(png(0, 0, 200))]})
    write(Colours(), folder, task=task, schema=schema, rule=Rule(), candidate=Candidate(family="colours"),
          sample=sample)
    return folder


def texts(folder):
    """A package of the real bag-of-words family, trained on made-up reviews."""
    from rightfit.data.modalities._text_example import example
    from rightfit.models.text import tfidf_linear

    data, task = example("binary")
    model = tfidf_linear.SPEC.build(dict(tfidf_linear.SPEC.smoke), task).fit(data, seed=0, deadline=float("inf"))
    write(model, folder, task=task, schema=data.schema, rule=Rule(), candidate=Candidate(family="tfidf_linear"),
          sample=data.X)
    return folder
