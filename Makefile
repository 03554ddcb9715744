PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What is run with other versions of Keras and TensorFlow than those that were installed last.
VERSIONS := tests/private_apis tests/layers tests/selection tests/tensor_train tests/cli tests/test_import.py \
	tests/callbacks/test_rank_discretization.py tests/compression/test_compress.py \
	tests/deployment/flatbuffer tests/deployment/test_convert.py tests/quantization/test_quantize_aware.py
# What is run where TensorFlow is not installed.
WITHOUT_TENSORFLOW := tests/test_without_tensorflow.py tests/callbacks/test_convergence.py \
	tests/callbacks/test_strength_schedule.py tests/layers/test_einsum_axes.py tests/layers/test_replacement.py

.PHONY: check demo test coverage lint docs versions without-tensorflow clean

check: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" tests

demo: $(VENV)/installed
	$(BIN)/python -m examples.fashion_mnist.demo

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Apart from `make test`, because the tracer makes TensorFlow's tracing a third slower.
coverage: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-fail-under=90

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.docs.words

# In whatever environment BIN is, which is left as it is.
versions:
	$(BIN)/python -m pytest -q $(VERSIONS)

without-tensorflow:
	$(BIN)/python -m pytest -q $(WITHOUT_TENSORFLOW)

# The site is in build/site.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The stamp is newer than the package's metadata, so that changed dependencies install again.
$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dart_keras needs Python 3.11 or newer, this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[deployment,quantization,examples,tests,docs]"
	touch $@

clean:
	rm -rf build $(VENV)
