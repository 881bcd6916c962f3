# Retort.  `make demo` and `make check` do all the set-up on a fresh machine.
#   BLAS=openblas|mkl|blis|...  any CBLAS that pkg-config knows
#   ARCH=native                 -march of the build
#   BUILD=build                 where everything goes
#   SANITIZE=address,undefined  build with sanitizers (own BUILD folder, please)
BUILD ?= build
BLAS ?= openblas
ARCH ?= native
PREFIX ?= /usr/local
CC = gcc
SHELL = bash
# make V=1 shows the commands
Q = $(if $(V),,@echo "  $@";)

# Debian keeps the OpenMP flavour of OpenBLAS in a folder of its own; it shares
# its threads with ours.
BLAS_PC := $(wildcard /usr/lib/*/openblas-openmp/pkgconfig)
PC = PKG_CONFIG_PATH=$(BLAS_PC):$$PKG_CONFIG_PATH pkg-config
PACKAGES = hdf5-openmpi ompi-c yaml-0.1 jansson libxxhash libcrypto $(BLAS)
CFLAGS_WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
ifdef SANITIZE
CFLAGS_OPT ?= -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE)
LDFLAGS += -fsanitize=$(SANITIZE)
else
CFLAGS_OPT ?= -O3 -g
endif
CFLAGS = -std=c17 -D_GNU_SOURCE $(CFLAGS_OPT) -march=$(ARCH) -fopenmp -fPIC \
  $(CFLAGS_WARN) -MMD -MP -Isrc -Ikernels -I.
# third-party headers are not ours to warn about; evaluated when first needed
DEPS_CFLAGS = $(eval DEPS_CFLAGS := $$(shell $(PC) --cflags $(PACKAGES) 2>/dev/null | sed 's/-I/-isystem /g'))$(DEPS_CFLAGS)
DEPS_LIBS = $(eval DEPS_LIBS := $$(shell $(PC) --libs $(PACKAGES) 2>/dev/null) $$(patsubst -L%,-Wl$$(comma)-rpath$$(comma)%,$$(filter -L%,$$(shell $(PC) --libs-only-L $(BLAS) 2>/dev/null))) -lm -lpthread)$(DEPS_LIBS)
comma := ,

# vector loops: no errno, no traps; NaN and Inf keep their meaning (which is why
# clang leaves maxima scalar, and may say so)
KFLAGS = -fno-math-errno -fno-trapping-math -Wno-pass-failed
LAYERS = base dev par model optim distill
SRC = $(foreach l,$(LAYERS),$(wildcard src/$(l)/*.c)) $(wildcard io/*.c)
OBJ = $(SRC:%.c=$(BUILD)/obj/%.o)
# each real kernel is compiled twice: for f32 and for f64
KSRC = $(filter-out %_real.c,$(wildcard kernels/*.c))
KSRC_REAL = $(wildcard kernels/*_real.c)
KOBJ = $(KSRC:%.c=$(BUILD)/obj/%.o) \
  $(KSRC_REAL:%.c=$(BUILD)/obj/%_f32.o) $(KSRC_REAL:%.c=$(BUILD)/obj/%_f64.o)
APP_OBJ = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard src/app/*.c))
TESTS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
LIB = $(BUILD)/libretort.a
COMMIT := $(shell git describe --always --dirty=+ 2>/dev/null || echo unknown)

.PHONY: all
all: $(BUILD)/bin/retort

$(BUILD)/bin/retort: $(APP_OBJ) $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -fopenmp -o $@ $(APP_OBJ) $(LIB) $(DEPS_LIBS)

$(LIB): $(OBJ) $(KOBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/obj/%_f32.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(KFLAGS) -DK_REAL_F32 $(DEPS_CFLAGS) -c $< -o $@
$(BUILD)/obj/%_f64.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(KFLAGS) -DK_REAL_F64 $(DEPS_CFLAGS) -c $< -o $@
$(BUILD)/obj/src/base/build_info.o: CFLAGS += \
  -DRT_COMMIT='"$(COMMIT)"' -DRT_CFLAGS='"$(CFLAGS_OPT) -march=$(ARCH)"'
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(DEPS_CFLAGS) -c $< -o $@

$(BUILD)/tests/%: tests/%.c $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -MF $@.d -Itests $(DEPS_CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) \
	  -lcunit $(DEPS_LIBS)

.PHONY: tests
tests: $(TESTS)

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
