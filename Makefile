# Builds, runs and tests ngx_cometa_module; `make` alone lists the targets.
#
# Each tree and compiler has a directory of its own under build/, so that it is
# safe to switch between them and nothing is built twice.
#
#   NGINX_SRC=DIR   an nginx source tree, instead of Debian's nginx, nginx-dev
#   SUITE=sid       the nginx and nginx-dev of another Debian suite
#   CC=clang        another compiler
#   SANITIZE=1      with NGINX_SRC: AddressSanitizer, UBSan, linked statically
#   CLIENTS=no      does not install Go, Java and Rust for t/tls_clients.t
#   COVERAGE=1      with NGINX_SRC: counts the lines that run, linked statically

ifeq ($(origin CC),default)
CC = gcc
endif

SHELL     := /bin/bash
PORT      ?= 8080
FUZZ_TIME ?= 60
DURATION  ?= 1800
T         ?= $(wildcard t/*.t t/browser/*.t bench/t/*.t)
CPUS      := $(shell nproc)
J         ?= $(shell echo $$((2 * $(CPUS))))

# What tests need beside packages that are installed.

unpacked := build/node/installed build/prometheus/installed \
            build/libnginx-mod-stream/installed build/proxies/installed

tools := tools
here  := $(CURDIR)
empty :=
space := $(empty) $(empty)
cc    := $(notdir $(subst $(space),-,$(CC)))


# The variant: where it is built, from what, and what runs it.

ifdef NGINX_SRC
tree    := $(abspath $(NGINX_SRC))
id      := $(shell echo '$(tree)' | cksum | cut -d ' ' -f 1)
B       := build/$(notdir $(tree))-$(id)-$(cc)$(if $(SANITIZE),-asan)$(if \
           $(COVERAGE),-coverage)
version := $(tree)/src/core/nginx.h
get_flags := true
flags    = --with-compat --with-debug --with-threads \
           --with-http_ssl_module --with-http_v2_module \
           --with-http_stub_status_module --with-http_realip_module \
           --with-http_auth_request_module \
           --with-stream --with-stream_ssl_module --with-stream_realip_module
goals   := binary $(if $(SANITIZE)$(COVERAGE),,modules)
nginx   := $(here)/$(B)/src/objs/nginx
else
debian  := build/debian$(addprefix -,$(SUITE))
tree    := $(debian)/src
B       := $(debian)-$(cc)
version := $(debian)/version
get_flags := . ./conf_flags
flags    = "$${NGX_CONF_FLAGS[@]}"
goals   := modules
nginx   := $(here)/$(debian)/nginx
endif

# nginx itself gives memcpy() NULL with a length of 0, and stores integers where
# they are not aligned unless told not to: neither is a finding of ours.

ifdef SANITIZE
link     := --add-module
cc_opt   := -O1 -g -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1 \
            -DNGX_HAVE_NONALIGNED=0 -DNGX_COMETA_DEBUG \
            -fsanitize=address,undefined \
            -fno-sanitize=nonnull-attribute -fno-sanitize-recover=undefined
ld_opt   := -fsanitize=address,undefined
module   :=
load     :=
export ASAN_OPTIONS  := detect_leaks=1
export UBSAN_OPTIONS := print_stacktrace=1:print_summary=1
export LSAN_OPTIONS  := print_suppressions=0
LSAN_OPTIONS         := $(LSAN_OPTIONS):suppressions=$(here)/$(tools)/lsan.supp
else ifdef COVERAGE
link     := --add-module
cc_opt   := -O0 -g --coverage
ld_opt   := --coverage
module   :=
load     :=
else
link     := --add-dynamic-module
cc_opt   := -O2 -g -fPIC -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
            -Wformat -Werror=format-security
ld_opt   := -Wl,-z,relro -Wl,-z,now -fPIC
module   := $(B)/ngx_cometa_module.so
load     := load_module $(here)/$(module);
endif


help:
	@echo 'make build      the module, as build/ngx_cometa_module.so'
	@echo 'make run        nginx and a demo device on port $(PORT); Ctrl-C ends it'
	@echo 'make test       the test suite; some of it: T="t/attach.t ..."'
	@echo 'make unit       unit tests of the files that need no nginx'
	@echo 'make fault      allocations and system calls fail, one after another;'
	@echo '                with SANITIZE=1, NGINX_SRC=DIR as well'
	@echo 'make fuzz       fuzzing, FUZZ_TIME=$(FUZZ_TIME) seconds in all'
	@echo 'make fuzz-long  the same for DURATION=$(DURATION) seconds'
	@echo 'make test-nginx-tests LIB=DIR   with the library of nginx-tests'
	@echo 'make asan       the test suite under AddressSanitizer and UBSan'
	@echo 'make test-disturbed   the test suite on a machine that stands still'
	@echo '                now and then; with SANITIZE=1, NGINX_SRC=DIR as well'
	@echo 'make check      layers, style, cppcheck and the analyzer of clang'
	@echo 'make coverage   which lines of the module the test suite runs'
	@echo 'make bench      the measurements down to chaos, one after another'
	@echo 'make bench-correctness   every reply to its own caller, 64 workers'
	@echo 'make bench-websocket     calls and events over 4,000 WebSockets'
	@echo 'make bench-webhook       events to an upstream that fails at times'
	@echo 'make bench-memory        memory of an idle device'
	@echo 'make bench-reload        reloads under load: nobody may notice'
	@echo 'make bench-relay         CPU time of a call beside proxy_pass'
	@echo 'make bench-pipeline      calls through a network with a long round trip'
	@echo 'make chaos               misbehaving devices, reloads, killed workers'
	@echo 'make soak DURATION=600   a mixed load for so many seconds: does it leak?'
	@echo 'make bench-stats         what counting costs'
	@echo 'make bench-list          what calls feel of a list of 1,000,000 ids'
	@echo 'make bench-tls           what TLS costs, parked and with SSL objects'
	@echo 'make bench-storm         all devices drop and attach again at once'
	@echo 'make bench-seed          the eleven cases of 2015; one: CASE=3.4'
	@echo 'make bench-million       a call at 1,000,000 devices beside 1,000'
	@echo 'make bench-limit         devices, until something gives'
	@echo 'make bench-peers         a call through mosquitto, NATS and nchan too'
	@echo 'make nginx-src  fetches the nginx source of Debian SUITE=trixie'
	@echo 'make deps       installs what build, run and test need'
	@echo 'make clean      removes build/'
	@echo
	@echo 'build, test and run take CC=clang, and SUITE=sid for the nginx of'
	@echo 'another Debian; build and test also NGINX_SRC=DIR, a source tree'


# build

# One at a time, also when several start it.

build:
	@mkdir -p build
	@flock build/lock $(MAKE) --no-print-directory compile

# nginx's makefile has variables of the same names: none may reach it.  An nginx
# that runs has the module mapped: it is replaced, never written to.

compile: $(B)/configured
	@MAKEFLAGS= $(MAKE) -s -j$(CPUS) --no-print-directory -C $(B)/src \
	    -f objs/Makefile $(goals)
ifdef module
	@cmp -s $(B)/src/objs/ngx_http_cometa_module.so $(module) \
	    || { cp $(B)/src/objs/ngx_http_cometa_module.so $(module).new \
	         && mv $(module).new $(module); }
endif
ifeq ($(B),build/debian-gcc)
	@ln -sfn debian-gcc/ngx_cometa_module.so build/ngx_cometa_module.so
	@echo built build/ngx_cometa_module.so
else
	@echo built $(or $(module),$(nginx))
endif

# The configured tree is our own copy, since configure writes into it.

$(B)/configured: $(B)/copied config Makefile
	@echo configuring $(B)
	@rm -rf $(B)/src/objs
	@cd $(B)/src && configure=$$(ls configure auto/configure 2>/dev/null \
	                             | head -n 1) \
	    && $(get_flags) && ./$$configure $(flags) --with-cc='$(CC)' \
	           --with-cc-opt='$(cc_opt) $(CFLAGS)' \
	           --with-ld-opt='$(ld_opt) $(LDFLAGS)' \
	           $(link)=$(here) > ../configure.log 2>&1 \
	    || { cat ../configure.log; exit 1; }
	@touch $@

$(B)/copied: $(version) | deps-build
	@rm -rf $(B)
	@mkdir -p $(B)
	@cp -R $(tree)/. $(B)/src
	@touch $@

build/debian/version: deps-build
	@$(tools)/nginx-debian.sh

build/debian-%/version: | deps-suite
	@$(tools)/nginx-suite.sh $*

deps: deps-build deps-test $(unpacked)

deps-build:
	@$(tools)/deps.sh build $(if $(findstring clang,$(CC)),clang)

deps-suite deps-unit deps-test deps-run deps-fuzz deps-bench deps-check \
deps-coverage: deps-%:
	@$(tools)/deps.sh $*

# Compilers of other languages, 270 MB to fetch and half a minute where none is
# installed: the devices written in those that are missing are skipped.

deps-clients:
	@[ '$(CLIENTS)' = no ] || $(tools)/deps.sh clients \
	    || echo 'some of the devices of t/tls_clients.t are not tried'

# Modules of Node.js, for tests and for the charts of the dashboard.

build/node/installed: t/node/package.json t/node/package-lock.json \
                      | deps-run
	@mkdir -p $(@D) && cp $^ $(@D)
	@cd $(@D) && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

# Packages that are unpacked, never installed: some would start a server.

ifeq ($(B),build/debian-$(cc))
mods := $(here)/build/libnginx-mod-stream/usr/lib/nginx/modules
endif

build/proxies/installed: | $(tools)/proxies.sh
	@$(tools)/proxies.sh

build/%/installed: | $(tools)/unpack.sh
	@$(tools)/unpack.sh $*

nginx-src: deps-build
	@$(tools)/nginx-src.sh $(or $(SUITE),trixie)


# run and test

run: build deps-run build/node/installed
	@$(tools)/run.sh $(nginx) $(here)/$(module) $(PORT)

# With LIB, a directory, its Test::Nginx instead of ours: it is loaded before
# the tests ask for their own t/lib.

library := $(if $(LIB),--exec 'perl -w -I$(abspath $(LIB)) -mTest::Nginx',\
                       -I t/lib)
user    := $(if $(LIB),$(if $(filter 0,$(shell id -u)),user root; ))

test: build deps-test deps-clients $(unpacked) build/fault/callbacks.so
	@PATH=$(here)/build/prometheus/usr/bin:$$PATH \
	    TEST_NGINX_MODULES='$(mods)' \
	    TEST_NGINX_PROXIES=$(here)/build/proxies \
	    TEST_NGINX_CALLBACKS=$(here)/build/fault/callbacks.so \
	    TEST_NGINX_BINARY=$(nginx) TEST_NGINX_GLOBALS='$(user)$(load)' \
	    prove -j $(J) $(library) $(T)

# All must pass on a machine that stands still for a moment now and then, and has
# others to do: what fails here fails one day elsewhere.

test-disturbed: build deps-test $(unpacked)
	@$(tools)/disturb $(MAKE) --no-print-directory test

# Takes about ten minutes.  The library is preloaded into nginx, so that it needs
# no build of its own.

fault: T = $(wildcard t/fault/*.t)
fault: build build/fault/fault.so
	@TEST_NGINX_FAULT=$(here)/build/fault/fault.so \
	    $(MAKE) --no-print-directory test T='$(T)'

build/fault/%.so: t/fault/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -g -O1 -Wall -Wextra -Werror -fPIC -shared $< \
	    -ldl -lgcc_s -o $@

# A program a file, from t/unit/NAME.c and all the files that need no nginx.

pure  := $(wildcard ngx_cometa_module/codec/*.c \
                    ngx_cometa_module/tls/cometa_*.c)
units := $(patsubst t/unit/%.c,build/unit-$(cc)/%,$(wildcard t/unit/*.c))

unit: deps-unit build $(units)
	@prove --exec '' $(units)

headers := $(addprefix -isystem$(B)/src/,src/core src/event src/event/modules \
             src/os/unix src/http src/http/modules src/http/v2 objs)
folders := ngx_cometa_module $(patsubst %/,%,$(wildcard ngx_cometa_module/*/))
sources := $(wildcard $(folders:%=%/*.[ch]))

build/unit-$(cc)/%: t/unit/%.c $(wildcard t/unit/*.h) $(sources) | build
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -g -O1 -Wall -Wextra -Werror $(folders:%=-I%) \
	    $(headers) $(unit_opt) $< $(pure) \
	    -lpthread -lssl -lcrypto -lm -o $@

unit_opt = -DNGX_COMETA_DEBUG -fsanitize=address,undefined \
           -fno-sanitize-recover=undefined

# This one goes through the mailbox step by step, and wants few steps.

build/unit-$(cc)/mailbox_killed: unit_opt =

# New inputs go to build/, the corpus that is kept is only read.

fuzzers := $(patsubst t/fuzz/fuzz_%.c,%,$(wildcard t/fuzz/fuzz_*.c))

fuzz: deps-fuzz $(fuzzers:%=build/fuzz/fuzz_%)
	@share=$$(($(FUZZ_TIME) / $(words $(fuzzers)))); \
	for name in $(fuzzers); do \
	    mkdir -p build/fuzz/corpus/$$name; \
	    build/fuzz/fuzz_$$name -max_total_time=$$share \
	        -print_final_stats=1 -artifact_prefix=build/fuzz/ \
	        build/fuzz/corpus/$$name t/fuzz/corpus/$$name \
	        > build/fuzz/$$name.log 2>&1 \
	        || { cat build/fuzz/$$name.log; exit 1; }; \
	    sed -n "s/^stat::number_of_executed_units:/$$name, inputs run:/p" \
	        build/fuzz/$$name.log; \
	done

build/fuzz/%: t/fuzz/%.c $(pure) $(wildcard $(pure:.c=.h))
	@mkdir -p $(@D)
	clang -std=gnu11 -g -O1 -Wall -Wextra -Werror -Ingx_cometa_module/codec \
	    -Ingx_cometa_module/tls -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=undefined $(fuzz_opt) $< $(pure) \
	    -lcrypto -o $@

# This one has files of the module in it. A letter to the same worker is passed
# on as the union of all letters, but has only the bytes of its own.

build/fuzz/fuzz_devices: $(sources) $(wildcard t/fuzz/devices_*.h) | build
build/fuzz/fuzz_devices: fuzz_opt = -DNGX_COMETA_DEBUG $(folders:%=-I%) \
                                    $(headers) -fno-sanitize=object-size

fuzz-long:
	@$(MAKE) --no-print-directory fuzz FUZZ_TIME=$(DURATION)

# nginx's own library loads all modules that nginx was configured to have as
# files, which are not all there for Debian's; and it does not say "user root".

test-nginx-tests:
	@test -e '$(LIB)/Test/Nginx.pm' \
	    || { echo 'LIB=DIR, the directory lib of nginx-tests'; exit 1; }
	@src='$(NGINX_SRC)' \
	    && src=$${src:-$$($(tools)/nginx-src.sh trixie)} \
	    && $(MAKE) --no-print-directory test LIB='$(LIB)' NGINX_SRC=$$src

asan:
	@src='$(NGINX_SRC)' \
	    && src=$${src:-$$($(tools)/nginx-src.sh sid trixie)} \
	    && $(MAKE) --no-print-directory test SANITIZE=1 NGINX_SRC=$$src

# Our own checks, which are tested themselves, and those of others: all are made,
# and any finding fails.  What is no fault is said where it stands, with the
# reason.

styled   := $(sources) $(wildcard bench/*/*.[ch] t/unit/*.[ch] t/fuzz/*.[ch] \
                                  t/fault/*.c tools/*.h)
analyzed := $(filter-out %.h,$(sources))
checks   := check-tools check-layers check-style check-tls check-cppcheck \
            $(analyzed:%=analyze/%)

check: build deps-check
	@$(MAKE) --no-print-directory -k -O -j$(CPUS) $(checks)

check-tools:
	@prove $(tools)/t

check-layers:
	@$(tools)/check-layers ngx_cometa_module

check-style:
	@$(tools)/check-style $(styled)

# Not with a sanitizer or a tree that has no module as a file.

check-tls:
ifdef module
	@$(tools)/check-tls $(nginx) $(here)/$(B)/src '$(CC)'
endif

# cppcheck sees no header of nginx, so it is told what they would define.

check-cppcheck:
	@cppcheck --quiet --error-exitcode=1 --inline-suppr \
	    --enable=warning,performance,portability --std=c11 \
	    -DNGX_SSL=1 -DNGX_HTTP_SSL=1 $(folders:%=-I%) $(analyzed)

# What is found in nginx's own headers is not ours.

analyze/%:
	@clang --analyze --analyzer-output text -Xanalyzer -analyzer-werror \
	    $(folders:%=-I%) $(headers) -include $(tools)/analyzer.h $*

# The lines that the suite runs, file by file.  Counts are written by a process
# that exits: those of workers that a test kills are lost.

least := 92

coverage:
	@src='$(NGINX_SRC)' \
	    && src=$${src:-$$($(tools)/nginx-src.sh trixie)} \
	    && $(MAKE) --no-print-directory count COVERAGE=1 NGINX_SRC=$$src

count: build deps-coverage
	@find $(B) -name '*.gcda' -delete
	@status=0; \
	$(MAKE) --no-print-directory test || status=1; \
	gcovr --root . --filter ngx_cometa_module/ --print-summary \
	    --fail-under-line $(least) $(B)/src/objs/addon || status=1; \
	exit $$status


# bench

# nginx takes a variable NGINX for its own: the binary is found by PATH.

bench_env := PATH=$(dir $(nginx)):$$PATH MODULE=$(module:%=$(here)/%)

bench: bench-correctness bench-websocket bench-webhook bench-memory \
       bench-relay chaos

bench-%: build deps-bench build/node/installed
	@$(bench_env) bench/run/$*.sh

chaos soak: build deps-bench
	@$(bench_env) bench/run/$@.sh

clean:
	rm -rf build

.PHONY: help build compile deps deps-build deps-suite deps-unit deps-test \
        deps-run deps-fuzz deps-bench deps-check deps-coverage deps-clients \
        nginx-src run \
        test test-disturbed test-nginx-tests unit fault fuzz fuzz-long asan \
        coverage count check check-tools check-layers check-style check-tls \
        check-cppcheck bench chaos soak clean
