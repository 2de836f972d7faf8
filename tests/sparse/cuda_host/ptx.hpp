// What cuda/ptx.cuh wraps, from the PTX ISA's description: asynchronous copies that come as late as they may, and the
// products of fragments by the register layout of mma.m16n8k16 (16-bit elements) and mma.m16n8k8 (TF32).
#pragma once
#include "cuda.hpp"

// The target is NaN from now until the copy is waited for.
inline void copy_async(void* target, const void* source, bool whole) {
    if (reinterpret_cast<size_t>(target) % 16 || (whole && reinterpret_cast<size_t>(source) % 16)) {
        host::fail("an asynchronous copy that is not aligned");
    }
    unsigned* words = static_cast<unsigned*>(target);
    for (int i = 0; i < 4; ++i) {
        words[i] = 0xffffffff;
    }
    host::add_copy({words, whole ? static_cast<const unsigned*>(source) : nullptr});
}

inline void commit_copies() { host::commit_group(); }

template <int PENDING>
inline void wait_for_copies() {
    host::Copy copy;
    while (host::take_copy(PENDING, copy)) {
        for (int word = 0; word < 4; ++word) {
            copy.target[word] = copy.source ? copy.source[word] : 0;
        }
    }
}

inline float round_to_tf32(float value) { return float_of((bits_of(value) + 0x1000) & ~0x1fffu); }

BOOKKEEPING inline float element_of(const unsigned* registers, int index, float) {
    return round_to_tf32(float_of(registers[index]));
}
BOOKKEEPING inline unsigned short half_of(const unsigned* registers, int index) {
    return registers[index / 2] >> index % 2 * 16;
}
BOOKKEEPING inline float element_of(const unsigned* registers, int index, __half) {
    return __half2float({half_of(registers, index)});
}
BOOKKEEPING inline float element_of(const unsigned* registers, int index, __nv_bfloat16) {
    return __bfloat162float({half_of(registers, index)});
}

struct Fragments {
    float* sum;
    const unsigned *a, *b;
};

// a: lane 4g + m holds, of rows g and g + 8 in turn, first word m and then word m + 4; b: of column g likewise.
template <typename Element>
BOOKKEEPING inline void perform_product(void* const* operands) {
    constexpr int IN_WORD = 4 / sizeof(Element);
    float a[16][8 * IN_WORD], b[8][8 * IN_WORD];
    for (int lane = 0; lane < 32; ++lane) {
        const Fragments& mine = *static_cast<Fragments*>(operands[lane]);
        const int group = lane / 4, member = lane % 4;
        for (int part = 0; part < 4; ++part) {
            for (int i = 0; i < IN_WORD; ++i) {
                const int term = (member + part / 2 * 4) * IN_WORD + i;
                a[group + part % 2 * 8][term] = element_of(mine.a, part * IN_WORD + i, Element());
            }
        }
        for (int part = 0; part < 2; ++part) {
            for (int i = 0; i < IN_WORD; ++i) {
                b[group][(member + part * 4) * IN_WORD + i] = element_of(mine.b, part * IN_WORD + i, Element());
            }
        }
    }
    for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 4; ++i) {
            const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            for (int term = 0; term < 8 * IN_WORD; ++term) {
                static_cast<Fragments*>(operands[lane])->sum[i] += a[row][term] * b[column][term];
            }
        }
    }
}

template <typename Element>
BOOKKEEPING inline void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2], Element) {
    Fragments fragments = {sum, a, b};
    host::rendezvous(__LINE__, &fragments, perform_product<Element>);
}
