// Preloaded into a program: its allocation number FAIL_AT returns NULL, once; with FAIL_AT=0 none, and their count
// goes into the file TRACE at the end. operator new of libstdc++ calls malloc or aligned_alloc, so it counts too.
// Not counted: what libhdf5, lodepng's lengths of Huffman codes and CUDA's libraries (libcudart, which registers each
// kernel before main, libcublas, libcudnn) ask for; they crash where they get nothing.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

static atomic_long made;
static long fail_at;

// A program that this one starts is not disturbed.
__attribute__((constructor)) static void begin(void) {
  const char* wish = getenv("FAIL_AT");
  unsetenv("LD_PRELOAD");
  fail_at = wish ? atol(wish) : 0;
  atomic_store(&made, 0);
}

__attribute__((destructor)) static void end(void) {
  const long all = atomic_load(&made);
  FILE* const trace = fail_at == 0 && getenv("TRACE") ? fopen(getenv("TRACE"), "w") : NULL;
  if (!trace) return;
  fprintf(trace, "%ld\n", all);
  fclose(trace);
}

// Whether whoever asks crashes where it gets nothing.
static int crashes_without(const Dl_info* asked) {
  static const char* const libraries[] = {"/libhdf5", "/libcudart", "/libcublas", "/libcudnn"};
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; ++i)
    if (strstr(asked->dli_fname, libraries[i])) return 1;
  return asked->dli_sname && strstr(asked->dli_sname, "lodepng_huffman_code_lengths");
}

static int fails(const void* caller) {
  Dl_info asked;
  if (dladdr(caller, &asked) && crashes_without(&asked)) return 0;
  if (atomic_fetch_add(&made, 1) + 1 != fail_at) return 0;
  errno = ENOMEM;
  return 1;
}
#define FAILS() fails(__builtin_return_address(0))

void* malloc(size_t size) { return FAILS() ? NULL : __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return FAILS() ? NULL : __libc_calloc(count, size); }
void* realloc(void* old, size_t size) { return FAILS() ? NULL : __libc_realloc(old, size); }
void* memalign(size_t alignment, size_t size) { return FAILS() ? NULL : __libc_memalign(alignment, size); }
void* aligned_alloc(size_t alignment, size_t size) { return FAILS() ? NULL : __libc_memalign(alignment, size); }
char* strdup(const char* text) {  // whose caller may be one of those
  char* const copy = FAILS() ? NULL : __libc_malloc(strlen(text) + 1);
  return copy ? strcpy(copy, text) : NULL;
}
int posix_memalign(void** out, size_t alignment, size_t size) {
  void* const p = FAILS() ? NULL : __libc_memalign(alignment, size);
  if (p) *out = p;
  return p ? 0 : ENOMEM;
}
