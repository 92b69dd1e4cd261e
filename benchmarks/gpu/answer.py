"""Print a network's answer to a request: arguments are its pipeline's file and the request's."""

import importlib
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    file = Path(sys.argv[1])
    sys.path.insert(0, str(file.parent))
    pipeline = importlib.import_module(file.stem)
    model = pipeline.load_model()
    request = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    print(json.dumps(pipeline.predict(model, pipeline.process(model, request))))
