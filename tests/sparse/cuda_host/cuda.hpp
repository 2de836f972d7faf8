// What the sources in cuda/ use of the CUDA language, for a C++ compiler: included before them.
#pragma once
#include <math.h>
#include <string.h>

#include "block.hpp"

#define __device__
#define __global__
#define __launch_bounds__(threads)
#define SHARED(type, name, dimensions) \
    auto& name = *static_cast<type(*) dimensions>(host::shared_array(__LINE__, sizeof(type dimensions)))

struct uint4 {
    unsigned x, y, z, w;
} __attribute__((aligned(16)));
struct float4 {
    float x, y, z, w;
} __attribute__((aligned(16)));

struct Index {
    int (*value)();
    operator int() const { return value(); }
};
struct Index3 {
    Index x;
};
BOOKKEEPING inline int host_thread() { return host::current; }
BOOKKEEPING inline int host_block() { return host::block_index; }
BOOKKEEPING inline int host_threads() { return host::thread_count; }
BOOKKEEPING inline int host_blocks() { return host::grid_size; }
inline const Index3 threadIdx = {{host_thread}}, blockIdx = {{host_block}};
inline const Index3 blockDim = {{host_threads}}, gridDim = {{host_blocks}};

#define __syncthreads() host::barrier(__LINE__)

struct __half {
    unsigned short bits;
};
struct __nv_bfloat16 {
    unsigned short bits;
};

inline float float_of(unsigned bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
inline unsigned bits_of(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits;
}

inline float __bfloat162float(__nv_bfloat16 value) { return float_of(value.bits << 16); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
    const unsigned bits = bits_of(value);
    if (value != value) {
        return {0x7fff};
    }
    return {static_cast<unsigned short>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

inline float __half2float(__half value) {
    const unsigned sign = (value.bits & 0x8000u) << 16, exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
    if (exponent == 31) {
        return float_of(sign | 0x7f800000 | fraction << 13);
    }
    if (exponent == 0) {
        return (sign ? -1.0f : 1.0f) * fraction * 0x1p-24f;
    }
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}
inline __half __float2half_rn(float value) {
    const unsigned short sign = bits_of(value) >> 16 & 0x8000;
    const float size = fabsf(value);
    if (value != value) {
        return {0x7fff};
    }
    if (size >= 65520.0f) {
        return {static_cast<unsigned short>(sign | 0x7c00)};
    }
    if (size < 0x1p-14f) {
        return {static_cast<unsigned short>(sign | lrintf(size * 0x1p24f))};
    }
    const unsigned bits = bits_of(size), rounded = (bits + 0xfff + (bits >> 13 & 1)) >> 13;
    return {static_cast<unsigned short>(sign | (rounded - (112 << 10)))};
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(unsigned bits) { return __builtin_ffs(bits); }
inline int atomicAdd(int* place, int value) { return __atomic_fetch_add(place, value, __ATOMIC_RELAXED); }

struct Ballot {
    bool mine;
    unsigned all;
};
BOOKKEEPING inline void perform_ballot(void* const* operands) {
    unsigned all = 0;
    for (int lane = 0; lane < 32; ++lane) {
        all |= static_cast<unsigned>(static_cast<Ballot*>(operands[lane])->mine) << lane;
    }
    for (int lane = 0; lane < 32; ++lane) {
        static_cast<Ballot*>(operands[lane])->all = all;
    }
}
BOOKKEEPING inline unsigned host_ballot(int site, unsigned mask, bool mine) {
    if (mask != 0xffffffff) {
        host::fail("a ballot of a part of a warp");
    }
    Ballot ballot = {mine, 0};
    host::rendezvous(site, &ballot, perform_ballot);
    return ballot.all;
}

struct Shuffle {
    int value, lane, result;
};
BOOKKEEPING inline void perform_shuffle(void* const* operands) {
    for (int lane = 0; lane < 32; ++lane) {
        Shuffle& mine = *static_cast<Shuffle*>(operands[lane]);
        mine.result = static_cast<Shuffle*>(operands[mine.lane % 32])->value;
    }
}
BOOKKEEPING inline int host_shuffle(int site, unsigned mask, int value, int lane) {
    if (mask != 0xffffffff) {
        host::fail("a shuffle in a part of a warp");
    }
    Shuffle shuffle = {value, lane, 0};
    host::rendezvous(site, &shuffle, perform_shuffle);
    return shuffle.result;
}

#define __ballot_sync(mask, value) host_ballot(__LINE__, mask, value)
#define __shfl_sync(mask, value, lane) host_shuffle(__LINE__, mask, value, lane)
