"""Which distribution brings a module: asked of what is installed here, else of a table of those whose names differ."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from importlib import metadata

from shipway.spec.words import normal_name

__all__ = ["brings", "distribution_of", "imported_name", "installed", "likely_name"]

_DIFFERENT = {
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "bson": "pymongo",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "decouple": "python-decouple",
    "dns": "dnspython",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "environ": "django-environ",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "flask_cors": "flask-cors",
    "flask_sqlalchemy": "flask-sqlalchemy",
    "git": "gitpython",
    "github": "pygithub",
    "googleapiclient": "google-api-python-client",
    "gridfs": "pymongo",
    "grpc": "grpcio",
    "imblearn": "imbalanced-learn",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "multipart": "python-multipart",
    "mysql": "mysql-connector-python",
    "nacl": "pynacl",
    "pkg_resources": "setuptools",
    "psycopg2": "psycopg2-binary",
    "pythonjsonlogger": "python-json-logger",
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

_NAMESPACES = frozenset({
    "azure", "backports", "databricks", "google", "jaraco", "llama_index", "nvidia", "opencensus", "opentelemetry",
    "ruamel", "snowflake", "sphinxcontrib", "zope",
})  # fmt: skip
"""Packages in which many distributions put their own: the first part of a name does not tell which (PEP 420)."""

_SHARED = {
    "azure.storage.filedatalake": "azure-storage-file-datalake",
    "azure.storage.fileshare": "azure-storage-file-share",
    "databricks.sql": "databricks-sql-connector",
    "google.cloud.pubsub_v1": "google-cloud-pubsub",
    "google.cloud.secretmanager": "google-cloud-secret-manager",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "google.pubsub_v1": "google-cloud-pubsub",
    "opentelemetry.context": "opentelemetry-api",
    "opentelemetry.metrics": "opentelemetry-api",
    "opentelemetry.propagate": "opentelemetry-api",
    "opentelemetry.trace": "opentelemetry-api",
    "snowflake.connector": "snowflake-connector-python",
    "snowflake.snowpark": "snowflake-snowpark-python",
}
"""Packages in a namespace whose distribution has another name than they."""

_NAMED_ALIKE = """
azure.ai.formrecognizer azure.ai.inference azure.ai.ml azure.ai.textanalytics azure.cognitiveservices.speech azure.core
azure.cosmos azure.data.tables azure.eventhub azure.functions azure.identity azure.keyvault.certificates
azure.keyvault.keys azure.keyvault.secrets azure.monitor.opentelemetry azure.search.documents azure.servicebus
azure.storage.blob azure.storage.queue databricks.sdk google.api_core google.auth google.cloud.aiplatform
google.cloud.bigquery google.cloud.bigquery_storage google.cloud.bigtable google.cloud.datastore google.cloud.documentai
google.cloud.firestore google.cloud.kms google.cloud.language google.cloud.logging google.cloud.ndb google.cloud.pubsub
google.cloud.run google.cloud.spanner google.cloud.speech google.cloud.storage google.cloud.tasks
google.cloud.texttospeech google.cloud.translate google.cloud.vision google.genai google.generativeai llama_index.core
opentelemetry.instrumentation.django opentelemetry.instrumentation.fastapi opentelemetry.instrumentation.flask
opentelemetry.instrumentation.requests opentelemetry.sdk ruamel.yaml zope.component zope.event zope.interface
"""
"""Packages in a namespace whose distribution has their name with hyphens."""

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


def imported_name(dotted: str) -> str:
    """Gives as much of a module's name as tells its distribution: the first part, more of what lies in a namespace.

    Args:
        dotted: what is imported: `sklearn.svm`, `google.cloud.storage.Client`.
    """
    top = dotted.partition(".")[0]
    return next(_known_parts(dotted), dotted) if top in _NAMESPACES else top


def distribution_of(module: str) -> str | None:
    """Gives the distribution that brings a module, normalised; its own name where nothing better is known.

    Args:
        module: as `imported_name` gives it; None comes of one in a namespace whose distribution is not known.
    """
    if module.partition(".")[0] in _NAMESPACES:
        known = next(_known_parts(module), None)
        return None if known is None else _SHARED.get(known) or normal_name(known)
    brought = _brought().get(module, ())
    return normal_name(brought[0] if brought else _DIFFERENT.get(module, module))


def brings(distribution: str, module: str) -> bool:
    """Whether a distribution brings a module, as far as names say it.

    One whose name goes on where the module's ends is another build of it (`tensorflow-cpu`), a part of it
    (`google-cloud-storage`) or an extension that needs it (`flask-cors`); type stubs alone do not need what they type.

    Args:
        distribution: normalised.
        module: as `imported_name` gives it.
    """
    if distribution == distribution_of(module):
        return True
    if module.partition(".")[0] in _NAMESPACES and "-" in distribution:
        whole = normal_name(module)
        return f"{whole}-".startswith(f"{distribution}-") or f"{distribution}-".startswith(f"{whole}-")
    family = _FAMILIES.get(module, normal_name(module))
    return f"{distribution}-".startswith(f"{family}-") and not distribution.endswith("-stubs")


def likely_name(name: str) -> str | None:
    """Gives the distribution that a wrong name was meant to be; None where the name is a known one, or like none.

    Args:
        name: as somebody wrote it.
    """
    modules = {normal_name(module): distribution for module, distribution in (_DIFFERENT | _SHARED).items()}
    if normal_name(name) in modules and modules[normal_name(name)] != normal_name(name):
        return modules[normal_name(name)]
    known = {*_KNOWN.split(), *_DIFFERENT.values()}
    if normal_name(name) in known or installed(name) is not None:
        return None
    return next((one for one in sorted(known) if _one_slip(normal_name(name), one)), None)


def _known_parts(dotted: str) -> Iterator[str]:
    """Gives the beginnings of a name whose distribution is known, the longest first."""
    parts, known = dotted.split("."), {*_SHARED, *_NAMED_ALIKE.split()}
    for end in range(len(parts), 1, -1):
        name = ".".join(parts[:end])
        if name in known:
            yield name


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
