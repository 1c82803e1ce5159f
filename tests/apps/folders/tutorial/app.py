import joblib
from flask import Flask, jsonify, request

app = Flask(__name__)
model = joblib.load('model.joblib')


@app.route('/', methods=['POST'])
def predict():
    data = request.get_json()
    prediction = model.predict(data)
    return jsonify({'prediction': prediction})


if __name__ == '__main__':
    app.run(debug=True, host='0.0.0.0', port=8000)
