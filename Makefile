# The commands of the course; `make` alone lists them.

PYTHON ?= python3
VENV := .venv
COLAB := .venv-colab
SITE := .venv-site
LAB_READY := $(VENV)/lab-ready
TEST_READY := $(VENV)/test-ready
COLAB_READY := $(COLAB)/ready
SITE_READY := $(SITE)/ready
# PyTorch without CUDA, which takes 4 GB less: make lab CPU=1
CPU_WHEELS := https://download.pytorch.org/whl/cpu
# Both packages from there: the indexes of pip's own settings hold other builds, which do not fit.
CPU_TORCH := PIP_EXTRA_INDEX_URL=$(CPU_WHEELS) PIP_FIND_LINKS=$(CPU_WHEELS) \
	$(VENV)/bin/python -m pip install torch torchvision --index-url $(CPU_WHEELS) || { echo \
	"Is $(CPU_WHEELS) in reach? CPU_WHEELS=… names a mirror; without CPU=1 it is not needed."; exit 1; }
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# One process a core: tests are single-threaded, and a lesson stays in one process.
PYTEST := pytest -p no:cacheprovider -n logical
NBVAL := $(PYTEST) -q --dist loadfile --nbval --nbval-current-env --nbval-cell-timeout=600

# Keeps a kernel's debugger from warning about frozen modules.
export PYDEVD_DISABLE_FILE_VALIDATION := 1

# Tests, marks and saved lessons neither read nor write anybody's progress.
lessons grade check test test-all test-offline test-processors: \
	export COURSE_PROGRESS := off

# Threads that wait should sleep: on a busy machine spinning costs more than the work.
export OMP_WAIT_POLICY := passive

.DEFAULT_GOAL := help
.PHONY: help lab lessons student instructor grade slides site address check test \
	test-all test-offline test-processors test-gpu bench clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' Makefile

# -- the course ------------------------------------------------------------------------

lab: $(LAB_READY) ## open your copies of the lessons in JupyterLab; CPU=1: without CUDA
	@$(VENV)/bin/python tools/editions.py work
	@echo "The course opens in your browser; if it does not, open the address below."
	@$(VENV)/bin/python -m jupyterlab $(AS_ROOT) --log-level=WARN \
		--LabApp.default_url=/lab/tree/work/00_start_here.ipynb

lessons: $(TEST_READY) ## run and save the lessons; ONLY="03 07": those; RUN=no: only format
	@$(VENV)/bin/python tools/lessons.py $(ONLY) $(if $(filter no,$(RUN)),--unrun)
	@$(VENV)/bin/python tools/editions.py student

student: $(LAB_READY) ## write student/ from the lessons; SOLUTIONS=no: build/student/, without
	@$(VENV)/bin/python tools/editions.py student --solutions $(or $(SOLUTIONS),yes)

instructor: $(LAB_READY) ## write build/instructor/: the lessons solved and run; ONLY=03 takes one
	@$(VENV)/bin/python tools/editions.py instructor $(ONLY)

slides: $(TEST_READY) ## make slides of the lessons in build/slides; ONLY=03 takes one
	@$(VENV)/bin/python tools/slides.py $(ONLY)

site: $(SITE_READY) ## make the website of the stored lessons, in build/site
	@$(SITE)/bin/python tools/website.py

grade: $(TEST_READY) ## mark notebooks: LESSON=03 FROM=submissions/ (TO=marks/)
	$(if $(and $(LESSON),$(FROM)),,$(error for instance: make grade LESSON=03 FROM=submissions/))
	@$(VENV)/bin/python tools/grade.py "$(LESSON)" "$(FROM)" $(if $(TO),--to "$(TO)")

address: $(TEST_READY) ## change the course's public address everywhere to URL=…
	@$(VENV)/bin/python tools/address.py $(URL)

# -- tests -----------------------------------------------------------------------------

check: $(TEST_READY) ## check style and the quick tests of the package: 7 minutes of one core
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/python -m $(PYTEST) -q --dist worksteal tests/unit tests/checks \
		-m "not slow and not nightly and not installed"

test: $(TEST_READY) $(COLAB_READY) $(SITE_READY) ## check style, code, lessons, labs; then on Colab's pins
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/python -m $(PYTEST) --dist worksteal -m "not browser and not nightly"
	$(VENV)/bin/python -m $(NBVAL) notebooks
	$(VENV)/bin/python -m pytest -m "browser and not nightly"
	OMP_NUM_THREADS=1 $(COLAB)/bin/python -m $(NBVAL) notebooks
	$(COLAB)/bin/python -m $(PYTEST) -q --dist worksteal --disable-warnings \
		-m "not nightly" tests/labs tests/checks tests/lessons/test_away_from_home.py

test-all: test ## and the rest: all networks and labs, other frameworks, a cluster, processors
	$(VENV)/bin/python -m pip install -q -e ".[lab,test,cluster,frameworks]"
	$(VENV)/bin/python -m $(PYTEST) --dist worksteal -m "nightly and not browser"
	$(VENV)/bin/python -m pytest -m "nightly and browser"
	$(COLAB)/bin/python -m $(PYTEST) --disable-warnings -m nightly -k on_colab \
		tests/lessons/test_away_from_home.py
	$(MAKE) test-processors

bench: $(TEST_READY) ## measure speed and memory beside peers, about ten minutes
	$(VENV)/bin/python -m pip install -q -e ".[lab,test,bench]"
	$(VENV)/bin/python benchmarks/run.py

test-offline: $(TEST_READY) $(COLAB_READY) $(SITE_READY) ## the same without any network
	unshare -rn sh -c "ip link set lo up && $(MAKE) test"

test-processors: $(TEST_READY) ## run the lessons as on other processors
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m $(NBVAL) notebooks
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(VENV)/bin/python -m $(NBVAL) notebooks
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 $(VENV)/bin/python -m $(NBVAL) \
		--nbval-sanitize-with=tests/lessons/processors.cfg notebooks

test-gpu: $(TEST_READY) ## compare maps, a lab and a folder run on CUDA with the processor's
	$(VENV)/bin/python -m pip install -q -e ".[lab,test,cluster]"
	DEVICE=$(or $(DEVICE),cuda) $(VENV)/bin/python -m pytest -p no:cacheprovider tests/gpu

clean: ## remove what these commands made: environments, build, caches
	rm -rf $(VENV) $(COLAB) $(SITE) build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# -- environments, rebuilt when their requirements change ------------------------------

define MAKE_ENVIRONMENT
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	"The course needs Python 3.11 or newer; choose one with: make PYTHON=python3.12"; exit 1; }
	@$(@D)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(@D) || { echo \
	"Python's venv is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
endef

# A package can be installed and broken: one import tells, before JupyterLab opens.
TRY_IMPORTS := $(VENV)/bin/python -c 'import sys; \
	from course_utils.environment import problems; sys.exit("\n".join(problems()) or None)'

$(LAB_READY): pyproject.toml
	$(MAKE_ENVIRONMENT)
	@echo "Installing the course, once. PyTorch is large: this can take some minutes."
	$(if $(CPU),$(CPU_TORCH))
	$(VENV)/bin/python -m pip install -e '.[lab]'
	@$(TRY_IMPORTS)
	@touch $@

$(TEST_READY): pyproject.toml
	$(MAKE_ENVIRONMENT)
	$(if $(CPU),$(CPU_TORCH))
	$(VENV)/bin/python -m pip install -q -e '.[lab,test]'
	@$(TRY_IMPORTS)
	@touch $@ $(LAB_READY)

# Colab's releases first; the other packages, and the course, come by path.
$(COLAB_READY): private PYTHON := $(VENV)/bin/python
$(COLAB_READY): tools/colab_env.txt $(TEST_READY)
	$(MAKE_ENVIRONMENT)
	$(COLAB)/bin/python -m pip install -q --no-deps -r tools/colab_env.txt
	@$(VENV)/bin/python -c 'import site; print(site.getsitepackages()[0], "$(CURDIR)", sep="\n")' \
		> "$$($(COLAB)/bin/python -c 'import site; print(site.getsitepackages()[0])')/course.pth"
	@touch $@

# The site is made of texts alone: what it needs, and not the course's own requirements.
$(SITE_READY): pyproject.toml
	$(MAKE_ENVIRONMENT)
	@$(SITE)/bin/python -c 'import tomllib; \
	project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*project["optional-dependencies"]["site"], sep="\n")' > $(SITE)/requirements.txt
	$(SITE)/bin/python -m pip install -q -r $(SITE)/requirements.txt
	@touch $@
