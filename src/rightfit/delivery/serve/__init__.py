"""A package behind HTTP: offline, on one machine, with nothing to set up.

`run.run(settings)` starts it; `app.create(settings)` is the ASGI application; `engine` scores between bounded queues.
"""
