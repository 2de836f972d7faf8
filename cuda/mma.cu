// The convolution of listed pixels on tensor cores: fp16 and bf16, and fp32 rounded to TF32; sums are fp32.
//
// A block of four warps makes a tile of 64 pixels x 64 output channels at a time; a warp a quarter of it. Rows of 64
// bytes, a chunk of the sum's terms, travel to shared memory STAGES - 1 ahead of the products.
#include "layer.cuh"
#include "ptx.cuh"

constexpr int THREADS = 128, STAGES = 4;
constexpr int WORDS = 16, PITCH = WORDS + 4;  // 32-bit words in a row; with the gap the rows of a fragment share no bank
constexpr int LENGTH = WORDS * 4 / sizeof(Element);
constexpr int PIECES = WORDS / 4;  // copies of 16 bytes in a row

// One 16-byte piece of a row. -DALIGNED=1: channels come in whole pieces; otherwise one by one.
__device__ void copy_piece(unsigned* target, Terms terms) {
#if ALIGNED
    copy_async(target, terms.start, terms.count > 0);
#else
    Element* elements = reinterpret_cast<Element*>(target);
    for (int i = 0; i < VECTOR; ++i) {
        assign(elements[i], i < terms.count ? to_float(terms.start[i]) : 0.0f);
    }
#endif
}

// A quarter of a stage's rows times a quarter of its columns.
__device__ void multiply_chunk(const unsigned (*pixels)[PITCH], const unsigned (*weights)[PITCH],
                               float (&sums)[2][4][4]) {
    const int lane = threadIdx.x % 32, group = lane / 4, member = lane % 4;
#pragma unroll
    for (int word = member; word < WORDS; word += 8) {
        unsigned a[2][4], b[4][2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            a[i][0] = pixels[16 * i + group][word];
            a[i][1] = pixels[16 * i + group + 8][word];
            a[i][2] = pixels[16 * i + group][word + 4];
            a[i][3] = pixels[16 * i + group + 8][word + 4];
        }
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            b[j][0] = weights[8 * j + group][word];
            b[j][1] = weights[8 * j + group][word + 4];
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                multiply(sums[i][j], a[i], b[j], Element());
            }
        }
    }
}

// Where the sums of a thread belong: rows g and g + 8, columns 2m and 2m + 1 of each product.
__device__ void store_quarter(const Layer& layer, int first_row, int rows, int first_column,
                              const float (&sums)[2][4][4]) {
    const int lane = threadIdx.x % 32, group = lane / 4, column = first_column + lane % 4 * 2;
    const float bias[4][2] = {
        {bias_of(layer, column), bias_of(layer, column + 1)},
        {bias_of(layer, column + 8), bias_of(layer, column + 9)},
        {bias_of(layer, column + 16), bias_of(layer, column + 17)},
        {bias_of(layer, column + 24), bias_of(layer, column + 25)},
    };
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int position = position_of(layer, first_row + 8 * i + group, rows);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const float* sum = &sums[i / 2][j][i % 2 * 2];
            const float pair[2] = {sum[0] + bias[j][0], sum[1] + bias[j][1]};
            store(layer, position, column + 8 * j, pair);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) convolve(const Layer layer) {
    SHARED(unsigned, pixels, [STAGES][TILE][PITCH]);
    SHARED(unsigned, weights, [STAGES][TILE][PITCH]);
    const int count = row_count(layer), columns = (layer.outputs + TILE - 1) / TILE;
    const int chunks = chunk_count(layer, LENGTH), tiles = (count + TILE - 1) / TILE * columns;
    const int loaded_row = threadIdx.x / PIECES, piece = threadIdx.x % PIECES;
    const int warp = threadIdx.x / 32, warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;

    write_skipped_cells(layer);
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int first_row = tile / columns * TILE, first_column = tile % columns * TILE;
        const Corner corners[2] = {
            corner_of(layer, position_of(layer, first_row + loaded_row, count)),
            corner_of(layer, position_of(layer, first_row + loaded_row + TILE / 2, count)),
        };
        Chunk next = {0, 0, 0, false};
        const auto load = [&](int number) {
            if (number < chunks) {
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const int row = loaded_row + half * TILE / 2, offset = piece * VECTOR, stage = number % STAGES;
                    copy_piece(&pixels[stage][row][4 * piece], input_terms(layer, corners[half], next, offset));
                    copy_piece(&weights[stage][row][4 * piece],
                               weight_terms(layer, first_column + row, next, offset));
                }
                next = following(layer, next, LENGTH);
            }
            commit_copies();
        };

        float sums[2][4][4] = {};
        for (int number = 0; number < STAGES - 1; ++number) {
            load(number);
        }
        for (int number = 0; number < chunks; ++number) {
            wait_for_copies<STAGES - 2>();
            __syncthreads();  // chunk `number` is there for all, and nobody reads the one before any more
            load(number + STAGES - 1);
            multiply_chunk(&pixels[number % STAGES][warp_row], &weights[number % STAGES][warp_column], sums);
        }
        __syncthreads();  // nobody reads when the next tile's first chunks come

        store_quarter(layer, first_row + warp_row, count, first_column + warp_column, sums);
    }
}
