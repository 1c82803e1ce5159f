from django.urls import path
from polls import views

urlpatterns = [path("price/", views.price), path("metrics", views.metrics)]
