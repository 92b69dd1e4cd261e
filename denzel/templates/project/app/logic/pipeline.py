"""The pipeline: how a request becomes a prediction.

denzel calls the four functions below; write their bodies and keep their names.

    verify_input(json_data)      for each request, in the API, before it is accepted
    load_model()                 once, when the worker starts
    process(model, json_data)    for each request, in the worker
    predict(model, data)         for each request, in the worker

Paths are relative to the project's directory, the one that holds requirements.txt.  Import
heavy packages inside the functions that run in the worker if the API should stay small: the
API imports this file, too.  Changes take effect with ``denzel reload``.

Code of your own goes into other files of ``app/logic`` best, imported here with
``from app.logic import my_file``.
"""

from typing import Any


# -------- Runs in the API --------
def verify_input(json_data: Any) -> Any:
    """Refuse what the model cannot predict for; return what ``process`` shall get.

    ``json_data`` is the parsed body of the request.  Raise any exception to refuse it: the
    sender is answered 400 with the exception's text.  The return value travels to the worker
    as JSON.
    """
    return json_data


# -------- Run in the worker --------
def load_model() -> Any:
    """Return the model, ready to predict.

    Called once before any prediction, and never in the API.  On GPUs it is called once in each
    worker process, which sees one GPU alone.  What it returns is the ``model`` of the functions
    below; a tuple or a dictionary of several objects is fine.
    """
    return None


def process(model: Any, json_data: Any) -> Any:
    """Return the data that ``predict`` needs, made from what ``verify_input`` returned.

    ``model`` is there for what was loaded beside it: a tokenizer, a scaler, a vocabulary.  The
    return value may be any Python object.
    """
    return json_data


def predict(model: Any, data: Any) -> dict[str, Any]:
    """Return the answer to one request: a dictionary that JSON can hold.

    ``data`` is what ``process`` returned.  NumPy numbers and arrays inside the dictionary are
    fine; they become JSON numbers and lists.
    """
    return {}


# -------- Optional, runs in the worker --------
# Define predict_batch(model, batch) as well when the model is faster on many inputs at once.
# `batch` is a list of what `process` returned, one item for each request; return a list of
# dictionaries in the same order, each what `predict` would have returned.  denzel then calls it
# instead of `predict`, with all the requests that wait at that moment, be it one or many.

# -------- Optional --------
# A request as the API gets it.  `denzel check` and `denzel predict` use it when no file is given,
# and each worker process predicts it before it is UP, so that no client waits for a slow start.
#
# EXAMPLE = {"data": {"a123": {"sepal-length": 4.6}}}
#
# What requests and answers look like, as a JSON Schema or a pydantic model.  A request that is not
# as REQUEST says is answered 400 before verify_input is called.  The API's description
# (/openapi.json) and the form on its page are made from both.
#
# REQUEST = {"type": "object", "properties": {"data": {"type": "object"}}, "required": ["data"]}
# RESPONSE = {"type": "object", "additionalProperties": {"type": "string"}}
