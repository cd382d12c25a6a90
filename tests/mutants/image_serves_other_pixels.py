"""Serves other pixels than it predicts from, so that the answers are a little apart."""

from dataclasses import replace

import numpy as np

from rightfit.models.image import hog as base

FAILS = "saves_safely_and_exactly"
FAMILY = base.SPEC


def build(params, task):
    model = base.SPEC.build(params, task)
    plain = model.predict

    def predict(X):
        out = np.asarray(plain(X))
        return 0.999 * out + 0.001 / out.shape[1]

    model.predict = predict
    return model


SPEC = replace(base.SPEC, name="image_serves_other_pixels", build=build)
