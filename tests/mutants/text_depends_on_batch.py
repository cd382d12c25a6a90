"""Lets the longest text of a batch change the others, as a network does that averages over its padding."""

from dataclasses import replace

from rightfit.models.text import tfidf_linear as base

FAILS = "row_is_independent_of_its_batch"
FAMILY = base.SPEC


def build(params, task):
    model = base.SPEC.build(params, task)
    plain = model.predict

    def predict(X):
        share = 0.1 * max(len(text or "") for text in X["text"]) / 200
        return (1 - share) * plain(X) + share / len(task.classes)

    model.predict = predict
    return model


SPEC = replace(base.SPEC, name="text_depends_on_batch", build=build)
