"""Which distribution brings a module: asked of what is installed here, else of a table of those whose names differ."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import metadata

from shipway.spec.words import normal_name

__all__ = ["brings", "distribution_of", "installed", "likely_name"]

_DIFFERENT: Mapping[str, str] = {
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "decouple": "python-decouple",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "environ": "django-environ",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "flask_cors": "flask-cors",
    "flask_sqlalchemy": "flask-sqlalchemy",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "multipart": "python-multipart",
    "pkg_resources": "setuptools",
    "psycopg2": "psycopg2-binary",
    "rest_framework": "djangorestframework",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "socketio": "python-socketio",
    "telegram": "python-telegram-bot",
    "umap": "umap-learn",
    "usb": "pyusb",
    "win32api": "pywin32",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}

_FAMILIES: Mapping[str, str] = {"cv2": "opencv"}
"""How the names of all distributions of a module begin, where it is not with its own."""

_KNOWN = """
aiohttp alembic altair annoy anyio apscheduler asyncpg beautifulsoup4 bottle boto3 botocore catboost celery channels
click cloudpickle cryptography dash datasets django django-cors-headers django-environ djangorestframework docker
fastapi falcon flask flask-cors flask-login flask-migrate flask-restful flask-sqlalchemy flask-wtf gevent gensim
gradio greenlet gunicorn h5py httpx hypercorn imbalanced-learn itsdangerous jinja2 joblib jsonschema keras langchain
lightgbm litestar loguru lxml markdown markupsafe marshmallow matplotlib mlflow motor msgpack mysqlclient networkx
nltk numba numpy onnx onnxruntime openai opencv-python opencv-python-headless openpyxl orjson pandas passlib pillow
plotly polars prometheus-client protobuf psycopg psycopg2 psycopg2-binary pyarrow pydantic pydantic-settings pyjwt
pymongo pymssql pymysql pyodbc pytest python-dateutil python-dotenv python-jose python-multipart pytz pyyaml quart
redis regex requests sanic scikit-image scikit-learn scipy seaborn sentence-transformers sentencepiece setuptools shap
six spacy sqlalchemy sqlmodel starlette statsmodels streamlit sympy tensorflow tensorflow-cpu tensorflow-gpu tiktoken
tokenizers torch torchaudio torchvision tornado tqdm transformers typer typing-extensions ujson urllib3 uvicorn uvloop
uwsgi waitress websockets werkzeug wheel whitenoise wtforms xgboost
"""


def installed(name: str) -> str | None:
    """Gives the version of a distribution that is installed here; None where it is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def distribution_of(module: str) -> str:
    """Gives the distribution that brings a module, normalised; its own name where nothing better is known.

    Args:
        module: the first part of its name.
    """
    brought = _brought().get(module, ())
    return normal_name(brought[0] if brought else _DIFFERENT.get(module, module))


def brings(distribution: str, module: str) -> bool:
    """Whether a distribution brings a module, as far as names say it.

    One whose name goes on where the module's ends is another build of it (`tensorflow-cpu`), a part of it
    (`google-cloud-storage`) or an extension that needs it (`flask-cors`); type stubs alone do not need what they type.

    Args:
        distribution: normalised.
        module: the first part of its name.
    """
    if distribution == distribution_of(module):
        return True
    family = _FAMILIES.get(module, normal_name(module))
    return f"{distribution}-".startswith(f"{family}-") and not distribution.endswith("-stubs")


def likely_name(name: str) -> str | None:
    """Gives the distribution that a wrong name was meant to be; None where the name is a known one, or like none.

    Args:
        name: as somebody wrote it.
    """
    modules = {normal_name(module): distribution for module, distribution in _DIFFERENT.items()}
    if normal_name(name) in modules and modules[normal_name(name)] != normal_name(name):
        return modules[normal_name(name)]
    known = {*_KNOWN.split(), *_DIFFERENT.values()}
    if normal_name(name) in known or installed(name) is not None:
        return None
    return next((one for one in sorted(known) if _one_slip(normal_name(name), one)), None)


def _one_slip(written: str, meant: str) -> bool:
    """Whether two names are one letter more, less or other apart, or two swapped; a digit added makes another name."""
    if written[-1:].isdigit() and written[:-1] == meant:
        return False
    while written and meant and written[0] == meant[0]:
        written, meant = written[1:], meant[1:]
    while written and meant and written[-1] == meant[-1]:
        written, meant = written[:-1], meant[:-1]
    return max(len(written), len(meant)) == 1 or (len(written) == 2 and written == meant[::-1])


@functools.cache
def _brought() -> Mapping[str, tuple[str, ...]]:
    """Gives the installed distributions of each module; what is installed does not change under a process."""
    return {module: tuple(sorted(names)) for module, names in metadata.packages_distributions().items()}
