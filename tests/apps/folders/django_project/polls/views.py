import json

from django.http import HttpResponse, JsonResponse


def price(request):
    rooms = json.loads(request.body)["rooms"]
    return JsonResponse({"price": 1000 / rooms})


def metrics(request):
    return HttpResponse("mine 1\n")
