# make            build/patchcl           make test      all tests           make info    what was found
# make deps       install what is missing  make demo      train on the phantom
# Choices: CUDA=0|1  HDF5=0|1  NIFTI=0|1  SAN=1 (AddressSanitizer + UBSan)  DEBUG=1
.DEFAULT_GOAL := all
CXX ?= g++
CUDA_HOME ?= $(firstword $(wildcard /usr/local/cuda) $(patsubst %/bin/nvcc,%,$(shell command -v nvcc 2>/dev/null)))
NVCC ?= $(CUDA_HOME)/bin/nvcc
EIGEN ?= /usr/include/eigen3
CUDA ?= 0

CONFIG := $(if $(SAN),san,$(if $(DEBUG),debug,release))$(if $(filter 1,$(CUDA)),-cuda)
B := build/$(CONFIG)

CPPFLAGS += -I. -isystem $(EIGEN) -isystem /usr/include/hdf5/serial -isystem /usr/include/nifti -MMD -MP
CXXFLAGS ?= -O3 -g1
CXXFLAGS += -std=c++20 -Wall -Wextra -fopenmp
LDLIBS += -lhdf5_serial -lniftiio -lznz -lz -lpthread
ifeq ($(SAN),1)
  CXXFLAGS += -O1 -fsanitize=address,undefined -fno-omit-frame-pointer
  LDFLAGS += -fsanitize=address,undefined
endif

MODULES := tensor autograd autograd/ops layers losses data train
SRC := $(filter-out %/main.cpp tensor/cuda_absent.cpp,$(foreach d,$(MODULES),$(wildcard $(d)/*.cpp)))
SIMD := $(filter %.simd.cpp,$(SRC))
ISAS := $(if $(filter x86_64,$(shell uname -m)),plain avx2 avx512,plain)
ISA_avx2 := -mavx2 -mfma
ISA_avx512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mprefer-vector-width=512
OBJ := $(patsubst %.cpp,$(B)/%.o,$(filter-out $(SIMD),$(SRC))) \
       $(foreach isa,$(ISAS),$(patsubst %.simd.cpp,$(B)/%.$(isa).o,$(SIMD)))
ifeq ($(CUDA),1)
  CPPFLAGS += -DWITH_CUDA -isystem $(CUDA_HOME)/include
  OBJ += $(patsubst %.cu,$(B)/%.cu.o,$(foreach d,$(MODULES),$(wildcard $(d)/*.cu)))
  LDLIBS += -L$(CUDA_HOME)/lib64 -lcudnn -lcublas -lcudart
  NVCCFLAGS ?= -O3 -std=c++20 --extended-lambda -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=[sm_90,compute_90]
else
  OBJ += $(B)/tensor/cuda_absent.o
endif
TEST_OBJ := $(patsubst %.cpp,$(B)/%.o,$(wildcard tests/*.cpp))

all: build/patchcl

build/patchcl: $(B)/patchcl
	@ln -sf $(CONFIG)/patchcl $@
$(B)/patchcl: $(OBJ) $(B)/train/main.o
	$(CXX) $(CXXFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)
$(B)/tests/all: $(OBJ) $(TEST_OBJ)
	$(CXX) $(CXXFLAGS) $(LDFLAGS) $^ -o $@ -lgtest -lgtest_main $(LDLIBS)

$(B)/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) -c $< -o $@
define simd_rule
$(B)/%.$(1).o: %.simd.cpp
	@mkdir -p $$(@D)
	$$(CXX) $$(CPPFLAGS) $$(CXXFLAGS) $$(ISA_$(1)) -Wno-psabi -DPATCHCL_ISA=$(1) -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call simd_rule,$(isa))))
$(B)/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(NVCC) $(NVCCFLAGS) -DWITH_CUDA -I. -MMD -MP -MF $(@:.o=.d) -c $< -o $@

test: build/patchcl $(B)/tests/all
	$(B)/tests/all

clean:
	rm -rf build

.PHONY: all test clean
.SECONDARY:
-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(B)/train/main.d
