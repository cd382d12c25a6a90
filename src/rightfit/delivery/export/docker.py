"""Docker: everything that `docker build` needs, with pinned requirements of serving alone and this very rightfit."""

from __future__ import annotations

import sys
from pathlib import Path

from rightfit.delivery.export import Target, _needs
from rightfit.delivery.export._card import card
from rightfit.package import LoadedModel, write

OPENMP = frozenset({"lightgbm", "xgboost", "xgboost-cpu", "catboost"})  # their wheels leave libgomp to the system
_DOCKERFILE = """FROM python:{python}-slim
{system}WORKDIR /app
COPY requirements.txt {wheel} ./
RUN pip install --no-cache-dir --no-compile -r requirements.txt \\
 && pip install --no-cache-dir --no-compile --no-deps {wheel} && rm {wheel}
COPY package ./package
RUN useradd --system --uid 10001 rightfit
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s CMD ["python", "-c", \\
  "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["rightfit", "serve", "package", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--token-file", "/run/secrets/token"]
"""
_SYSTEM = """RUN apt-get update \\
 && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
"""
_USE = """
## Run it

```bash
docker build -t model .
openssl rand -hex 32 > token
docker run --rm -p 8000:8000 -v "$PWD/token:/run/secrets/token:ro" model
curl -H "Authorization: Bearer $(cat token)" -H 'content-type: application/json' -d '{...}' localhost:8000/predict
```

The token must be readable by user 10001. Options of `rightfit serve` may follow the image's name, `--token-file
/run/secrets/token` among them then.
"""


def _write(model: LoadedModel, package: Path, folder: Path) -> None:
    write.install(package, folder / "package")
    needs = _needs.serving(model)
    names = {line.partition("==")[0].lower() for line in needs}
    system = _SYSTEM if names & OPENMP else ""
    wheel = _needs.wheel(folder).name
    (folder / "requirements.txt").write_text("\n".join(needs) + "\n", encoding="utf-8")
    (folder / "Dockerfile").write_text(_DOCKERFILE.format(
        python=f"{sys.version_info.major}.{sys.version_info.minor}", system=system, wheel=wheel), encoding="utf-8")
    (folder / ".dockerignore").write_text("*\n!Dockerfile\n!requirements.txt\n!package\n!*.whl\n", encoding="utf-8")
    (folder / "README.md").write_text(card(model) + _USE, encoding="utf-8")


SPEC = Target(name="docker", write=_write, doc="a Dockerfile with pinned requirements of serving alone")
