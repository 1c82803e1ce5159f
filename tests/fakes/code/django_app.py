"""A Django project in one file that uses what apps use; served by gunicorn and by Shipway in tests."""

from __future__ import annotations

import json as json_module
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path as route

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="of tests",
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    LOGGING_CONFIG=None,
)


def home(request: Any) -> HttpResponse:
    return HttpResponse("home")


def json(request: Any) -> HttpResponse:
    try:
        return JsonResponse({"got": json_module.loads(request.body)})
    except ValueError:
        return JsonResponse({"error": "no JSON"}, status=400)


def away(request: Any) -> HttpResponse:
    return HttpResponseRedirect("/elsewhere")


def cookies(request: Any) -> HttpResponse:
    answer = JsonResponse(request.COOKIES)
    answer.set_cookie("first", "1", httponly=True)
    answer.set_cookie("second", "2")
    return answer


def query(request: Any) -> HttpResponse:
    return JsonResponse(dict(request.GET.lists()))


def path(request: Any, rest: str) -> HttpResponse:
    return JsonResponse({"rest": rest, "path": request.path})


def stream(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse((f"part {number}\n" for number in range(5)), content_type="text/plain")


def empty(request: Any) -> HttpResponse:
    return HttpResponse(status=204)


def raises(request: Any) -> HttpResponse:
    raise ValueError("as apps do")


def length(request: Any) -> HttpResponse:
    return HttpResponse(str(sum(request.read())))


def form(request: Any) -> HttpResponse:
    upload = request.FILES.get("upload")
    return JsonResponse({"form": request.POST.dict(), "upload": upload.size if upload else None})


def large(request: Any) -> HttpResponse:
    return HttpResponse(b"z" * 3_000_000)


urlpatterns = [
    route("", home),
    route("json", json),
    route("redirect", away),
    route("cookies", cookies),
    route("query", query),
    route("path/<path:rest>", path),
    route("stream", stream),
    route("empty", empty),
    route("raises", raises),
    route("length", length),
    route("form", form),
    route("large", large),
]
app = get_wsgi_application()
