"""HTTP: a front turns bytes into an `HttpRequest`, the app answers with an `HttpResponse`; one file a protocol."""
