// The convolution of listed pixels on ordinary cores, in fp32 whatever the features' type: exact fp32, and every card
// without tensor cores for a type.
//
// A block of 256 threads makes a tile of 64 pixels x 64 output channels at a time, a thread 4 x 4 of it. Chunks of 16
// terms alternate between two buffers: one is filled while the other is multiplied.
#include "layer.cuh"

constexpr int THREADS = 256, LENGTH = 16, QUAD = 4;
constexpr int PITCH = TILE + 4;  // keeps quads aligned, and spreads the writes over the banks

// Four terms. -DALIGNED=1: channels come in quads; otherwise one by one.
__device__ void load_quad(Terms terms, float (&values)[QUAD]) {
#if ALIGNED
    struct alignas(QUAD * sizeof(Element)) Quad {
        Element element[QUAD];
    } quad = {};
    if (terms.count > 0) {
        quad = *reinterpret_cast<const Quad*>(terms.start);
    }
#pragma unroll
    for (int i = 0; i < QUAD; ++i) {
        values[i] = to_float(quad.element[i]);
    }
#else
#pragma unroll
    for (int i = 0; i < QUAD; ++i) {
        values[i] = i < terms.count ? to_float(terms.start[i]) : 0.0f;
    }
#endif
}

__device__ void multiply_chunk(const float (*pixels)[PITCH], const float (*weights)[PITCH], float (&sums)[QUAD][QUAD]) {
    const int row = threadIdx.x / 16 * QUAD, column = threadIdx.x % 16 * QUAD;
#pragma unroll
    for (int term = 0; term < LENGTH; ++term) {
        const float4 a = *reinterpret_cast<const float4*>(&pixels[term][row]);
        const float4 b = *reinterpret_cast<const float4*>(&weights[term][column]);
        const float left[QUAD] = {a.x, a.y, a.z, a.w}, right[QUAD] = {b.x, b.y, b.z, b.w};
#pragma unroll
        for (int i = 0; i < QUAD; ++i) {
#pragma unroll
            for (int j = 0; j < QUAD; ++j) {
                sums[i][j] += left[i] * right[j];
            }
        }
    }
}

__device__ void store_sums(const Layer& layer, int row, int rows, int column, const float (&sums)[QUAD][QUAD]) {
    const float bias[QUAD] = {bias_of(layer, column), bias_of(layer, column + 1), bias_of(layer, column + 2),
                              bias_of(layer, column + 3)};
#pragma unroll
    for (int i = 0; i < QUAD; ++i) {
        const float quad[QUAD] = {sums[i][0] + bias[0], sums[i][1] + bias[1], sums[i][2] + bias[2],
                                  sums[i][3] + bias[3]};
        store(layer, position_of(layer, row + i, rows), column, quad);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) convolve(const Layer layer) {
    SHARED(float, pixels, [2][LENGTH][PITCH]);
    SHARED(float, weights, [2][LENGTH][PITCH]);
    const int count = row_count(layer), columns = (layer.outputs + TILE - 1) / TILE;
    const int chunks = chunk_count(layer, LENGTH), tiles = (count + TILE - 1) / TILE * columns;
    const int loaded_row = threadIdx.x / QUAD, offset = threadIdx.x % QUAD * QUAD;

    write_skipped_cells(layer);
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int first_row = tile / columns * TILE, first_column = tile % columns * TILE;
        const Corner corner = corner_of(layer, position_of(layer, first_row + loaded_row, count));
        Chunk next = {0, 0, 0, false};
        float a[QUAD], b[QUAD], sums[QUAD][QUAD] = {};
        const auto load = [&] {
            load_quad(input_terms(layer, corner, next, offset), a);
            load_quad(weight_terms(layer, first_column + loaded_row, next, offset), b);
            next = following(layer, next, LENGTH);
        };
        const auto keep = [&](int buffer) {
#pragma unroll
            for (int i = 0; i < QUAD; ++i) {
                pixels[buffer][offset + i][loaded_row] = a[i];
                weights[buffer][offset + i][loaded_row] = b[i];
            }
        };

        load();
        keep(0);
        __syncthreads();  // the first chunk is there for all
        for (int number = 0; number < chunks; ++number) {
            const bool more = number + 1 < chunks;
            if (more) {
                load();
            }
            multiply_chunk(pixels[number % 2], weights[number % 2], sums);
            if (more) {
                keep((number + 1) % 2);
            }
            __syncthreads();  // the next chunk is there for all, and nobody reads this one any more
        }

        store_sums(layer, first_row + threadIdx.x / 16 * QUAD, count, first_column + threadIdx.x % 16 * QUAD, sums);
    }
}
