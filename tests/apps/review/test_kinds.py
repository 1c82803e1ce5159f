"""Every kind of finding is shown by one tiny folder, and not by the same folder done right."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import shipway.apps.review as room
from fakes.reviews import FLASK, Case, app
from shipway.apps.files import LeftOut
from shipway.apps.review.facts import ModelFile

SETTINGS = "INSTALLED_APPS = ['django.contrib.staticfiles']\nALLOWED_HOSTS = ['x.example']\n"
DJANGO = {"wsgi.py": "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"}
DOCKER = (
    "FROM python:3.11-slim\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install --no-cache-dir -r requirements.txt\n"
)
END = 'COPY . .\nUSER 1000\nEXPOSE 8000\nCMD ["gunicorn", "app:app"]\n'
POD = """
    spec:
      containers:
        - name: app
          image: shop:1
          resources: {}
          readinessProbe: {}
          ports: [{containerPort: 8000}]
"""
DEPLOYMENT = f"""apiVersion: apps/v1
kind: Deployment
metadata: {{name: shop}}
spec:
  selector: {{matchLabels: {{app: shop}}}}
  template:
    metadata: {{labels: {{app: shop}}}}{POD}"""
SERVICE = f"""{DEPLOYMENT}---
apiVersion: v1
kind: Service
metadata: {{name: shop}}
spec:
  selector: {{app: shop}}
  ports: [{{port: 80, targetPort: 8000}}]
"""
LOAD = "import joblib\nmodel = joblib.load('model.joblib')\n"


def docker(text: str) -> dict[str, str]:
    return {**app(""), "Dockerfile": text}


def manifest(text: str) -> dict[str, str]:
    return {**app(""), "k8s.yaml": text}


def settings(text: str) -> dict[str, str]:
    return {**DJANGO, "settings.py": text}


SOURCE = (
    Case(
        "numpy-answer", "app.py:5",
        app("@app.get('/')\ndef f():\n    return jsonify(y=model.predict([[1]]))\n"),
        app("@app.get('/')\ndef f():\n    return jsonify(y=model.predict([[1]]).tolist())\n"),
        "error", "write return jsonify(y=model.predict([[1]]).tolist())",
    ),
    Case(
        "run", "app.py:4",
        app("if __name__ == '__main__':\n    app.run(debug=True, port=80)\n"), app("import subprocess\n"),
        "note", "nothing to do",
    ),
    Case(
        "run-at-import", "app.py:3",
        app("app.run()\n"), app("if __name__ == '__main__':\n    app.run()\n"),
        "error", '__name__ == "__main__"',
    ),
    Case("debug", "app.py:3", app("app.debug = True\n"), app("app.debug = False\n"), "note", "False"),
    Case(
        "content-type", "app.py:5",
        app("@app.post('/')\ndef f():\n    return request.get_json()\n"),
        app("@app.post('/')\ndef f():\n    return request.get_json(force=True)\n"),
        "note", "force=True",
    ),
    Case(
        "train-at-import", "app.py:3",
        app("model = LinearRegression().fit(X, y)\n"), app("def train():\n    return LinearRegression().fit(X, y)\n"),
        "note", "joblib.dump",
    ),
    Case(
        "starts-at-import", "app.py:4",
        app("import threading\nthreading.Thread(target=work).start()\n"),
        app("import threading\nlater = threading.Thread(target=work)\n"),
        "warning", "start-up event",
    ),
    Case(
        "starts-at-import", "app.py:4",
        app("scheduler = BackgroundScheduler()\nscheduler.start()\n"),
        app("scheduler = BackgroundScheduler()\n\ndef main():\n    scheduler.start()\n"),
        "warning", "CronJob",
    ),
    Case(
        "monkey-patch", "app.py:4",
        app("from gevent import monkey\nmonkey.patch_all()\n"),
        app("from gevent import monkey\nif __name__ == '__main__':\n    monkey.patch_all()\n"),
        "error", "remove it",
    ),
    Case(
        "monkey-patch", "app.py:4",
        app("import eventlet\neventlet.monkey_patch()\n"), app("import eventlet\n"),
        "error", "on threads",
    ),
    Case(
        "secret", "app.py:3",
        app("app.secret_key = 'hunter2hunter2'\n"), app("import os\napp.secret_key = os.environ['SECRET_KEY']\n"),
        "warning", 'os.environ["SECRET_KEY"]',
    ),
    Case(
        "secret", "app.py:3",
        app(f"key = 'AKIA{'Z' * 16}'\n"), app("key = 'AKIA'\n"),
        "error", "revoke",
    ),
    Case(
        "cors", "app.py:4",
        app("from flask_cors import CORS\nCORS(app, supports_credentials=True)\n"),
        app("from flask_cors import CORS\nCORS(app, origins=['https://x.example'], supports_credentials=True)\n"),
        "warning", "origins=",
    ),
    Case(
        "cors", "main.py:4",
        {"main.py": "from fastapi import FastAPI\nfrom fastapi.middleware.cors import CORSMiddleware\napp = FastAPI()\n"
                    "app.add_middleware(CORSMiddleware, allow_origins=['*'], allow_credentials=True)\n"},
        {"main.py": "from fastapi import FastAPI\nfrom fastapi.middleware.cors import CORSMiddleware\napp = FastAPI()\n"
                    "app.add_middleware(CORSMiddleware, allow_origins=['*'])\n"},
        "warning", "allow_origins=",
    ),
    Case("file-missing", "app.py:4", app(LOAD), {**app(LOAD), "model.joblib": ""}, "error", "copy model.joblib"),
    Case(
        "file-missing", "app.py:4", app(LOAD), {**app(LOAD), "model.joblib": ""}, "error", "--include model.joblib",
        known={"left_out": (LeftOut("model.joblib", ".dockerignore:2"),)},
    ),
    Case(
        "file-missing", "app.py:4",
        app("def f():\n    return open('words.txt').read()\n"), {**app("open('words.txt')\n"), "words.txt": ""},
        "warning", "copy words.txt",
    ),
    Case(
        "path-outside", "app.py:3",
        app("data = '/home/ada/shop/model.pkl'\n"), app("'''Once in /home/ada/shop/model.pkl'''\n"),
        "error", "'model.pkl'",
    ),
    Case(
        "path-outside", "app.py:3",
        app("data = r'C:\\models\\model.pkl'\n"), app("data = 'c:d'\n"),
        "error", "'model.pkl'",
    ),
    Case(
        "path-outside", "app.py:4",
        app("import pandas as pd\ntable = pd.read_csv('/data/prices.csv')\n"),
        {**app("import pandas as pd\ntable = pd.read_csv('prices.csv')\n"), "prices.csv": ""},
        "error", "into the folder",
    ),
    Case(
        "writes", "app.py:4",
        app("def f():\n    open('log.txt', 'a').write('x')\n"),
        app("def f():\n    open('/tmp/log.txt', 'a').write('x')\n"),
        "warning", "/tmp",
    ),
    Case(
        "writes", "app.py:3",
        app("app.config['SQLALCHEMY_DATABASE_URI'] = 'sqlite:///shop.db'\n"),
        app("app.config['SQLALCHEMY_DATABASE_URI'] = 'sqlite:///:memory:'\n"),
        "warning", "database",
    ),
    Case(
        "workdir", "app.py:4",
        {**app(LOAD), "model.joblib": "", "Dockerfile": "FROM python:3.11\nCOPY . /srv\nWORKDIR /srv/shop\n"},
        {**app(LOAD), "model.joblib": "", "Dockerfile": "FROM python:3.11\nCOPY . /srv\nWORKDIR /srv\n"},
        "note", "/srv/shop",
    ),
    Case("syntax", "app.py:3", app("def f(:\n"), app("def f(): ...\n"), "error", "line 3"),
    Case("no-app", ".", {"notes.py": "x = 1\n"}, app(""), "error", ""),
    Case(
        "no-app", ".", {"a.py": FLASK, "b.py": FLASK}, {"a.py": FLASK, "b.py": "import a\n"}, "error", "--app",
    ),
)  # fmt: skip

PROJECT = (
    Case(
        "allowed-hosts", "settings.py:2",
        settings("INSTALLED_APPS = []\nALLOWED_HOSTS = []\n"), settings(SETTINGS), "error", "ALLOWED_HOSTS = [",
    ),
    Case(
        "static-files", "settings.py:1",
        settings(SETTINGS),
        settings(SETTINGS + "MIDDLEWARE = ['whitenoise.middleware.WhiteNoiseMiddleware']\n"), "note", "WhiteNoise",
    ),
    Case(
        "writes", "settings.py:3",
        settings(SETTINGS + "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3'}}\n"),
        settings(SETTINGS + "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}\n"),
        "warning", "database server",
    ),
)  # fmt: skip

DOCKERFILES = (
    Case("no-base", "Dockerfile", docker("# nothing yet\n"), docker(DOCKER + END), "error", "FROM"),
    Case(
        "old-base", "Dockerfile:1",
        docker((DOCKER + END).replace("3.11", "3.8")), docker(DOCKER + END), "warning", "FROM python:3.11-slim",
    ),
    Case(
        "other-python", "Dockerfile:1",
        docker((DOCKER + END).replace("3.11", "3.13")), docker(DOCKER + END), "note", "FROM python:3.11-slim",
    ),
    Case(
        "base-unpinned", "Dockerfile:1",
        docker((DOCKER + END).replace(":3.11-slim", "")), docker(DOCKER + END), "warning", "FROM python:3.11-slim",
    ),
    Case(
        "root-user", "Dockerfile:1",
        docker((DOCKER + END).replace("USER 1000\n", "")), docker(DOCKER + END), "warning", "USER 1000",
    ),
    Case(
        "secret", "Dockerfile:2",
        docker("FROM python:3.11\nENV MODE=fast DB_PASSWORD=hunter2\n"),
        docker("FROM python:3.11\nENV MAX_TOKENS=9\nENV DB_PASSWORD=\n"), "warning", "take it out",
    ),
    Case(
        "copy-order", "Dockerfile:2",
        docker("FROM python:3.11\nCOPY . /app\nRUN pip install -r /app/requirements.txt\n"), docker(DOCKER + END),
        "note", "COPY requirements.txt",
    ),
    Case(
        "pip-cache", "Dockerfile:4",
        docker(DOCKER.replace("--no-cache-dir ", "")),
        docker("FROM x:1\nENV PIP_NO_CACHE_DIR=1\nRUN pip install flask\n"),
        "note", "--no-cache-dir",
    ),
    Case(
        "no-dockerignore", "Dockerfile:5",
        docker(DOCKER + END), {**docker(DOCKER + END), ".dockerignore": ".git\n"}, "warning", ".git",
        known={"left_out": (LeftOut(".git/", "git's"),)}, known_right={"left_out": (LeftOut(".git/", "git's"),)},
    ),
    Case(
        "development-server", "Dockerfile:8",
        docker(DOCKER + END.replace('"gunicorn", "app:app"', '"python", "app.py"')), docker(DOCKER + END),
        "warning", '"gunicorn", "app:app"',
    ),
    Case(
        "port", "Dockerfile:7",
        docker(DOCKER + END.replace('"app:app"', '"--bind", "0.0.0.0:5000", "app:app"')), docker(DOCKER + END),
        "warning", "EXPOSE 5000",
    ),
    Case(
        "system-packages", "Dockerfile:5",
        docker(DOCKER + "RUN apt-get update && apt-get install -y libgomp1\n" + END), docker(DOCKER + END),
        "warning", "--base",
    ),
)  # fmt: skip

LISTED = (
    Case(
        "no-requirements", "requirements.txt",
        app(""), {**app(""), "requirements.txt": "flask==3.1.0\n"}, "error", "flask==3.1.0",
    ),
    Case(
        "unpinned", "requirements.txt:1",
        {**app(""), "requirements.txt": "flask>=2\n"}, {**app(""), "requirements.txt": "flask==3.1.0\n"},
        "warning", "flask==3.1.0",
    ),
    Case(
        "unpinned", "requirements.txt:1",
        {**app(""), "requirements.txt": "flask[async]\n"}, {**app(""), "requirements.txt": "flask[async]==3.1.0\n"},
        "warning", "flask[async]==3.1.0",
    ),
    Case(
        "not-listed", "app.py:3",
        {**app("import pandas\n"), "requirements.txt": "flask\n"},
        {**app("import pandas\n"), "requirements.txt": "flask\npandas\n"}, "error", "pandas==2.2.3",
    ),
    Case(
        "not-imported", "requirements.txt:2",
        {**app(""), "requirements.txt": "flask\npandas\n"},
        {**app("import pandas\n"), "requirements.txt": "flask\npandas\ngunicorn\n"}, "note", "remove the line",
    ),
    Case(
        "requirement-typo", "requirements.txt:2",
        {**app("import sklearn\n"), "requirements.txt": "flask\nsklearn\n"},
        {**app("import sklearn\n"), "requirements.txt": "flask\nscikit-learn\n"}, "error", "scikit-learn",
    ),
    Case(
        "requirement", "requirements.txt:2",
        {**app(""), "requirements.txt": "flask\n-e ./lib\n"}, {**app(""), "requirements.txt": "flask\n"}, "error", "",
    ),
    Case(
        "requirement", "requirements.txt:1",
        {**app(""), "requirements.txt": "flask==3.0.0\nflask==2.0.0\n"},
        {**app(""), "requirements.txt": "flask==3.0.0\nflask>=2\n"}, "error", "flask",
    ),
    Case(
        "other-version", "requirements.txt:1",
        {**app(""), "requirements.txt": "flask==3.0.0\n"}, {**app(""), "requirements.txt": "flask==3.1.0\n"},
        "note", 'pip install "flask==3.0.0"',
    ),
    Case(
        "other-version", "limits.txt:1",
        {**app(""), "requirements.txt": "flask\n-c limits.txt\n", "limits.txt": "flask<3\n"},
        {**app(""), "requirements.txt": "flask\n-c limits.txt\n", "limits.txt": "flask<4\nnever<1\n"},
        "note", 'pip install "flask<3"',
    ),
    Case(
        "unpinned", "requirements.txt:1",
        {**app(""), "requirements.txt": "flask\n-c limits.txt\n", "limits.txt": "flask<4\n"},
        {**app(""), "requirements.txt": "flask\n-c limits.txt\n", "limits.txt": "flask==3.1.0\n"},
        "warning", "flask==3.1.0",
    ),
    Case(
        "not-listed", "app.py:3",
        {**app("import google.nowhere\n"), "requirements.txt": "flask\n"},
        {**app("import google.nowhere\n"), "requirements.txt": "flask\ngoogle-nowhere\n"},
        "error", "add the distribution that has google.nowhere to requirements.txt",
    ),
    Case(
        "no-requirements", "requirements.txt", app("import google.nowhere\n"),
        {**app(""), "requirements.txt": "flask==3.1.0\n"}, "error", "flask==3.1.0, what has google.nowhere",
    ),
    Case(
        "no-requirements", "requirements.txt", app(""),
        {**app(""), "Dockerfile": "FROM x\nRUN pip install flask\n"}, "error", "flask==3.1.0",
    ),
    *(
        Case(
            "lock-unread", name, app(""), {**app(""), "requirements.txt": "flask\n"}, "warning", fix,
            known={"present": (name,)}, known_right={"present": (name,)},
        )
        for name, fix in (
            ("Pipfile.lock", "pipenv requirements"), ("environment.yml", "write requirements.txt"),
            ("pdm.lock", "pdm export"), ("poetry.lock", "poetry export"),
            ("uv.lock", "uv export --format requirements-txt"),
        )
    ),
    Case(
        "lock-unread", "uv.lock", {**app(""), "pyproject.toml": "[project]\ndependencies = ['flask']\n"}, app(""),
        "warning", "uv export", known={"present": ("uv.lock",)},
    ),
    Case(
        "another-app", "app.py:3", app("admin = Flask('x')\n"), app("app.register_blueprint(1)\n"), "note",
        "--app app:admin",
    ),
)  # fmt: skip


def model(**facts: object) -> dict[str, object]:
    return {"models": (ModelFile("model.joblib", **facts),)}  # type: ignore[arg-type]


GOOD = model(framework="sklearn", versions=("1.6.1",))
PINNED = {**app(""), "requirements.txt": "flask\nscikit-learn==1.6.1\n"}
INSIDE = app(LOAD + "@app.post('/')\ndef f():\n    return jsonify(model.predict([request.get_json()]).tolist())\n")
MORE = app(LOAD + "@app.post('/')\ndef f():\n    return jsonify(model.predict(clean(request.get_json())).tolist())\n")

MODELS = (
    Case("lfs-pointer", "model.joblib", PINNED, PINNED, "error", "git lfs pull", model(pointer=True), GOOD),
    Case("broken-model", "model.joblib", PINNED, PINNED, "error", "again", model(broken="no end"), GOOD),
    Case("dangerous-pickle", "model.joblib", PINNED, PINNED, "error", "do not", model(dangerous=("os.system",)), GOOD),
    Case("main-pickle", "model.joblib", PINNED, PINNED, "error", "move Cut", model(main=("Cut",)), GOOD),
    Case(
        "model-version", "model.joblib", PINNED, PINNED, "error", "scikit-learn==1.2.2",
        model(versions=("1.2.2",)), GOOD,
    ),
    Case(
        "model-version", "model.joblib", app(""), app(""), "warning", "scikit-learn==1.2.2",
        {**model(versions=("1.2.2",)), "installed": {}}, model(versions=("1.6.1",)),
    ),
    Case(
        "model-inside", "model.joblib", INSIDE, MORE, "note", "shipway pack shop/model.joblib --name model", GOOD, GOOD,
    ),
)  # fmt: skip

MANIFESTS = (
    Case(
        "manifest-key", "k8s.yaml:3",
        manifest(DEPLOYMENT.replace("metadata: {name", "meta: {name")), manifest(DEPLOYMENT),
        "error", "write metadata:",
    ),
    Case(
        "manifest-key", "k8s.yaml:1",
        manifest(DEPLOYMENT.replace("metadata: {name: shop}\n", "")), manifest(DEPLOYMENT),
        "error", "shipway render shop",
    ),
    Case(
        "manifest-kind", "k8s.yaml:2",
        manifest(DEPLOYMENT.replace("kind: Deployment", "kind: Deploymnet")), manifest(DEPLOYMENT),
        "error", "kind: Deployment",
    ),
    Case(
        "manifest-version", "k8s.yaml:1",
        manifest(DEPLOYMENT.replace("apps/v1", "extensions/v1beta1")), manifest(DEPLOYMENT),
        "error", "apiVersion: apps/v1",
    ),
    Case(
        "manifest-selector", "k8s.yaml:5",
        manifest(DEPLOYMENT.replace("matchLabels: {app: shop}", "matchLabels: {app: other}")), manifest(DEPLOYMENT),
        "error", "same labels",
    ),
    Case(
        "manifest-selector", "k8s.yaml:20",
        manifest(SERVICE.replace("  selector: {app: shop}\n  ports", "  selector: {app: other}\n  ports")),
        manifest(SERVICE),
        "error", "pod's labels",
    ),
    Case(
        "manifest-image", "k8s.yaml:11",
        manifest(DEPLOYMENT.replace("shop:1", "shop:latest")), manifest(DEPLOYMENT), "warning", "tag",
    ),
    Case(
        "manifest-resources", "k8s.yaml:10",
        manifest(DEPLOYMENT.replace("          resources: {}\n", "")), manifest(DEPLOYMENT),
        "warning", "shipway render",
    ),
    Case(
        "manifest-probes", "k8s.yaml:10",
        manifest(DEPLOYMENT.replace("          readinessProbe: {}\n", "")), manifest(DEPLOYMENT),
        "warning", "shipway render",
    ),
    Case(
        "manifest-port", "k8s.yaml:21",
        manifest(SERVICE.replace("targetPort: 8000", "targetPort: 5000")), manifest(SERVICE), "error", "pod's port",
    ),
    Case(
        "manifest-port", "k8s.yaml:14",
        {**manifest(DEPLOYMENT), "Dockerfile": "FROM x:1\nEXPOSE 9000\n"}, manifest(DEPLOYMENT),
        "warning", "write 9000",
    ),
    Case("yaml", "k8s.yaml:3", manifest("kind: Pod\nmetadata: {\n"), manifest(DEPLOYMENT), "error", "shipway render"),
)  # fmt: skip

CASES = (*SOURCE, *PROJECT, *DOCKERFILES, *LISTED, *MODELS, *MANIFESTS)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_wrong_is_found_with_its_place_and_its_mend(case: Case) -> None:
    found = case.found()
    assert [(one.where, one.severity) for one in found] == [(case.where, case.severity)]
    assert case.fix in found[0].fix
    assert found[0].fix
    assert found[0].what
    assert not found[0].what.endswith(".")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_right_is_not_found(case: Case) -> None:
    assert case.found_right() == []


def test_every_kind_of_finding_has_a_case() -> None:
    folder = Path(str(room.__file__)).parent
    calls = [
        node
        for file in (*folder.glob("*.py"), folder.parent / "findings.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
    ]
    kinds = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    # Those of files and of answers are tested with them: test_findings, test_sample.
    assert kinds - {case.kind for case in CASES} == {"folder", "sample-refused"}
