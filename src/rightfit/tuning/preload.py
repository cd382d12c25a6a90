"""Imported once by the fork server, so that a trial's process starts in milliseconds; it only imports."""

import importlib
import importlib.util

from rightfit import registry

NAMES = ("pandas", "pyarrow.feather", "sklearn.ensemble", "sklearn.linear_model", "sklearn.svm", "sklearn.neighbors",
         "sklearn.preprocessing", "sklearn.model_selection", "lightgbm", "catboost", "xgboost", "onnxruntime", "onnx",
         "skl2onnx", "onnxmltools.convert", "rightfit.tuning.trial", "rightfit.package.write",
         "rightfit.package.probe", "rightfit.metrics.rules", "rightfit.data.encode")
PLUGINS = ("rightfit.models", "rightfit.package.runtimes", "rightfit.package.cores", "rightfit.tuning.compress",
           "rightfit.data.treatments", "rightfit.data.column_kinds", "rightfit.data.views", "rightfit.metrics")
for _name in NAMES:
    if importlib.util.find_spec(_name.partition(".")[0]) is not None:
        importlib.import_module(_name)
for _package in PLUGINS:
    for _name in registry.modules(_package):
        importlib.import_module(_name)
