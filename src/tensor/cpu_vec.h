/* The widest vector of the instruction set, as a type that + and * work on. */
#ifndef TENSOR_CPU_VEC_H
#define TENSOR_CPU_VEC_H

#if defined __AVX512F__
#define VEC_BYTES 64
#elif defined __AVX__
#define VEC_BYTES 32
#else
#define VEC_BYTES 16
#endif

typedef float vec __attribute__((vector_size(VEC_BYTES), aligned(4), may_alias));

enum { LANES = VEC_BYTES / 4 };

/* For kernels whose sizes must be constants, so that their sums stay in registers. */
#define INLINE static inline __attribute__((always_inline))

#endif
