// Matrix products. The columns of b are packed in strips (and converted, where b is stored in bf16), once for all rows. A task
// then owns a block of rows and columns of out: for each stretch of k it copies its rows of a side by side and runs them over the
// strips.
//
// Own loops and not OpenBLAS, because a row must come out the same wherever it stands: OpenBLAS 0.3.21's kernels for Haswell and
// Zen round rows 6-11 of every 12 differently from rows 0-5. Here an element is a chain of multiply-adds over each stretch of k,
// the stretches are added in order, and they depend on k only. Measured on one and two cores of Zen 3: 0.9-1.0 of OpenBLAS on large
// shapes, 1.5-1.7 times it where one side is 16.
#include "allocator.h"
#include "kernels.h"
#include "thread_pool.h"
#include "tile.h"

enum {
    STRETCH = 256,      // of k, so that a strip of b and a tile's rows of a share the first-level cache
    SLICE = 2048,       // of k, packed at a time
    PACKED = 5 << 18,   // elements of b packed at a time, for the last-level cache
    ROWS = 48,          // of out in a task: a multiple of every tile's rows
    MOST_COLUMNS = 384, // of out in a task, so that its sums stay in the second-level cache
    PACKED_ROWS = 64,   // of b in a packing task, where b is not transposed
    FEW_ROWS = 32,      // for which packing b does not pay
    THIN = 64,          // a side, such as an adapter's rank: booked apart
    TASKS = 16          // what a product is divided into at least, where its shape allows
};

struct product {
    float *out; // element (i, j) at i * out_row + j * out_column
    int64_t out_row, out_column;
    struct strided a;
    struct matrix b;
    int64_t m, n, k;
    float factor;
    bool accumulate, b_transposed;
    bool b_in_place;
    const char *work;
    // The part of b in work: columns and rows of op(b), packed as [strip][k, strip's columns].
    float *packed;
    int64_t first_column, last_column, first_k, last_k, stretch, strip;
    int64_t block_columns, column_blocks; // of a task
};

// 16 elements of b, of which `count` exist.
BODY vector load_b(const struct product *p, int64_t at, int64_t count) {
    if (p->b.dtype == GRAFT_F32) return load_some((const float *)p->b.data + at, count);
    if (count >= LANES) return widen_bf16((const uint16_t *)p->b.data + at);
    uint16_t some[LANES] = {0};
    memcpy(some, (const uint16_t *)p->b.data + at, (size_t)count * sizeof(uint16_t));
    return widen_bf16(some);
}

// Packing of transposed b: 16 rows of it become 16 columns, zeros past the last.
BODY void pack_transposed(const struct product *p, float *packed, int64_t column) {
    int64_t columns = p->n - column, depth = p->last_k - p->first_k;
    for (int64_t k = 0; k < depth; k += LANES) {
        vector block[LANES];
        for (int j = 0; j < LANES; j++)
            block[j] = j < columns ? load_b(p, (column + j) * p->k + p->first_k + k, depth - k) : splat(0);
        transpose_16(block);
        for (int64_t i = 0; i < smaller(LANES, depth - k); i++) store(packed + (k + i) * p->strip, block[i]);
    }
}

// Transposed b is packed strip by strip, b itself a few rows at a time: both then read b in order.
BODY void pack_body(const struct product *p, int64_t task) {
    int64_t depth = p->last_k - p->first_k, strips = divide_up(p->last_column - p->first_column, p->strip);
    if (p->b_transposed) {
        for (int64_t j = 0; j < p->strip; j += LANES)
            pack_transposed(p, p->packed + task * p->strip * depth + j, p->first_column + task * p->strip + j);
        return;
    }
    for (int64_t k = task * PACKED_ROWS; k < smaller(depth, (task + 1) * PACKED_ROWS); k++)
        for (int64_t j = 0; j < strips * p->strip; j += LANES) {
            int64_t column = p->first_column + j, at = (p->first_k + k) * p->n + column;
            vector v = column < p->n ? load_b(p, at, p->n - column) : splat(0);
            store(p->packed + j / p->strip * p->strip * depth + k * p->strip + j % p->strip, v);
        }
}
VARIANTS(pack, (const struct product *p, int64_t task), (p, task))

static void pack_task(void *context, int64_t task) { pack(context, task); }

// rows [row, row + rows) of op(a) as [rows, depth]: far apart they would fall into the same lines of the caches, and as columns
// of a they would be read a few numbers at a time.
BODY void copy_rows(const struct product *p, float *copy, int64_t row, int64_t rows, int64_t first, int64_t depth) {
    const float *from = p->a.data + row * p->a.row + first * p->a.column;
    if (p->a.column == 1) {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < depth; k += LANES)
                store_some(copy + r * depth + k, load_some(from + r * p->a.row + k, depth - k), depth - k);
        return;
    }
    for (int64_t r = 0; r < rows; r += LANES)
        for (int64_t k = 0; k < depth; k += LANES) {
            vector block[LANES];
            for (int i = 0; i < LANES; i++)
                block[i] = k + i < depth ? load_some(from + r + (k + i) * p->a.column, rows - r) : splat(0);
            transpose_16(block);
            for (int64_t i = 0; i < smaller(LANES, rows - r); i++)
                store_some(copy + (r + i) * depth + k, block[i], depth - k);
        }
}

// A task's block of out: from (row, column), its sums [rows, width] with the columns rounded up to strips.
struct block {
    int64_t row, rows, column, columns, width;
    float *copy, *sums;
};

BODY void multiply_strips(const struct product *p, const struct block *block, struct strided a, float *out, int64_t out_row,
                          int64_t first, int64_t depth, float factor, bool adds, const int tile_rows, const int vectors) {
    int64_t strip = vectors * LANES, slice = p->last_k - p->first_k, skipped = block->column - p->first_column;
    for (int64_t j = 0; j < block->width; j += strip) {
        const float *b = p->packed + (skipped + j) * slice + (first - p->first_k) * strip;
        int64_t b_row = strip;
        if (p->b_in_place) b = (const float *)p->b.data + first * p->n + block->column + j, b_row = p->n;
        strip_product(out + j, out_row, a, b, b_row, block->rows, depth, factor, adds, tile_rows, vectors);
    }
}

BODY void multiply_stretch(const struct product *p, const struct block *block, float *out, int64_t out_row, int64_t first,
                           int64_t depth, float factor, bool adds, const int tile_rows, const int vectors) {
    const float *a = p->a.data + block->row * p->a.row + first * p->a.column;
    if (p->a.column > 1 && p->a.column <= 2 * LANES) {
        struct strided columns = {a, p->a.row, p->a.column}; // close together: no copy
        return multiply_strips(p, block, columns, out, out_row, first, depth, factor, adds, tile_rows, vectors);
    }
    bool copies = p->a.column > 1 || block->width > vectors * LANES; // for one strip a copy does not pay
    if (copies) copy_rows(p, block->copy, block->row, block->rows, first, depth);
    struct strided rows = {copies ? block->copy : a, copies ? depth : p->a.row, 1};
    multiply_strips(p, block, rows, out, out_row, first, depth, factor, adds, tile_rows, vectors);
}

BODY void write_sums(const struct product *p, const struct block *block, bool adds) {
    for (int64_t i = 0; i < block->rows; i++) {
        const float *sums = block->sums + i * block->width;
        float *out = p->out + (block->row + i) * p->out_row + block->column * p->out_column;
        for (int64_t j = 0; p->out_column > 1 && j < block->columns; j++)
            out[j * p->out_column] = p->factor * sums[j] + (adds ? out[j * p->out_column] : 0);
        for (int64_t j = 0; p->out_column == 1 && j < block->columns; j += LANES) {
            int64_t count = block->columns - j;
            vector old = adds ? load_some(out + j, count) : splat(0);
            store_some(out + j, splat(p->factor) * load(sums + j) + old, count);
        }
    }
}

BODY void product_block_body(const struct product *p, int64_t task, enum cpu_level level) {
    const int tile_rows = TILE_ROWS(level), vectors = TILE_VECTORS(level);
    struct block block = {.row = task / p->column_blocks * ROWS};
    block.column = p->first_column + task % p->column_blocks * p->block_columns;
    block.rows = smaller(ROWS, p->m - block.row), block.columns = smaller(p->block_columns, p->last_column - block.column);
    block.width = divide_up(block.columns, vectors * LANES) * vectors * LANES;
    block.copy = pool_scratch(ROWS * (STRETCH + MOST_COLUMNS) * sizeof(float)), block.sums = block.copy + ROWS * STRETCH;
    float *out = p->out + block.row * p->out_row + block.column;
    bool adds = p->accumulate || p->first_k > 0;
    // One stretch of whole strips needs no sums.
    bool direct = p->last_k - p->first_k <= p->stretch && block.width == block.columns && p->out_column == 1;
    for (int64_t first = p->first_k; first < p->last_k; first += p->stretch) {
        int64_t depth = smaller(p->stretch, p->last_k - first);
        if (direct)
            multiply_stretch(p, &block, out, p->out_row, first, depth, p->factor, adds, tile_rows, vectors);
        else
            multiply_stretch(p, &block, block.sums, block.width, first, depth, 1, first > p->first_k, tile_rows,
                             vectors);
    }
    if (!direct) write_sums(p, &block, adds);
}
VARIANTS_BY_LEVEL(product_block, (const struct product *p, int64_t task), p, task)

static void product_task(void *context, int64_t task) { product_block(context, task); }

// All rows against the columns and the slice of k in work.
static void run_part(struct product *p) {
    int64_t strips = divide_up(p->last_column - p->first_column, p->strip), row_blocks = divide_up(p->m, ROWS);
    int64_t block_strips = divide_up(strips, divide_up(TASKS, row_blocks));
    p->block_columns = smaller(block_strips, MOST_COLUMNS / p->strip) * p->strip;
    p->column_blocks = divide_up(strips * p->strip, p->block_columns);
    int64_t pack_tasks = p->b_transposed ? strips : divide_up(p->last_k - p->first_k, PACKED_ROWS);
    if (!p->b_in_place) pool_run("packing", pack_tasks, pack_task, p);
    pool_run(p->work, row_blocks * p->column_blocks, product_task, p);
}

static void run_product(struct product p) {
    if (p.m == 0 || p.n == 0) return;
    if (p.k == 0) {
        if (!p.accumulate) graft_fill(p.out, 0, p.m * p.n);
        return;
    }
    p.work = smaller(smaller(p.m, p.n), p.k) <= THIN ? "thin products" : "products";
    p.strip = TILE_VECTORS(cpu_level()) * LANES;
    p.b_in_place = p.m <= FEW_ROWS && !p.b_transposed && p.b.dtype == GRAFT_F32 && p.n % p.strip == 0;
    p.stretch = divide_up(divide_up(p.k, divide_up(p.k, STRETCH)), LANES) * LANES;
    int64_t slice = smaller(p.k, SLICE / STRETCH * p.stretch);
    int64_t columns = smaller(divide_up(p.n, p.strip), divide_up(PACKED, slice * p.strip)) * p.strip;
    size_t bytes = (size_t)(columns * slice) * sizeof(float);
    p.packed = working_space(bytes);
    for (p.first_k = 0; p.first_k < p.k; p.first_k = p.last_k) {
        p.last_k = smaller(p.k, p.first_k + slice);
        for (p.first_column = 0; p.first_column < p.n; p.first_column = p.last_column) {
            p.last_column = smaller(p.n, p.first_column + columns);
            run_part(&p);
        }
    }
    graft_release(p.packed, bytes);
}

void graft_matmul_nt(float *out, const float *a, struct matrix b, int64_t m, int64_t n, int64_t k, float factor,
                     bool accumulate) {
    run_product((struct product){.out = out, .out_row = n, .out_column = 1, .a = {a, k, 1}, .b = b, .m = m, .n = n, .k = k,
                                 .factor = factor, .accumulate = accumulate, .b_transposed = true});
}

void graft_matmul_nn(float *out, const float *a, struct matrix b, int64_t m, int64_t n, int64_t k, float factor,
                     bool accumulate) {
    run_product((struct product){.out = out, .out_row = n, .out_column = 1, .a = {a, k, 1}, .b = b, .m = m, .n = n, .k = k,
                                 .factor = factor, .accumulate = accumulate, .b_transposed = false});
}

// out = a^T b: the sum over k is the sum over tokens, in stretches of at most 256 rows added in order.
void graft_matmul_tn(float *out, const float *a, const float *b, int64_t m, int64_t n, int64_t t, float factor,
                     bool accumulate) {
    struct product p = {.out = out, .out_row = n, .out_column = 1, .a = {a, 1, m}, .b = {b, GRAFT_F32}, .m = m, .n = n, .k = t,
                        .factor = factor, .accumulate = accumulate, .b_transposed = false};
    // The smaller side takes the rows of tiles: the transpose of out, from the same sums.
    if (n < m && n <= FEW_ROWS)
        p.out_row = 1, p.out_column = n, p.a = (struct strided){b, 1, n}, p.b.data = a, p.m = n, p.n = m;
    run_product(p);
}
