"""Keras on TensorFlow, made a good neighbour: one thread, no grabbed memory, nobody else's random numbers."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

from rightfit.errors import Unavailable

REQUIRES = ("tensorflow", "keras")


@cache
def keras() -> Any:
    """The module keras with the TensorFlow backend, on `RIGHTFIT_THREADS` threads, else 1.

    Raises Unavailable when it is not installed, or was imported before with another backend.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import keras as found
            import tensorflow as tf
        except ImportError as error:
            raise Unavailable(f"a Keras network needs keras and tensorflow; got error={str(error)[:120]!r}, "
                              "pip install 'rightfit[tensorflow]'.") from error
    if found.backend.backend() != "tensorflow":
        raise Unavailable(f"Keras must run on TensorFlow here; got backend={found.backend.backend()!r}, set "
                          "KERAS_BACKEND=tensorflow before anything imports keras.")
    said = os.environ.get("RIGHTFIT_THREADS", "")
    threads = max(int(said), 1) if said.isdigit() else 1
    # A context that somebody else has initialised keeps its threads: a user's process, never a trial's.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    return found


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it Keras draws its seeds from this one; Python's, NumPy's and TensorFlow's generators are left alone.

    Keras takes the seed of every initialiser and dropout from Python's `random`, and all else from that seed.
    """
    import random

    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
