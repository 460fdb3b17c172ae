# make              build/patchcl; with its GPU side where there is a GPU, or with CUDA=1 (nvcc takes some minutes)
# make demo         train on generated heart slices, print a results table, draw pictures
# make test         all tests                    make info    what was found, and why something was not
# make test-threads        threads under ThreadSanitizer
# make test-emulated-gpu   the GPU side on a machine without a GPU
# make deps         install missing Debian packages (demo and test do this by themselves); PREFIX=FOLDER without root
# make install      to PREFIX (/usr/local)
# Choices: CUDA=0|1|found|emulated  HDF5=0|1  NIFTI=0|1  TIFF=0|1 (default: what is found)  SAN=1 AddressSanitizer + UBSan
#          DEBUG=1  V=1 shows whole commands
.DEFAULT_GOAL := all
MAKEFLAGS += $(if $(filter 0,$(MAKELEVEL)),-j$(shell nproc))
CXX ?= g++
CUDA_HOME ?= $(or $(firstword $(wildcard /usr/local/cuda)),$(patsubst %/bin/nvcc,%,$(shell command -v nvcc 2>/dev/null)),/usr/local/cuda)
NVCC ?= $(CUDA_HOME)/bin/nvcc
BUNDLE ?= bundle

# --- What is there: .ci/probe.sh compiles and links a few lines against each library, once. -------------------------
REQUIRED := COMPILER EIGEN STB PNG JPEG CLI11 JSON TOML
PROBE := build/probe$(subst /,-,$(CUDA_HOME)).mk
ifeq (,$(filter clean deps,$(MAKECMDGOALS)))
  include $(PROBE)
endif
$(PROBE): .ci/probe.sh .ci/deps.sh
	@mkdir -p build
	@$(if $(filter demo test bench,$(MAKECMDGOALS)),.ci/deps.sh || echo "make: going on with what is here")
	@CXX="$(CXX)" CUDA_HOME="$(CUDA_HOME)" BUNDLE="$(BUNDLE)" .ci/probe.sh > $@.tmp
	@for lib in $(REQUIRED); do if grep -q "HAVE_$$lib := 0" $@.tmp; then \
	  grep WHY_ $@.tmp | sed 's/^WHY_/missing: /'; echo "make: required libraries are missing; run: make deps"; rm $@.tmp; exit 1; fi; done
	@mv $@.tmp $@

FOUND_CUDA := $(if $(filter 111,$(HAVE_NVCC)$(HAVE_CUBLAS)$(HAVE_CUDNN)),1,0)
# nvcc takes longer than all else together: where no GPU is at hand it waits until it is asked.
HERE_CUDA := $(if $(wildcard /dev/nvidia0),$(FOUND_CUDA),0)
CUDA ?= $(if $(filter gpu-check gpu-bench,$(MAKECMDGOALS)),1,$(if $(filter demo,$(MAKECMDGOALS)),0,$(HERE_CUDA)))
ifeq ($(CUDA),found)
  override CUDA := $(FOUND_CUDA)
endif
HDF5 ?= $(HAVE_HDF5)
NIFTI ?= $(HAVE_NIFTI)
TIFF ?= $(HAVE_TIFF)
ifneq (,$(strip $(filter-out 0 1 emulated,$(CUDA)) $(filter-out 0 1,$(HDF5) $(NIFTI) $(TIFF))))
  $(error CUDA takes 0, 1, found and emulated; HDF5, NIFTI and TIFF take 0 and 1)
endif
# NAME=0 is as if it were not said.
$(foreach choice,SAN RACES DEBUG FUZZ SHARED V,$(eval override $(choice) := $(filter-out 0,$($(choice)))))
ifneq (,$(HAVE_COMPILER))
  ifeq ($(CUDA)$(FOUND_CUDA),10)
    $(error CUDA=1 was asked for but: $(or $(WHY_NVCC),$(WHY_CUBLAS),$(WHY_CUDNN)))
  endif
  ifeq ($(HDF5)$(HAVE_HDF5),10)
    $(error HDF5=1 was asked for but: $(WHY_HDF5))
  endif
  ifeq ($(NIFTI)$(HAVE_NIFTI),10)
    $(error NIFTI=1 was asked for but: $(WHY_NIFTI))
  endif
  ifeq ($(TIFF)$(HAVE_TIFF),10)
    $(error TIFF=1 was asked for but: $(WHY_TIFF))
  endif
endif

# --- Flags --------------------------------------------------------------------------------------------------------
CONFIG := $(if $(FUZZ),fuzz,$(if $(SAN),san,$(if $(RACES),races,$(if $(DEBUG),debug,release))))$(if $(filter 1,$(CUDA)),-cuda)$(if $(filter emulated,$(CUDA)),-emulated)$(if $(filter 0,$(HDF5)),-nohdf5)$(if $(filter 0,$(NIFTI)),-nonifti)$(if $(filter 0,$(TIFF)),-notiff)$(if $(SHARED),-shared)
B := build/$(CONFIG)
# C++ has the same objects for CUDA=1 and CUDA=emulated; only the .cu files differ.
O := $(subst -emulated,-cuda,$(B))
CPPFLAGS += -I. $(INCLUDE_DIRS) -MMD -MP
CXXFLAGS ?= $(if $(SAN),-O1 -g -fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer,$(if $(RACES),-O1 -g -fsanitize=thread,$(if $(DEBUG),-O0 -g,-O3 -g1)))
comma := ,
# A line a file, "  c++  tensor/arena.cpp"; V=1 shows the commands.
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);)
LDFLAGS += $(LIBRARY_DIRS) $(foreach d,$(abspath $(wildcard $(BUNDLE)/lib)),-L$(d) -Wl$(comma)--disable-new-dtags$(comma)-rpath$(comma)$(d))
override CXXFLAGS += -std=c++20 -Wall -Wextra -pthread $(if $(SHARED),-fPIC)
FLAGS := $(CXX) $(CPPFLAGS) $(CXXFLAGS)
LDLIBS += $(if $(filter 1,$(HDF5)),$(HDF5_LIB)) $(if $(filter 1,$(NIFTI)),-lniftiio -lznz) $(if $(filter 1,$(TIFF)),-ltiff) -llodepng -ljpeg -lz

# --- Sources: every .cpp and .cu of a module; NAME.simd.cpp once per instruction set; NAME_absent.cpp stands in for a
#     library that is not used. ----------------------------------------------------------------------------------------
MODULES := $(shell find tensor autograd layers losses data train -type d)
ABSENT := $(if $(filter 0,$(CUDA)),tensor/cuda_absent.cpp) $(if $(filter 1,$(HDF5)),,data/formats/h5_absent.cpp) $(if $(filter 1,$(NIFTI)),,data/formats/nifti_absent.cpp) $(if $(filter 1,$(TIFF)),,data/formats/tiff_absent.cpp)
SKIPPED := $(if $(filter 1,$(HDF5)),,data/formats/h5.cpp) $(if $(filter 1,$(NIFTI)),,data/formats/nifti.cpp) $(if $(filter 1,$(TIFF)),,data/formats/tiff.cpp)
SRC := $(filter-out %/main.cpp %_absent.cpp $(SKIPPED),$(foreach d,$(MODULES),$(wildcard $(d)/*.cpp))) $(ABSENT)
SIMD := $(filter %.simd.cpp,$(SRC))
ISAS := $(if $(filter x86_64,$(shell uname -m)),plain avx2 avx512 avx512bf16,plain)
ISA_avx2 := -mavx2 -mfma
ISA_avx512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mprefer-vector-width=512
ISA_avx512bf16 := $(ISA_avx512) -mavx512bf16 -mavx512vnni
OBJ := $(patsubst %.cpp,$(O)/%.o,$(filter-out $(SIMD),$(SRC))) \
       $(foreach isa,$(ISAS),$(patsubst %.simd.cpp,$(O)/%.$(isa).o,$(SIMD)))
CU_OBJ := $(patsubst %.cu,$(B)/%.cu.o,$(foreach d,$(MODULES),$(wildcard $(d)/*.cu)))
ifeq ($(CUDA),emulated)
  # The .cu files as C++, over a runtime that carries kernels out on the CPU: see tests/emulated_gpu/cuda_runtime.h.
  CPPFLAGS += -DWITH_CUDA -Itests/emulated_gpu
  OBJ += $(CU_OBJ) $(patsubst %.cpp,$(O)/%.o,$(wildcard tests/emulated_gpu/*.cpp))
endif
ifeq ($(CUDA),1)
  CPPFLAGS += -DWITH_CUDA $(if $(filter /usr,$(CUDA_HOME)),,-isystem $(CUDA_HOME)/include) $(CUDNN_INCLUDE)
  OBJ += $(CU_OBJ)
  LDLIBS += -L$(CUDA_HOME)/lib64 -L$(CUDA_HOME)/lib -Wl,-rpath,$(CUDA_HOME)/lib64 $(CUDNN_LIB) -lcublas -lcudart
  # Machine code for A100 and H100/H200, PTX for what comes after.
  NVCCFLAGS ?= -O3 -std=c++20 --extended-lambda --expt-relaxed-constexpr -Werror cross-execution-space-call -Xcompiler -Wall -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=[sm_90$(comma)compute_90]
endif
TEST_OBJ := $(patsubst %.cpp,$(O)/%.o,$(wildcard tests/*.cpp))

all: info house-rules build/patchcl

# An op without a spec or an include that points upwards stops the build.
house-rules:
	@tests/house_rules.sh

# Phony: the links say which configuration was asked for last.
build/patchcl: $(B)/patchcl
	@ln -sf $(CONFIG)/patchcl $@
build/tests: $(B)/tests/all
	@ln -sf $(CONFIG)/tests/all $@
$(B)/patchcl: $(OBJ) $(O)/train/commands/main.o
	$(call say,link,$@) $(CXX) $(CXXFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)
$(B)/tests/all: $(OBJ) $(TEST_OBJ)
	$(call say,link,$@) $(CXX) $(CXXFLAGS) $(LDFLAGS) $^ -o $@ -lgtest $(LDLIBS)

# The one file that knows the commit; compiled again when it changes.
COMMIT := $(shell git describe --always --dirty=+ 2> /dev/null)
$(O)/train/setup/run_record.o: CPPFLAGS += $(if $(COMMIT),-DPATCHCL_COMMIT='"$(COMMIT)"')
$(O)/train/setup/run_record.o: $(O)/commit-$(COMMIT)
$(O)/commit-$(COMMIT):
	@mkdir -p $(O)
	@rm -f $(O)/commit-*
	@touch $@

# Objects of C++ are of the flags that made them.
$(O)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(FLAGS)' | cmp -s - $@ || printf '%s\n' '$(FLAGS)' > $@
FORCE:

# What is tested is compiled as it ships; the tests themselves in half the time.
$(if $(SAN)$(RACES)$(DEBUG),,$(O)/tests/%.o: override CXXFLAGS += -O1)
$(O)/%.o: %.cpp $(O)/flags
	@mkdir -p $(@D)
	$(call say,c++,$<) $(CXX) $(CPPFLAGS) $(CXXFLAGS) -c $< -o $@
define simd_rule
$(O)/%.$(1).o: %.simd.cpp $(O)/flags
	@mkdir -p $$(@D)
	$$(call say,c++,'$$< ($(1))') $$(CXX) $$(CPPFLAGS) $$(CXXFLAGS) $$(ISA_$(1)) -Wno-psabi -DPATCHCL_ISA=$(1) -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call simd_rule,$(isa))))
$(B)/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(call say,cuda,$<) $(if $(filter emulated,$(CUDA)),$(CXX) $(CPPFLAGS) $(CXXFLAGS) -x c++,$(NVCC) $(NVCCFLAGS) -DWITH_CUDA -I. $(CUDNN_INCLUDE) -MMD -MP -MF $(@:.o=.d)) -c $< -o $@

# The Python module, from objects of its own that a shared library can hold. MODULE=FILE says where it goes.
PYTHON ?= python3
MODULE ?= $(abspath train/python/patchcl)/_patchcl$(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))' 2> /dev/null)
python:
	@$(MAKE) --no-print-directory SHARED=1 CUDA=0 python-module
python-module: $(OBJ)
	$(call say,link,$(MODULE)) $(CXX) $(filter-out -MMD -MP,$(CPPFLAGS)) $(CXXFLAGS) -fvisibility=hidden -shared $(shell $(PYTHON) -m pybind11 --includes) train/python/module.cc $(OBJ) $(LDFLAGS) -o '$(MODULE)' $(LDLIBS)

test: info house-rules build/patchcl build/tests
	build/tests --jobs=$(shell nproc)

# The GPU's side without a GPU: kernels, copies, recorded steps and what happens when memory runs out or the device is lost, carried
# out on the CPU by tests/emulated_gpu.
test-emulated-gpu:
	@$(MAKE) --no-print-directory CUDA=emulated emulated-programs
	PATCHCL=build/release-emulated/patchcl build/release-emulated/tests/emulated
	EMULATED_GPU_GUARD=1 PATCHCL_SEPARATE_TENSORS=1 build/release-emulated/patchcl audit ops --device cuda > build/emulated-memory.log || { tail -n 30 build/emulated-memory.log; exit 1; }
	PATCHCL=build/release-emulated/patchcl GPU_CHECK_OUT=build/emulated-gpu-check SCALE="--size 32 --batch 4" .ci/gpu-check.sh
emulated-programs: $(B)/patchcl $(B)/tests/emulated
$(B)/tests/emulated: $(OBJ) $(O)/tests/emulated_gpu_test.o $(O)/tests/main.o
	@mkdir -p $(@D)
	$(call say,link,$@) $(CXX) $(CXXFLAGS) $(LDFLAGS) $^ -o $@ -lgtest $(LDLIBS)

# ThreadSanitizer over the team of threads, the loader, and a short training on both.
test-threads:
	@$(MAKE) --no-print-directory RACES=1 CUDA=0 races-programs
	build/races/tests/threads --gtest_brief=1 --gtest_filter='*Parallel*:*ForAnyNumberOfWorkers*'
	rm -rf build/races/run
	build/races/patchcl train --data phantom:cases=4,val=1,size=32,slices=2 --labeled 2 --size 16 --batch 2 --widths 2,4 --dropout 0,0.1 --threads 2 --iters 4 --method patchcl --device cpu --out build/races/run
races-programs: $(B)/patchcl $(B)/tests/threads
$(B)/tests/threads: $(OBJ) $(O)/tests/parallel_test.o $(O)/tests/data_test.o $(O)/tests/main.o
	$(call say,link,$@) $(CXX) $(CXXFLAGS) $(LDFLAGS) $^ -o $@ -lgtest $(LDLIBS)

# Puts wrong lines into the sources, one after the other, and demands that the audit or a test finds each.
# MUTANTS=WORD takes those with the word in their lines.
test-mutations: info
	+tests/mutate.sh "$(MUTANTS)"

# Kills commands and fails their file system calls and allocations, one at a time, and cuts the power
# (docs/reliability.md); EVERY=10 takes each tenth point. Of allocations there are some hundred times as many.
EVERY ?= 1
campaigns: build/patchcl
	tests/campaigns/run.sh kill $(EVERY)
	tests/campaigns/run.sh fail $(EVERY)
	tests/campaigns/run.sh power $(EVERY)
	tests/campaigns/run.sh memory $(EVERY)00

# Every reader fuzzed by coverage, with AddressSanitizer and UBSan, RUNS executions each (docs/reliability.md); needs
# clang++ 16 or newer with libFuzzer.
RUNS ?= 100000
CLANG ?= $(firstword $(shell command -v clang++-19 clang++-18 clang++-17 clang++-16 clang++))
SANITIZE := -fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined
fuzz:
	@$(MAKE) --no-print-directory FUZZ=1 CUDA=0 CXX="$(CLANG)" CXXFLAGS="-O1 -g $(SANITIZE) -fsanitize=fuzzer-no-link" fuzz-program
	tests/fuzz/run.sh $(RUNS)
fuzz-program: $(OBJ)
	$(call say,link,$(B)/fuzz) $(CXX) $(CPPFLAGS) $(CXXFLAGS) $(LDFLAGS) -fsanitize=fuzzer tests/fuzz/fuzz.cc $(OBJ) -o $(B)/fuzz $(LDLIBS)

# The figures of the README's section on speed; PyTorch takes part where python3 can import it.
bench: info build/patchcl
	build/patchcl bench

# Few labelled and many unlabelled hearts, from nothing to a table of three methods and pictures of held-out cases.
demo: info build/patchcl
	rm -rf demo
	build/patchcl grid train/experiments/demo.plan --out demo --jobs 2
	@echo "held-out cases: demo/patchcl/labeled-8/seed-1337/overlays; patches and queues: pictures beside them"

# Everything that only a machine with a GPU can answer, as one table; exit code 8 where there is none.
gpu-check: build/patchcl
	.ci/gpu-check.sh

# Whole steps on the GPU against PyTorch on the same card, and where a step's time goes.
gpu-bench: build/patchcl
	build/patchcl bench --device cuda --batches 4,24 --out runs/gpu-bench
	build/patchcl bench profile --device cuda --math bf16 --batch 24

# What a machine without a network needs beside a compiler, the CUDA Toolkit and cuDNN.
gpu-bundle: $(if $(ACDC),build/patchcl)
	BUNDLE=$(BUNDLE) ACDC=$(ACDC) .ci/gpu-bundle.sh

# Pages that are made from the sources.
docs: build/patchcl
	docs/equations.sh > docs/equations.md
	docs/options.sh > docs/options.md

# The house's style, .clang-format, for every source; CI runs the check.
SOURCES_TO_FORMAT = $(shell git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')
format:
	@clang-format -i $(SOURCES_TO_FORMAT)
format-check:
	@test -n "$(SOURCES_TO_FORMAT)" || { echo "format-check: git lists no sources here"; exit 1; }
	@clang-format --dry-run --Werror $(SOURCES_TO_FORMAT)

# Without root: make deps PREFIX=bundle unpacks them there, where the build looks (BUNDLE=FOLDER says another).
deps:
	@.ci/deps.sh $(if $(filter command line,$(origin PREFIX)),'$(PREFIX)')
	@rm -f build/probe*.mk

PREFIX ?= /usr/local
install: build/patchcl
	install -D -m 755 $(B)/patchcl $(DESTDIR)$(PREFIX)/bin/patchcl
	install -d $(DESTDIR)$(PREFIX)/share/patchcl/experiments $(DESTDIR)$(PREFIX)/share/doc/patchcl
	install -m 644 train/experiments/*.plan $(DESTDIR)$(PREFIX)/share/patchcl/experiments
	install -m 755 train/convert_weights.py train/export_onnx.py $(DESTDIR)$(PREFIX)/share/patchcl
	install -m 644 README.md LICENSE CITATION.cff docs/*.md $(DESTDIR)$(PREFIX)/share/doc/patchcl

info:
	@printf '%-10s %-10s %s\n' library found 'used / why not'
	@$(foreach l,COMPILER EIGEN STB PNG JPEG CLI11 JSON TOML GTEST,printf '%-10s %-10s %s\n' $(l) '$(if $(filter 1,$(HAVE_$(l))),yes,no)' '$(WHY_$(l))';)
	@printf '%-10s %-10s %s\n' HDF5 '$(if $(filter 1,$(HAVE_HDF5)),yes,no)' '$(or $(WHY_HDF5),$(if $(filter 1,$(HDF5)),used,switched off))'
	@printf '%-10s %-10s %s\n' NIFTI '$(if $(filter 1,$(HAVE_NIFTI)),yes,no)' '$(or $(WHY_NIFTI),$(if $(filter 1,$(NIFTI)),used,switched off))'
	@printf '%-10s %-10s %s\n' TIFF '$(if $(filter 1,$(HAVE_TIFF)),yes,no)' '$(or $(WHY_TIFF),$(if $(filter 1,$(TIFF)),used,switched off))'
	@printf '%-10s %-10s %s\n' CUDA '$(if $(filter 1,$(FOUND_CUDA)),yes,no)' '$(or $(WHY_NVCC),$(WHY_CUBLAS),$(WHY_CUDNN),$(if $(filter 1,$(CUDA)),nvcc $(NVCC_VERSION) used,$(if $(filter emulated,$(CUDA)),emulated on the CPU,switched off)))'
	@printf 'builds into %s\n' $(B)

clean:
	rm -rf build

.PHONY: all fuzz fuzz-program python python-module build/patchcl build/tests house-rules test test-emulated-gpu emulated-programs test-threads races-programs test-mutations campaigns demo bench docs gpu-check gpu-bench gpu-bundle deps install info clean format format-check
-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(O)/train/commands/main.d
