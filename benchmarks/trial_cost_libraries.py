"""What the fork server imported before it knew the plug-ins; `trial_cost.py` has it imported."""

import importlib
import importlib.util

NAMES = ("pandas", "pyarrow.feather", "sklearn.ensemble", "sklearn.linear_model", "sklearn.svm", "sklearn.neighbors",
         "sklearn.preprocessing", "sklearn.model_selection", "lightgbm", "catboost", "xgboost", "onnxruntime", "onnx",
         "skl2onnx", "onnxmltools.convert", "rightfit.tuning.trial", "rightfit.package.write",
         "rightfit.package.probe", "rightfit.metrics.rules", "rightfit.data.encode")
for _name in NAMES:
    if importlib.util.find_spec(_name.partition(".")[0]) is not None:
        importlib.import_module(_name)
