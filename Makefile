# make              release program at ./unlearn
# make lib          shared library at build/release/libunlearn.so
# make check        every test (TAP, through prove)
# make bench        speed of each operation, and beside PyTorch (its Python: bench/requirements.txt)
# make docs         what README.md copies from the program
# make install      program, library, header, man pages, completion, documents: prefix=/usr/local DESTDIR=; make uninstall
#                   removes them
# make deb          a Debian package, below build/release/deb
# make lint         include floors, backend headers, formatting
# make fuzz         30 s of each fuzz target (clang; FUZZ_SECONDS)
# config=debug|release|sanitize|coverage|fuzz chooses build/<config>

config ?= release
CC     ?= gcc
B      := build/$(config)
PKGS   := openblas jansson libpcre2-8 libutf8proc zlib sqlite3
# Without libyaml the program is complete but for reading YAML recipes.
YAML   := $(shell pkg-config --exists yaml-0.1 && echo yaml-0.1)
# Without libmicrohttpd it is complete but for `unlearn serve`.
HTTP   := $(shell pkg-config --exists libmicrohttpd && echo libmicrohttpd)
BLAS   := /usr/lib/$(shell $(CC) -dumpmachine)/openblas-openmp

opt_release  := -O2
# Blocks, rooms and tables of a few elements (base/sizes.h): small tests cross every edge.
opt_debug    := -O1 -g -DUNLEARN_TINY
opt_sanitize := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
opt_coverage := -O0 -g --coverage
# clang's fuzzer; without OpenMP threads, so that a run is repeated exactly (omp.h and its functions are gcc's).
opt_fuzz      = -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
                -Wno-missing-prototypes -fno-openmp -idirafter $(shell gcc -print-file-name=include)

WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wno-unknown-pragmas
CFLAGS  := -std=c11 -D_GNU_SOURCE $(WARN) -fopenmp -ffp-contract=off -Isrc $(opt_$(config)) $(shell pkg-config --cflags $(PKGS) $(YAML)) \
           $(if $(YAML),-DHAVE_YAML) $(if $(HTTP),-DHAVE_HTTP) $(PIC) $(EXTRA)
LDLIBS  := -L$(BLAS) -Wl,-rpath,$(BLAS) $(shell pkg-config --libs $(PKGS) $(YAML)) -lm
LDFLAGS := -fopenmp $(opt_$(config))

# The CPU operations are compiled once per instruction set; tensor/ops.c chooses at run time. Nobody reads
# errno or floating-point exceptions after them, so loops with sqrt and selects can be vectorised.
ISAS         := generic avx2 avx512
isa_generic  := -O3
isa_avx2     := -O3 -mavx2 -mfma -mf16c -ffp-contract=fast
isa_avx512   := -O3 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512 -ffp-contract=fast
# d*q + m of quantised blocks is rounded twice everywhere, so that a weight has the same bits everywhere.
also_dequant := -ffp-contract=off
VEC          := $(wildcard src/tensor/cpu_*.c)

SRC   := $(filter-out $(VEC),$(wildcard src/*/*.c))
# What needs libmicrohttpd is part of the program only.
WEB   := $(addprefix src/serve/,http.c routes.c page.c)
LIB   := $(filter-out src/cli/% $(WEB),$(SRC)) suites/suite_texts.c report/page_css.c
CLI   := $(filter src/cli/% $(WEB),$(SRC)) serve/page_text.c
objs   = $(patsubst %.c,$(B)/%.o,$(1))
VECO  := $(foreach i,$(ISAS),$(patsubst %.c,$(B)/%.$(i).o,$(VEC)))
TESTS := $(patsubst test/%.c,$(B)/test/%.t,$(wildcard test/*_test.c))

all: unlearn
lib: $(B)/libunlearn.so
unlearn: $(B)/unlearn
	@ln -sfn $(B)/unlearn $@

$(B)/libunlearn.a: $(call objs,$(LIB)) $(VECO)
	rm -f $@ && ar rcs $@ $^
$(B)/unlearn: $(call objs,$(CLI)) $(B)/libunlearn.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(if $(HTTP),$(shell pkg-config --libs $(HTTP)))
# Its objects are position-independent, below pic/, and hidden, so that calls within it stay direct; only what src/api/unlearn.map
# names is exported. Sanitizers leave their own symbols to the program.
VERSION := $(shell sed -n 's/^.define UNLEARN_VERSION "\(.*\)"/\1/p' src/base/version.h)
SONAME  := libunlearn.so.0
$(B)/libunlearn.so: $(B)/libunlearn.a src/api/unlearn.map
	$(MAKE) -s B=$(B)/pic PIC='-fPIC -fvisibility=hidden' $(B)/pic/libunlearn.a
	$(CC) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=src/api/unlearn.map \
	    $(if $(filter sanitize,$(config)),,-Wl,-z,defs) -o $@ $(patsubst %.c,$(B)/pic/%.o,$(wildcard src/api/*.c)) \
	    $(B)/pic/libunlearn.a $(LDLIBS)
	@ln -sfn libunlearn.so $(B)/$(SONAME)
$(B)/test/%.t: $(B)/test/%.o $(B)/test/tap.o $(B)/libunlearn.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/fuzz/%: $(B)/fuzz/%.o $(B)/libunlearn.a
	$(CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LDLIBS) $(shell gcc -print-file-name=libgomp.so)
$(B)/bench/%: $(B)/bench/%.o $(B)/libunlearn.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
# The built-in suites, as text in the program.
SUITES := $(wildcard suites/*.json)
$(B)/suites/suite_texts.c: $(SUITES) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "suites/recipe.h"'; echo 'const struct suite_text suite_texts[] = {'; \
	for f in $(SUITES); do echo "{\"$$(basename $$f .json)\","; sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $$f; echo '},'; done; \
	echo '{0}};'; } > $@
$(B)/suites/suite_texts.o: $(B)/suites/suite_texts.c
	$(CC) $(CFLAGS) -c -o $@ $<
# A text in the program: the style of the HTML report, the page of the server.
define text_rule
$(B)/$(1).c: $(2) Makefile
	@mkdir -p $$(@D)
	@{ echo 'extern const char $(notdir $(1))[];'; echo 'const char $(notdir $(1))[] ='; sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $$<; echo ';'; } > $$@
$(B)/$(1).o: $(B)/$(1).c
	$(CC) $(CFLAGS) -c -o $$@ $$<
endef
$(eval $(call text_rule,report/page_css,src/report/page.css))
$(eval $(call text_rule,serve/page_text,src/serve/page.html))
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<
define vec_rule
$(B)/src/tensor/cpu_%.$(1).o: src/tensor/cpu_%.c
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS) $(if $(filter release,$(config)),$(isa_$(1)),$(filter -m%,$(isa_$(1)))) -fno-math-errno -fno-trapping-math $$(also_$$*) -DISA=$(1) -MMD -MP -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call vec_rule,$(i))))

# In the debug build new and freed memory is filled, so that what reads it is seen.
check: $(B)/unlearn $(B)/libunlearn.so $(TESTS)
	$(if $(filter debug,$(config)),MALLOC_PERTURB_=165) OMP_WAIT_POLICY=passive UNLEARN=$(CURDIR)/$(B)/unlearn prove --timer -j2 $(TESTS) $(wildcard test/*.t)
bench: $(B)/bench/ops_bench unlearn
	$<
	python3 bench/compare_pytorch.py --speed SPEED.md
lint:
	tools/lint
docs: unlearn
	tools/docs

# Man pages and completion come from the program's help, and so from the parameter tables.
prefix    ?= /usr/local
libdir    ?= $(prefix)/lib
lib       := $(DESTDIR)$(libdir)
share     := $(DESTDIR)$(prefix)/share
man1      := $(share)/man/man1
installed := $(DESTDIR)$(prefix)/bin/unlearn $(DESTDIR)$(prefix)/include/unlearn.h $(lib)/libunlearn.* \
             $(lib)/pkgconfig/unlearn.pc $(man1)/unlearn.1 $(man1)/unlearn-*.1 \
             $(share)/bash-completion/completions/unlearn $(share)/zsh/site-functions/_unlearn \
             $(share)/fish/vendor_completions.d/unlearn.fish $(share)/doc/unlearn
$(B)/manual/unlearn.1: $(B)/unlearn tools/manual
	@mkdir -p $(@D) && rm -f $(@D)/*.1
	UNLEARN=$< tools/manual $(@D)
define pc_text
prefix=$(prefix)
libdir=$(libdir)
includedir=$${prefix}/include

Name: unlearn
Description: unlearning, evaluation and inference of language models
Version: $(VERSION)
Libs: -L$${libdir} -lunlearn
Cflags: -I$${includedir}
endef
export pc_text
install: $(B)/unlearn $(B)/libunlearn.so $(B)/manual/unlearn.1
	install -D -m 755 $(B)/unlearn $(DESTDIR)$(prefix)/bin/unlearn
	install -D -m 644 src/api/unlearn.h $(DESTDIR)$(prefix)/include/unlearn.h
	install -D -m 644 $(B)/libunlearn.so $(lib)/libunlearn.so.$(VERSION)
	ln -sfn libunlearn.so.$(VERSION) $(lib)/$(SONAME)
	ln -sfn $(SONAME) $(lib)/libunlearn.so
	mkdir -p $(lib)/pkgconfig && echo "$$pc_text" > $(lib)/pkgconfig/unlearn.pc
	install -D -m 644 -t $(man1) $(B)/manual/*.1
	install -D -m 644 $(B)/manual/unlearn.bash $(share)/bash-completion/completions/unlearn
	install -D -m 644 $(B)/manual/_unlearn $(share)/zsh/site-functions/_unlearn
	install -D -m 644 $(B)/manual/unlearn.fish $(share)/fish/vendor_completions.d/unlearn.fish
	install -D -m 644 -t $(share)/doc/unlearn README.md MODEL.md LICENSE
	install -D -m 644 -t $(share)/doc/unlearn/doc doc/*.md doc/*.png
uninstall:
	rm -rf $(installed)
deb ?= $(B)/deb
deb:
	rm -rf $(deb)
	$(MAKE) -s install DESTDIR=$(abspath $(deb))/root prefix=/usr libdir=/usr/lib/$(shell $(CC) -dumpmachine)
	tools/deb $(deb) $(VERSION)
format:
	clang-format -i $(wildcard src/*/*.[ch] test/*.[ch] fuzz/*.c examples/*.c)
fuzz:
	tools/fuzz
clean:
	rm -rf build unlearn

-include $(shell find $(B) -name '*.d' -type f 2>/dev/null)
.PHONY: all lib unlearn check bench lint docs install uninstall deb format fuzz clean
.SECONDARY:
