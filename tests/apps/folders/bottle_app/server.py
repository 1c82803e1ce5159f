from bottle import Bottle, request, run

app = Bottle()


@app.post("/double")
def double():
    return {"double": 2 * request.json["number"]}


if __name__ == "__main__":
    run(app, host="localhost", port=8080)
