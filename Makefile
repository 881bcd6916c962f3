# Retort.  `make demo` and `make check` do all the set-up on a fresh machine.
#   CC=gcc|clang|...            a C17 compiler with OpenMP
#   BLAS=openblas|mkl|blis|...  any CBLAS known to pkg-config
#   BLAS= BLAS_CFLAGS=.. BLAS_LIBS=..  any other CBLAS
#   ONEDNN=                     without oneDNN, which is otherwise used if installed
#   MPI=ompi-c|mpich|...        name in pkg-config, as is HDF5=hdf5-openmpi|hdf5|...;
#                               empty: the compiler wrapper CC provides it (Cray)
#   PKG_CONFIG_PATH=...         searched first, as set by modules and Spack
#   ARCH=native                 -march of the build
#   BUILD=build                 folder for everything that is built
#   V=1                         print whole commands
#   WERROR=1                    warnings are errors, as in CI
#   SANITIZE=address,undefined  build with sanitizers (use another BUILD folder)
BUILD ?= build
BLAS ?= openblas
ARCH ?= native
PREFIX ?= /usr/local
CC = gcc
SHELL = bash
say = $(if $(V),,@echo "  $(1)";)
# make V=1 shows the commands
Q = $(if $(V),,@echo "  $@";)

# Debian has the OpenMP variant of OpenBLAS, which uses the same threads as retort, in
# a folder of its own.  The user's PKG_CONFIG_PATH comes first.
BLAS_PC := $(wildcard /usr/lib/*/openblas-openmp/pkgconfig)
PC = PKG_CONFIG_PATH='$(PKG_CONFIG_PATH):$(BLAS_PC)' pkg-config
first_pc = $(firstword $(foreach p,$(1),$(shell $(PC) --exists $(p) && echo $(p))))
# HDF5 built with the same MPI, because its headers include mpi.h; or a serial one
HDF5_OF = $(if $(filter mpich%,$(1)),hdf5-mpich,hdf5-openmpi) hdf5 hdf5-serial
MPI = $(eval MPI := $$(call first_pc,ompi-c mpich))$(MPI)
HDF5 = $(eval HDF5 := $$(call first_pc,$$(call HDF5_OF,$$(MPI))))$(HDF5)
# Debian's BLIS has no .pc file
BLIS := $(firstword $(wildcard /usr/lib/*/blis-openmp))
ifeq ($(if $(filter blis,$(BLAS)),$(shell $(PC) --exists blis || echo none)),none)
override BLAS =
BLAS_CFLAGS ?= -I$(subst /lib/,/include/,$(BLIS))
BLAS_LIBS ?= -L$(BLIS) -Wl,-rpath,$(BLIS) -lblis
endif
# oneDNN multiplies bf16 where it is installed; Debian's has no file for pkg-config.
ONEDNN_PC = $(call first_pc,dnnl)
has_header = $(shell echo '\#include <$(1)>' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
ONEDNN = $(eval ONEDNN := $$(or $$(ONEDNN_PC),$$(if $$(call has_header,dnnl.h),-ldnnl)))$(ONEDNN)
PACKAGES = $(HDF5) $(MPI) yaml-0.1 jansson libxxhash libcrypto $(BLAS) \
  $(filter-out -%,$(ONEDNN))
# Only CI sets WERROR, so that new warnings of a newer compiler do not stop a build.
# gcc takes MPICH's MPI_STATUSES_IGNORE for an array of size 0.
CFLAGS_WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
  $(if $(WERROR),-Werror) $(if $(filter mpich%,$(MPI)),-Wno-stringop-overflow)
ifdef SANITIZE
CFLAGS_OPT ?= -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE)
LDFLAGS += -fsanitize=$(SANITIZE)
else
CFLAGS_OPT ?= -O3 -g
endif
CFLAGS = -std=c17 -D_GNU_SOURCE $(CFLAGS_OPT) -march=$(ARCH) -fopenmp -fPIC \
  $(CFLAGS_WARN) -MMD -MP -Isrc -I.
# no warnings from headers of libraries; evaluated when first needed
system = $(patsubst -I%,-isystem %,$(1))
DEPS_CFLAGS = $(eval DEPS_CFLAGS := $$(call system,$$(BLAS_CFLAGS) $$(shell $$(PC) --cflags $$(PACKAGES))))$(DEPS_CFLAGS)
# libraries outside the system's folders are found at run time, too
PC_LIBS = $(shell $(PC) --libs $(PACKAGES))
DEPS_LIBS = $(eval DEPS_LIBS := $$(BLAS_LIBS) $$(filter -%,$$(ONEDNN)) $$(PC_LIBS) $$(patsubst -L%,-Wl$$(comma)-rpath$$(comma)%,$$(filter -L%,$$(PC_LIBS))) -lm -lpthread)$(DEPS_LIBS)
comma := ,

# for vector loops: fused multiply-add, no errno, no traps; NaN and Inf stay intact
KFLAGS = -fno-math-errno -fno-trapping-math -ffp-contract=fast
SRC := $(shell find src io -name '*.c' -not -path 'src/app/*' | sort)
OBJ = $(SRC:%.c=$(BUILD)/obj/%.o)
# each real kernel is compiled once per set of types: f32, f64, bf16
KSRC = $(filter-out %_real.c \
  $(if $(ONEDNN),%/gemm_no_onednn.c,%/gemm_onednn.c),\
  $(wildcard kernels/*.c kernels/cpu/*.c))
KSRC_REAL = $(wildcard kernels/cpu/*_real.c)
# attention in bf16 is that in f32 (attn_bf16.c)
KSRC_BF16 = $(filter-out %/attn_real.c,$(KSRC_REAL))
KOBJ = $(KSRC:%.c=$(BUILD)/obj/%.o) \
  $(KSRC_REAL:%.c=$(BUILD)/obj/%_f32.o) $(KSRC_REAL:%.c=$(BUILD)/obj/%_f64.o) \
  $(KSRC_BF16:%.c=$(BUILD)/obj/%_bf16.o)
APP_OBJ = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard src/app/*.c))
BENCHES = $(BUILD)/tests/bench_store $(BUILD)/tests/bench_read
SUITES = $(wildcard tests/*/test_*.c)
TESTS = $(patsubst %.c,$(BUILD)/tests/%,$(notdir $(SUITES)))
LIB = $(BUILD)/libretort.a
APP_LIB = $(BUILD)/libapp.a
COMMIT := $(shell git describe --always --dirty=+ 2>/dev/null || echo unknown)


.PHONY: all
all: $(BUILD)/bin/retort ## build the program (the default)

$(BUILD)/bin/retort: $(APP_OBJ) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS) -fopenmp -o $@ $(APP_OBJ) $(LIB) $(DEPS_LIBS)

$(APP_LIB): $(filter-out %/main.o,$(APP_OBJ))
	@rm -f $@
	$(call say,AR $@)ar rcs $@ $^
$(LIB): $(OBJ) $(KOBJ)
	@rm -f $@
	$(call say,AR $@)ar rcs $@ $^

# deps.sh gets the variables given to this make
given = $(if $(filter-out undefined file,$(origin $(1))),$(1)='$($(1))')
DEPS = CC='$(CC)' BLAS='$(BLAS)' PKG_CONFIG_PATH='$(PKG_CONFIG_PATH):$(BLAS_PC)' \
  $(call given,MPI) $(call given,HDF5) BLAS_CFLAGS='$(BLAS_CFLAGS)' .ci/deps.sh
.PHONY: flags
flags: ## print what a program that links the library needs
	@echo '-fopenmp $(DEPS_CFLAGS) $(DEPS_LIBS)'
# Everything is rebuilt when the flags change, after a check for missing packages.  A
# folder that was empty gets a tag (bford.info/cachedir), without which `clean` refuses
# to remove it.
TAG = Signature: 8a477f597d28d172789f06886806bc55
FLAGS_NOW = $(CC) $(CFLAGS) $(KFLAGS) $(PACKAGES) $(BLAS_CFLAGS) $(BLAS_LIBS) \
  $(ONEDNN)
$(BUILD)/flags: FORCE | ours
	@mkdir -p $(@D)
	@[ -n "$$(ls -A $(@D))" ] || echo '$(TAG)' >$(@D)/CACHEDIR.TAG
	@echo '$(FLAGS_NOW)' | cmp -s - $@ || \
	  { $(DEPS) --only-tell build && echo '$(FLAGS_NOW)' >$@; }
$(BUILD)/commit: FORCE | ours
	@mkdir -p $(@D)
	@echo '$(COMMIT)' | cmp -s - $@ || echo '$(COMMIT)' >$@
FORCE:
# fails early if the folder belongs to another user
ours: FORCE
	@mkdir -p $(BUILD) 2>/dev/null; \
	other=$$(find $(BUILD) -maxdepth 5 -name venv -prune -o -type d ! -writable \
	  -print -quit 2>/dev/null); \
	if [ -n "$$other" ] || [ ! -d $(BUILD) ]; then \
	  echo "$${other:-$(BUILD)}: $$(id -un) may not write there (root built" \
	    "here?): give it to you (sudo chown -R $$(id -un) $(BUILD)), or build" \
	    "elsewhere (make BUILD=FOLDER)" >&2; exit 1; \
	fi

$(BUILD)/obj/%_f32.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC $@)$(CC) $(CFLAGS) $(KFLAGS) -DK_REAL_F32 $(DEPS_CFLAGS) -c $< -o $@
$(BUILD)/obj/%_f64.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC $@)$(CC) $(CFLAGS) $(KFLAGS) -DK_REAL_F64 $(DEPS_CFLAGS) -c $< -o $@
$(BUILD)/obj/%_bf16.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC $@)$(CC) $(CFLAGS) $(KFLAGS) -DK_REAL_BF16 $(DEPS_CFLAGS) -c $< -o $@
BUILD_INFO = -DRT_COMMIT='"$(COMMIT)"' -DRT_CFLAGS='"$(CFLAGS_OPT) -march=$(ARCH)"'
$(BUILD)/obj/src/base/build_info.o: private CFLAGS += $(BUILD_INFO)
$(BUILD)/obj/src/base/build_info.o: $(BUILD)/commit
$(BUILD)/obj/kernels/%.o: CFLAGS_OF = $(KFLAGS)
$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC $@)$(CC) $(CFLAGS) $(CFLAGS_OF) $(DEPS_CFLAGS) -c $< -o $@

# code shared by the suites
SUPPORT = $(BUILD)/libsupport.a
SUPPORT_OBJ = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/support/*.c))
$(SUPPORT_OBJ): private CFLAGS += -Itests
$(SUPPORT): $(SUPPORT_OBJ)
	@rm -f $@
	$(call say,AR $@)ar rcs $@ $^

vpath test_%.c $(sort $(dir $(SUITES)))
$(BUILD)/tests/%: %.c $(SUPPORT) $(APP_LIB) $(LIB)
	@mkdir -p $(@D)
	$(call say,CC $@)$(CC) $(CFLAGS) -MF $@.d -Itests $(DEPS_CFLAGS) $(LDFLAGS) -o $@ $< \
	  $(SUPPORT) $(APP_LIB) $(LIB) \
	  -lcunit $(DEPS_LIBS)
	@sed -i 's| $<||' $@.d # a suite may move to another folder
$(BUILD)/tests/%: tests/%.c $(SUPPORT) $(LIB)
	@mkdir -p $(@D)
	$(call say,CC $@)$(CC) $(CFLAGS) -MF $@.d -Itests $(DEPS_CFLAGS) $(LDFLAGS) -o $@ $< $(SUPPORT) $(LIB) \
	  -lcunit $(DEPS_LIBS)

.PHONY: tests
tests: $(TESTS) $(BENCHES) $(BUILD)/tests/gen_docs ## build the suites

# `deps` may have just installed packages, so a second make asks pkg-config.  Without
# libFuzzer, script_fuzz is skipped.
.PHONY: deps check run-check
deps: ## install what is missing (root, Debian or Ubuntu), or say it
	@$(DEPS) build check
check: deps ## set up, build and run every test (ONLY="deck comm": some)
	@$(MAKE) --no-print-directory -j$$(nproc) all tests
	$(if $(ONLY),,@$(MAKE) -s -j$$(nproc) fuzzers >/dev/null 2>&1 || true)
	@$(MAKE) --no-print-directory run-check
run-check: ## `check` without set-up and build
	@tests/run.sh $(BUILD) $(ONLY)

.PHONY: soak sanitize
soak: all ## kill, fail and restart at random, N=1 rounds
	@tests/soak.sh $(BUILD) $(or $(N),1)
# No leak detection: Open MPI leaks from modules that are unloaded by the end, which no
# suppression can match.
sanitize: ## the C suites with sanitizers (ONLY="deck script_train": some)
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=$(BUILD)/asan \
	  SANITIZE=address,undefined all tests
	@UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	  tests/run.sh $(BUILD)/asan \
	  $(or $(ONLY),$(patsubst test_%.c,%,$(notdir $(SUITES))))

.PHONY: docs
docs: $(BUILD)/tests/gen_docs ## write what is made from the table of deck keys
	$< markdown >doc/parameters.md
	$< yaml >inputs/all_parameters.yaml

TOPS = src kernels io tests
C_FILES = $(shell find $(TOPS) -name '*.c' | sort)
H_FILES = $(shell find $(TOPS) -name '*.h' -o -name '*.cu' -o -name '*.cuh' | sort)
SH_FILES = .ci/run $(shell find .ci tests inputs $(wildcard jobs) -name '*.sh' | sort)
CLANG_FORMAT = $(firstword $(wildcard /usr/bin/clang-format-14) clang-format)
TIDY_FLAGS = -std=c17 -D_GNU_SOURCE -march=$(ARCH) -fopenmp -Isrc -I. \
  -Itests -DK_REAL_F32 $(BUILD_INFO) $(DEPS_CFLAGS)
.PHONY: lint run-lint lint-layers lint-format lint-tidy lint-shell
lint: ## layers, form, clang-tidy and shellcheck
	@$(DEPS) build lint
	@$(MAKE) --no-print-directory -k run-lint
run-lint: lint-layers lint-format lint-shell lint-tidy ## `lint` without set-up
	@echo "lint: all is well"
lint-layers: ## includes, names, lengths (doc/layers.txt)
	@python3 tests/lint_layers.py
lint-format: ## the form of C files
	@failed=0; for f in $(C_FILES) $(H_FILES); do \
	  $(CLANG_FORMAT) $$f | cmp -s - $$f || \
	    { echo "$$f: form differs; run make format"; failed=1; }; \
	done; exit $$failed
.PHONY: format
format: ## give C files the form that lint checks
	@$(CLANG_FORMAT) -i $(C_FILES) $(H_FILES)
lint-shell: ## shellcheck
	@shellcheck $(SH_FILES)
# one file per call: with several, the analyzer misreads va_list
lint-tidy: ## clang-tidy (C_FILES=...: some)
	@printf '%s\n' $(C_FILES) | xargs -P $$(nproc) -n 1 ./tests/lint_tidy.sh \
	  $(TIDY_FLAGS)

.PHONY: demo parity smollm2 bench
bench: deps ## speed as ratios, into bench.json (REAL=1: with PyTorch, SmolLM2)
	@$(MAKE) --no-print-directory -j$$(nproc) all $(BENCHES)
	$(if $(REAL),@inputs/prepare/venv.sh $(BUILD)/venv && \
	  inputs/smollm2/prepare.sh $(BUILD)/venv $(BUILD)/smollm2 teacher corpus)
	@tests/bench.py $(BUILD) $(if $(REAL),--real $(BUILD)/venv \
	  $(BUILD)/smollm2/teacher) $(if $(ONLY),--only $(ONLY))

demo: deps ## capture a small teacher, train three students, compare
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@inputs/demo/run.sh $(BUILD)/bin/retort $(BUILD)/demo

parity: deps ## against transformers: logits, loss, five steps (venv: 90 s)
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@inputs/prepare/venv.sh $(BUILD)/venv
	@inputs/smollm2/prepare.sh $(BUILD)/venv $(BUILD)/smollm2 teacher
	@$(BUILD)/venv/bin/python tests/parity.py $(BUILD)/bin/retort \
	  $(BUILD)/parity --smollm2 $(BUILD)/smollm2/teacher

smollm2: deps ## a real teacher and real text: capture, three students, compare
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@inputs/prepare/venv.sh $(BUILD)/venv
	@inputs/smollm2/prepare.sh $(BUILD)/venv $(BUILD)/smollm2 teacher corpus
	@inputs/smollm2/run.sh $(BUILD)/bin/retort $(BUILD)/smollm2

# libFuzzer is part of clang.  LeakSanitizer does not work with the threads of MPI:
# fuzz_shard.c, which uses MPI, looks for leaks itself.
SECONDS = 60
FUZZERS = codec manifest shard
FUZZ_CC = $(firstword $(wildcard /usr/bin/clang-14) clang)
FUZZ_FLAGS = -std=c17 -D_GNU_SOURCE -O1 -g -fno-sanitize-recover=undefined \
  $(CFLAGS_WARN) -MMD -MP -Isrc -I. -Itests -Itests/fuzz
FUZZ_SRC = $(filter-out %/build_info.c,$(filter io/% src/base/% src/ranks/%,$(SRC))) \
  tests/support/codec_case.c tests/support/h5_file.c tests/support/must.c
FUZZ_OBJ = $(FUZZ_SRC:%.c=$(BUILD)/fuzz/obj/%.o)
.SECONDARY: $(FUZZ_OBJ)
.PHONY: fuzz fuzzers fuzz-seeds $(FUZZERS:%=fuzz-%)
fuzzers: $(FUZZERS:%=$(BUILD)/fuzz/fuzz_%) ## build the fuzzers (needs clang)
fuzz: $(FUZZERS:%=fuzz-%) ## feed damaged datasets to the readers (SECONDS=60 each)
$(FUZZERS:%=fuzz-%): fuzz-%: $(BUILD)/fuzz/fuzz_%
	@mkdir -p $(BUILD)/fuzz/corpus_$*
	@cd $(BUILD)/fuzz && \
	  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
	  ASAN_OPTIONS=detect_leaks=$(if $(filter shard,$*),0,1) \
	  ./fuzz_$* -max_total_time=$(SECONDS) -timeout=5 -rss_limit_mb=2048 \
	    -max_len=$(if $(filter shard,$*),64,4096) -verbosity=0 \
	    -print_final_stats=1 corpus_$* $(CURDIR)/tests/fuzz/corpus_$*
$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC $@)$(FUZZ_CC) $(FUZZ_FLAGS) \
	  -fsanitize=fuzzer-no-link,address,undefined $(DEPS_CFLAGS) -c -o $@ $<
$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_OBJ)
	@mkdir -p $(@D)
	$(call say,CC $@)$(FUZZ_CC) $(FUZZ_FLAGS) -MF $@.d \
	  -fsanitize=fuzzer,address,undefined $(DEPS_CFLAGS) -o $@ $< $(FUZZ_OBJ) $(DEPS_LIBS)
fuzz-seeds: $(BUILD)/tests/fuzz/seed_codec ## write what the codec's fuzzer starts from
	@mkdir -p tests/fuzz/corpus_codec
	@$< tests/fuzz/corpus_codec

# share/retort has the layout of the sources, so that links in documents and paths in
# decks work; links to source files become plain text.
.PHONY: install uninstall
DEST = $(DESTDIR)$(PREFIX)
SHARED = $(wildcard README.md LICENSE CHANGELOG.md CONTRIBUTING.md CITATION.cff) \
  $(sort $(shell find doc inputs jobs -type f -not -path '*/__pycache__/*'))
install: all ## copy program, documents, inputs and jobs to DESTDIR and PREFIX
	install -D -m 755 $(BUILD)/bin/retort $(DEST)/bin/retort
	@for f in $(SHARED); do \
	  install -D -p -m $$(test -x $$f && echo 755 || echo 644) $$f $(DEST)/share/retort/$$f \
	    || exit; \
	done
	@find $(DEST)/share/retort -name '*.md' -exec sed -i -E \
	  's~\[([^]]*)\]\((\.\./)?(src|io|kernels|tests)/[^)]*\)~\1~g' {} +
uninstall: ## remove what install has put there, and nothing else
	rm -f $(DEST)/bin/retort
	@cd $(DEST)/share/retort && rm -f $(SHARED) && \
	  find . -depth -type d -empty -delete && cd / && \
	  { rmdir $(DEST)/share/retort 2>/dev/null || true; }

.PHONY: help
help: ## this list
	@sed -n '/^#   [A-Z]/,/^[^#]/s/^#   /  /p' Makefile
	@awk -F '## ' '/^[a-z0-9-]+:.*## / {split($$1, name, ":"); \
	  printf "  make %-11s %s\n", name[1], $$2}' Makefile

.PHONY: clean
clean: ## remove what was built
	@[ ! -e $(BUILD) ] || [ -e $(BUILD)/CACHEDIR.TAG ] || { \
	  echo "$(BUILD) was not empty when make first wrote there (no" \
	    "CACHEDIR.TAG): remove it yourself" >&2; exit 1; }
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
