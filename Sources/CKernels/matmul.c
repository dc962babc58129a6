// Matrix products. The columns of b are packed in strips (and converted, where b is not stored in f32), once for all rows. A task
// then owns a block of rows and columns of out: for each stretch of k it copies its rows of a side by side and runs them over the
// strips.
//
// Own loops and not OpenBLAS, because a row must come out the same wherever it stands: OpenBLAS 0.3.21's kernels for Haswell and
// Zen round rows 6-11 of every 12 differently from rows 0-5. Here an element is a chain of multiply-adds over each stretch of k,
// the stretches are added in order, and they depend on k only. Measured on one and two cores of Zen 3: 0.9-1.0 of OpenBLAS on large
// shapes, 1.5-1.7 times it where one side is 16.
#include "allocator.h"
#include "elements.h"
#include "matmul_bf16.h"
#include "product.h"
#include "thread_pool.h"

enum {
    ROWS = 48,          // of out in a task: a multiple of every tile's rows
    MOST_COLUMNS = 384, // of out in a task, so that its sums stay in the second-level cache
    FEW_ROWS = 32,      // for which packing b does not pay
    THIN = 64,          // a side, such as an adapter's rank: booked apart
    TASKS = 16          // what a product is divided into at least, where its shape allows
};

// rows [row, row + rows) of op(a) as [rows, depth]: far apart they would fall into the same lines of the caches, and as columns
// of a they would be read a few numbers at a time.
BODY void copy_rows(const struct product *p, const struct product_term *term, float *copy, int64_t row, int64_t rows,
                    int64_t first, int64_t depth) {
    if (!term->a_transposed) {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < depth; k += LANES)
                store_some(copy + r * depth + k,
                           load_elements(term->a.data, term->a.dtype, (row + r) * term->k + first + k, depth - k), depth - k);
        return;
    }
    for (int64_t r = 0; r < rows; r += LANES)
        for (int64_t k = 0; k < depth; k += LANES) {
            vector block[LANES];
            for (int i = 0; i < LANES; i++)
                block[i] = k + i < depth
                               ? load_elements(term->a.data, term->a.dtype, (first + k + i) * p->m + row + r, rows - r)
                               : splat(0);
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

BODY void multiply_strips(const struct product *p, const struct product_span *span, const struct block *block, struct strided a,
                          float *out, int64_t out_row, int64_t first, int64_t depth, bool adds, const int tile_rows,
                          const int vectors) {
    int64_t strip = vectors * LANES, span_depth = span->last - span->first, skipped = block->column - p->first_column;
    int64_t packed_columns = divide_up(p->last_column - p->first_column, strip) * strip;
    struct matrix b = span->term->b;
    for (int64_t j = 0; j < block->width; j += strip) {
        const float *packed = p->packed + span->packed * packed_columns + (skipped + j) * span_depth;
        int64_t at = first * p->n + block->column + j;
        float factor = span->term->factor;
        if (!p->b_in_place)
            strip_product(out + j, out_row, a, (struct matrix){packed + (first - span->first) * strip, GRAFT_F32}, strip,
                          block->rows, depth, factor, adds, tile_rows, vectors);
        else if (b.dtype == GRAFT_F32)
            strip_product(out + j, out_row, a, (struct matrix){(const float *)b.data + at, GRAFT_F32}, p->n, block->rows, depth,
                          factor, adds, tile_rows, vectors);
        else
            strip_product(out + j, out_row, a, (struct matrix){(const uint16_t *)b.data + at, GRAFT_BF16}, p->n, block->rows,
                          depth, factor, adds, tile_rows, vectors);
    }
}

BODY void multiply_stretch(const struct product *p, const struct product_span *span, const struct block *block, float *out,
                           int64_t out_row, int64_t first, int64_t depth, bool adds, const int tile_rows, const int vectors) {
    const struct product_term *term = span->term;
    bool is_f32 = term->a.dtype == GRAFT_F32;
    const float *a = term->a.data;
    if (is_f32 && term->a_transposed && p->m <= 2 * LANES) {
        struct strided columns = {a + first * p->m + block->row, 1, p->m}; // close together: no copy
        return multiply_strips(p, span, block, columns, out, out_row, first, depth, adds, tile_rows, vectors);
    }
    // For one strip a copy does not pay.
    bool copies = !is_f32 || term->a_transposed || block->width > vectors * LANES;
    if (copies) copy_rows(p, term, block->copy, block->row, block->rows, first, depth);
    struct strided rows = {copies ? block->copy : a + block->row * term->k + first, copies ? depth : term->k, 1};
    multiply_strips(p, span, block, rows, out, out_row, first, depth, adds, tile_rows, vectors);
}

BODY void write_sums(const struct product *p, const struct block *block) {
    for (int64_t i = 0; i < block->rows; i++) {
        const float *sums = block->sums + i * block->width;
        int64_t at = (block->row + i) * p->out_row + block->column * p->out_column;
        for (int64_t j = 0; p->out_column > 1 && j < block->columns; j++)
            ((float *)p->out.data)[at + j * p->out_column] = sums[j] + (p->addend ? p->addend[at + j * p->out_column] : 0);
        for (int64_t j = 0; p->out_column == 1 && j < block->columns; j += LANES) {
            int64_t count = block->columns - j;
            vector sum = load(sums + j);
            if (p->addend) sum = sum + load_some(p->addend + at + j, count);
            store_elements(p->out.data, p->out.dtype, at + j, sum, count);
        }
    }
}

BODY void product_block_body(const struct product *p, int64_t task, enum cpu_level level) {
    const int vectors = TILE_VECTORS(level), tile_rows = TILE_ROWS(level);
    struct block block = {.row = task / p->column_blocks * ROWS};
    block.column = p->first_column + task % p->column_blocks * p->block_columns;
    block.rows = smaller(ROWS, p->m - block.row), block.columns = smaller(p->block_columns, p->last_column - block.column);
    block.width = divide_up(block.columns, vectors * LANES) * vectors * LANES;
    block.copy = pool_scratch(ROWS * (STRETCH + MOST_COLUMNS) * sizeof(float)), block.sums = block.copy + ROWS * STRETCH;
    // One stretch of whole strips needs no sums.
    bool direct = p->span_count == 1 && p->depth <= p->spans[0].stretch && block.width == block.columns && p->out_column == 1 &&
                  p->out.dtype == GRAFT_F32 && (!p->addend || p->addend == p->out.data);
    if (direct) {
        float *out = (float *)p->out.data + block.row * p->out_row + block.column;
        return multiply_stretch(p, &p->spans[0], &block, out, p->out_row, p->spans[0].first, p->depth, p->addend != NULL,
                                tile_rows, vectors);
    }
    bool adds = false;
    for (int32_t s = 0; s < p->span_count; s++) {
        const struct product_span *span = &p->spans[s];
        for (int64_t first = span->first; first < span->last; first += span->stretch, adds = true)
            multiply_stretch(p, span, &block, block.sums, block.width, first, smaller(span->stretch, span->last - first), adds,
                             tile_rows, vectors);
    }
    write_sums(p, &block);
}
VARIANTS_BY_LEVEL(product_block, (const struct product *p, int64_t task), p, task)

static void product_task(void *context, int64_t task) { product_block(context, task); }

// The spans after element *k of term *t, which move on; at most SLICE elements of k. False where nothing is left.
static bool take_spans(struct product *p, const struct product_term *terms, int32_t count, int32_t *t, int64_t *k) {
    p->span_count = 0, p->depth = 0;
    while (*t < count && p->span_count < MOST_SPANS) {
        const struct product_term *term = &terms[*t];
        int64_t stretch = divide_up(divide_up(term->k, divide_up(larger(term->k, 1), STRETCH)), LANES) * LANES;
        int64_t room = (SLICE - p->depth) / STRETCH * larger(stretch, 1), last = smaller(term->k, *k + room);
        if (last == *k && term->k > 0) break;
        if (last > *k)
            p->spans[p->span_count++] = (struct product_span){term, *k, last, stretch, p->depth};
        p->depth += last - *k;
        *k = last;
        if (last == term->k) ++*t, *k = 0;
    }
    return p->span_count > 0;
}

// All rows against the columns and spans in work.
static void run_part(struct product *p) {
    int64_t strips = divide_up(p->last_column - p->first_column, p->strip), row_blocks = divide_up(p->m, ROWS);
    int64_t block_strips = divide_up(strips, divide_up(TASKS, row_blocks));
    p->block_columns = smaller(block_strips, MOST_COLUMNS / p->strip) * p->strip;
    p->column_blocks = divide_up(strips * p->strip, p->block_columns);
    if (!p->b_in_place) pack_columns(p);
    pool_run(p->work, row_blocks * p->column_blocks, product_task, p);
}

static void run_pass(struct product *p) {
    int64_t strips = divide_up(p->n, p->strip);
    int64_t columns = (p->b_in_place ? strips : smaller(strips, divide_up(PACKED, p->depth * p->strip))) * p->strip;
    size_t bytes = (size_t)(columns * p->depth) * sizeof(float);
    p->packed = p->b_in_place ? NULL : working_space(bytes);
    for (p->first_column = 0; p->first_column < p->n; p->first_column = p->last_column) {
        p->last_column = smaller(p->n, p->first_column + columns);
        run_part(p);
    }
    graft_release(p->packed, bytes);
}

static void write_addend(const struct product *p) {
    if (!p->addend)
        graft_fill(p->out.data, 0, p->m * p->n);
    else if (p->addend != p->out.data)
        memcpy(p->out.data, p->addend, (size_t)(p->m * p->n) * sizeof(float));
}

// Sums that take more than one pass are kept in out, which is f32.
static void run_product(struct product p, const struct product_term *terms, int32_t count) {
    int32_t t = 0;
    int64_t k = 0;
    if (!take_spans(&p, terms, count, &t, &k)) return write_addend(&p);
    run_pass(&p);
    while (take_spans(&p, terms, count, &t, &k)) {
        p.addend = p.out.data;
        run_pass(&p);
    }
}

static int64_t total_depth(const struct product_term *terms, int32_t count) {
    int64_t depth = 0;
    for (int32_t t = 0; t < count; t++) depth += divide_up(terms[t].k, STRETCH) * STRETCH;
    return depth;
}

// A 16-bit result is rounded once: from sums in f32, where they take more than one pass.
static void run_in_f32(struct product p, const struct product_term *terms, int32_t count) {
    size_t bytes = (size_t)(p.m * p.n) * sizeof(float);
    struct array out = p.out;
    p.out = (struct array){working_space(bytes), GRAFT_F32};
    run_product(p, terms, count);
    graft_convert(out.data, out.dtype, p.out.data, GRAFT_F32, p.m * p.n);
    graft_release(p.out.data, bytes);
}

void graft_matmul(struct array out, const float *addend, const struct product_term *terms, int32_t count, int64_t m, int64_t n,
                  bool bf16) {
    if (m == 0 || n == 0) return;
    enum matrix_unit unit = matrix_unit();
    if (bf16 && unit != NO_MATRIX_UNIT) return bf16_product(unit, out, addend, terms, count, m, n);
    struct product p = {.out = out, .out_row = n, .out_column = 1, .addend = addend, .m = m, .n = n, .rounds_weights = bf16};
    int64_t depth = total_depth(terms, count);
    p.work = smaller(smaller(m, n), depth) <= THIN || (count == 1 && terms[0].k <= THIN) ? "thin products" : "products";
    p.strip = TILE_VECTORS(cpu_level()) * LANES;
    if (out.dtype != GRAFT_F32 && (depth > SLICE || count > MOST_SPANS || depth == 0)) return run_in_f32(p, terms, count);
    // The smaller side takes the rows of tiles: the transpose of out, from the same sums.
    struct product_term only = terms[0];
    if (count == 1 && only.a_transposed && !only.b_transposed && n < m && n <= FEW_ROWS && out.dtype == GRAFT_F32) {
        only.a = terms[0].b, only.b = terms[0].a, terms = &only;
        p.out_row = 1, p.out_column = n, p.m = n, p.n = m;
    }
    bool is_as_computed = only.b.dtype == GRAFT_BF16 || (only.b.dtype == GRAFT_F32 && !bf16);
    p.b_in_place = count == 1 && !only.b_transposed && is_as_computed && p.m <= FEW_ROWS && p.n % p.strip == 0;
    run_product(p, terms, count);
}
