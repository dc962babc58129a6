// Matrix products of bf16 numbers. The terms stand one after the other in k, each filled up with zeros to whole steps, so that a
// low-rank update is a few more steps of the same sums. The columns of b are packed once for all rows, in strips of pairs; rows of
// a are read where they lie if they are bf16 and whole steps long, else copied once.
//
// A task has a block of columns whose packed strips stay in the second-level cache, and takes its rows in groups of 32: a group's
// rows stay in the first-level cache while all strips pass, and the rows of the next group are fetched meanwhile. Rows of a that
// are a multiple of 4096 bytes apart are not copied for that: a group's rows are read from end to end, in whole lines, so that
// together they fill the cache evenly.
//
// Every element is one chain of sums in rising k. Between parts of k the chains are kept as they are, in f32, so results do not
// depend on the parts, on the block that an element falls into, or on other rows.
#include "allocator.h"
#include "bf16_pack.h"
#include "matmul_bf16.h"

enum {
    PART = 2560,          // of k, worked on at a time
    PART_UNIT = 64,       // whole blocks of NF4
    RESIDENT = 640 << 10, // elements of b in a block of columns: 1.25 MB of the second-level cache
    PACKED = 2 << 20,     // elements of b packed at a time, for the last-level cache
    FEW_ROWS = 64,        // for which every task packs the strips that it uses
    SHARED_ROWS = 512,    // the same, if there are strips for several tasks ...
    SHARED = 512 << 10,   // ... and as many elements of a, which all tasks then share, stay in the second-level cache
    LEAST_ROWS = 128,     // of a task otherwise: its first group waits for its rows, those of the others are fetched in time
    MOST_ROWS = 256,
    TASKS = 16,           // what a product is divided into, where its shape allows
    LEAST_STRIPS = 2,     // of a task: else no strip finds a group's rows close by
    THIN = 64             // a side, such as an adapter's rank: booked apart
};

// A block of the result: elements (i, j) at i * row + j * column of out, and of addend where there is one.
struct bf16_place {
    void *out;
    int32_t dtype;
    const float *addend;
    int64_t row, column;
};

// out = factor * sums + addend, sums in rows of STRIP.
BODY void write_sums(const struct bf16_place *place, const float *sums, int64_t rows, int64_t columns, float factor,
                     const bool native) {
    for (int64_t i = 0; i < rows; i++, sums += STRIP) {
        int64_t at = i * place->row;
        for (int64_t j = 0; j < columns && place->column != 1; j++) {
            float sum = factor * sums[j], *out = (float *)place->out + at + j * place->column;
            *out = place->addend ? sum + place->addend[at + j * place->column] : sum;
        }
        for (int64_t j = 0; j < columns && place->column == 1; j += LANES) {
            vector sum = splat(factor) * load(sums + j);
            if (place->addend) sum = sum + load_some(place->addend + at + j, columns - j);
            if (place->dtype == GRAFT_F32)
                store_some((float *)place->out + at + j, sum, columns - j);
            else
                store_bf16((uint16_t *)place->out + at + j, round_bf16(sum, native), columns - j);
        }
    }
}

// The rows of a group, segment by segment; those of the next too where the task has them.
static void find_rows(const struct work *w, struct bf16_run *runs, int64_t row, int64_t last_row) {
    for (int32_t i = 0; i < w->segment_count; i++) {
        const struct segment *s = &w->segments[i];
        bool is_copied = row >= s->copied_from, next_is_copied = row + GROUP >= s->copied_from;
        int64_t stride = is_copied ? s->depth : s->term.k;
        const uint16_t *a = is_copied ? s->copy + (row - s->copied_from) * stride
                                      : (const uint16_t *)s->term.a.data + row * stride + s->first;
        bool fetches = row + GROUP < last_row && is_copied == next_is_copied;
        runs[i] = (struct bf16_run){a, fetches ? a + GROUP * stride : NULL, stride, s->depth / STEP};
    }
}

// One group of rows against a task's strips. Whole blocks that need nothing but their sums are written by the unit itself.
BODY void multiply_group(const struct work *w, const struct bf16_run *runs, float *own_sums, const uint16_t *packed, int64_t row,
                         int64_t strip, int64_t strips, const bool native) {
    int64_t all_strips = divide_up(w->n, STRIP), rows = smaller(GROUP, w->m - row);
    bool is_plain = w->is_last_part && w->factor == 1 && !w->addend && w->out.dtype == GRAFT_F32 && w->out_column == 1;
    for (int64_t i = 0; i < strips; i++) {
        int64_t column = (strip + i) * STRIP, columns = smaller(STRIP, w->n - column);
        int64_t at = row * w->out_row + column * w->out_column;
        float *kept = w->sums ? w->sums + (row / GROUP * all_strips + strip + i) * (GROUP * STRIP) : own_sums;
        bool is_direct = is_plain && rows == GROUP && columns == STRIP;
        struct bf16_block block = {
            .runs = runs,
            .run_count = w->segment_count,
            .rows = (int32_t)rows,
            .columns = (int32_t)columns,
            .first_fetched = (int32_t)(i * GROUP / strips),
            .last_fetched = (int32_t)((i + 1) * GROUP / strips),
            .b = packed + i * STRIP * w->depth,
            .from = w->continues ? kept : NULL,
            .sums = is_direct ? (float *)w->out.data + at : kept,
            .sums_row = is_direct ? w->out_row : STRIP,
        };
        w->unit->block(&block);
        if (is_direct || !w->is_last_part) continue;
        size_t bytes = w->out.dtype == GRAFT_F32 ? sizeof(float) : sizeof(uint16_t);
        struct bf16_place place = {(char *)w->out.data + (size_t)at * bytes, w->out.dtype, w->addend ? w->addend + at : NULL,
                                   w->out_row, w->out_column};
        write_sums(&place, kept, rows, columns, w->factor, native);
    }
}

BODY void multiply(const struct work *w, int64_t task, const bool native) {
    int64_t row = task % w->row_blocks * w->task_rows, last_row = smaller(row + w->task_rows, w->m);
    int64_t strip = task / w->row_blocks * w->block_strips, strips = smaller(w->block_strips, w->strips - strip);
    size_t sums_bytes = GROUP * STRIP * sizeof(float);
    size_t runs_bytes = (size_t)round_up((int64_t)sizeof(struct bf16_run) * w->segment_count, 64);
    size_t own_bytes = w->packs_in_task ? PANEL * sizeof(float) + (size_t)(strips * STRIP * w->depth) * sizeof(uint16_t) : 0;
    char *scratch = pool_scratch(sums_bytes + runs_bytes + own_bytes);
    struct bf16_run *runs = (struct bf16_run *)(scratch + sums_bytes);
    float *unpacked = (float *)(scratch + sums_bytes + runs_bytes);
    uint16_t *packed = w->packs_in_task ? (uint16_t *)(unpacked + PANEL) : w->packed + strip * STRIP * w->depth;
    if (w->packs_in_task) {
        struct panel panel = {packed, unpacked, (w->first_strip + strip) * STRIP, strips, 0, w->depth / STEP};
        pack_panel(w, &panel, native);
    }
    w->unit->begin();
    for (; row < last_row; row += GROUP) {
        find_rows(w, runs, row, last_row);
        multiply_group(w, runs, (float *)scratch, packed, row, w->first_strip + strip, strips, native);
    }
    w->unit->end();
}

BODY void prepare_twin_body(const struct work *w, int64_t task) { prepare(w, task, false); }
VARIANTS(prepare_twin, (const struct work *w, int64_t task), (w, task))
BODY void multiply_twin_body(const struct work *w, int64_t task) { multiply(w, task, false); }
VARIANTS(multiply_twin, (const struct work *w, int64_t task), (w, task))

#if defined(__x86_64__)
BF16_TARGET static void prepare_native(const struct work *w, int64_t task) { prepare(w, task, true); }
BF16_TARGET static void multiply_native(const struct work *w, int64_t task) { multiply(w, task, true); }
#else
#define prepare_native prepare_twin
#define multiply_native multiply_twin
#endif

static void prepare_task(void *context, int64_t task) {
    const struct work *w = context;
    (w->native ? prepare_native : prepare_twin)(w, task);
}

static void multiply_task(void *context, int64_t task) {
    const struct work *w = context;
    (w->native ? multiply_native : multiply_twin)(w, task);
}

// Are the rows of a such that blocks read them where they are? (The last rows that are no whole group are copied even so.)
static bool reads_in_place(const struct product_term *term) {
    return term->a.dtype == GRAFT_BF16 && !term->a_transposed && term->k % STEP == 0;
}

// The segments of the part [first, last) of all terms' k, and their copies, laid out in `copies`. Returns how much of that is used.
static int64_t find_segments(struct work *w, const struct product_term *terms, int32_t count, int64_t first, int64_t last,
                             uint16_t *copies) {
    int64_t start = 0, used = 0;
    bool copies_all = false;
    w->segment_count = 0, w->depth = last - first;
    for (int32_t i = 0; i < count; start += round_up(terms[i++].k, STEP)) {
        int64_t begin = larger(start, first), end = smaller(start + round_up(terms[i].k, STEP), last);
        if (begin >= end) continue;
        struct segment *s = &w->segments[w->segment_count++];
        *s = (struct segment){.term = terms[i], .first = begin - start, .depth = end - begin, .offset = begin - first};
        s->copied_from = reads_in_place(&terms[i]) ? w->m / GROUP * GROUP : 0;
        s->copy = copies ? copies + used : NULL;
        used += (round_up(w->m, GROUP) - s->copied_from) * s->depth;
        copies_all = copies_all || s->copied_from == 0;
    }
    w->copy_tasks = used == 0 ? 0 : copies_all ? divide_up(w->m, COPIED_ROWS) : 1;
    return used;
}

// How the rows and columns of a part are divided into tasks.
static void divide(struct work *w) {
    int64_t strips = divide_up(w->n, STRIP), strip_elements = larger(w->depth, STEP) * STRIP;
    w->packs_in_task = w->m <= FEW_ROWS ||
                       (w->m <= SHARED_ROWS && w->m * w->depth <= SHARED && strips >= TASKS / 2);
    w->strips = w->packs_in_task ? strips : smaller(strips, larger(PACKED / strip_elements, 1));
    int64_t most = larger(RESIDENT / strip_elements, LEAST_STRIPS);
    w->block_strips = w->packs_in_task ? (strips < TASKS * PANEL_STRIPS ? LEAST_STRIPS : PANEL_STRIPS)
                                       : divide_up(w->strips, divide_up(w->strips, most));
    w->task_rows = smaller(larger(round_up(divide_up(w->m, TASKS), GROUP), LEAST_ROWS), MOST_ROWS);
    if (w->packs_in_task) w->task_rows = w->m;
    w->row_blocks = divide_up(w->m, w->task_rows);
}

static void run_part(struct work *w, const char *name) {
    divide(w);
    int64_t strips = divide_up(w->n, STRIP), at_a_time = w->strips;
    size_t bytes = w->packs_in_task ? 0 : (size_t)(at_a_time * STRIP * w->depth) * sizeof(uint16_t);
    w->packed = bytes ? working_space(bytes) : NULL;
    for (w->first_strip = 0; w->first_strip < strips; w->first_strip += at_a_time) {
        w->strips = smaller(at_a_time, strips - w->first_strip);
        int64_t pack_tasks = divide_up(w->strips, PANEL_STRIPS) * divide_up(w->depth, PACK_STEPS * STEP);
        pool_run("packing", w->copy_tasks + (w->packs_in_task ? 0 : pack_tasks), prepare_task, w);
        pool_run(name, w->row_blocks * divide_up(w->strips, w->block_strips), multiply_task, w);
        w->copy_tasks = 0;
    }
    if (w->packed) graft_release(w->packed, bytes);
}

static void run_product(struct work w, const struct product_term *terms, int32_t count) {
    int64_t depth = 0, least = smaller(w.m, w.n);
    for (int32_t i = 0; i < count; i++) depth += round_up(terms[i].k, STEP);
    const char *name = smaller(least, depth) <= THIN ? "thin products" : "products";
    int64_t parts = larger(divide_up(depth, PART), 1), part = round_up(divide_up(depth, parts), PART_UNIT);
    size_t segments_bytes = (size_t)larger(count, 1) * sizeof *w.segments;
    w.segments = working_space(segments_bytes);
    size_t sums_bytes = parts == 1 ? 0 : (size_t)(round_up(w.m, GROUP) * round_up(w.n, STRIP)) * sizeof(float);
    if (sums_bytes) w.sums = working_space(sums_bytes);
    for (int64_t i = 0; i < parts; i++) {
        int64_t first = smaller(i * part, depth), last = smaller(first + part, depth);
        size_t bytes = (size_t)find_segments(&w, terms, count, first, last, NULL) * sizeof(uint16_t);
        uint16_t *copies = bytes ? working_space(bytes) : NULL;
        find_segments(&w, terms, count, first, last, copies);
        w.continues = i > 0, w.is_last_part = i == parts - 1;
        run_part(&w, name);
        if (copies) graft_release(copies, bytes);
    }
    if (w.sums) graft_release(w.sums, sums_bytes);
    graft_release(w.segments, segments_bytes);
}

// A thin gradient of a weight is computed as its transpose, from the same chains: then the thin side is transposed, and the wide
// one only packed, by the tasks that use it.
static bool is_better_transposed(struct array out, const struct product_term *terms, int32_t count, int64_t m, int64_t n) {
    bool are_gradients = out.dtype == GRAFT_F32;
    for (int32_t i = 0; i < count; i++)
        are_gradients = are_gradients && terms[i].a_transposed && !terms[i].b_transposed && !is_quantized(terms[i].b);
    return are_gradients && n < m && n <= FEW_ROWS;
}

// Where terms have one factor, it belongs to the sums; else to each term's b.
void bf16_product(enum matrix_unit unit, struct array out, const float *addend, const struct product_term *given, int32_t count,
                  int64_t m, int64_t n) {
    static const struct bf16_unit *const units[] = {
        [PAIRS_TWIN] = &bf16_pairs_twin,
        [TILES_TWIN] = &bf16_tiles_twin,
#if defined(__x86_64__)
        [PAIRS] = &bf16_pairs_unit,
        [TILES] = &bf16_tiles_unit,
#endif
    };
    if (m == 0 || n == 0) return;
    bool transposes = is_better_transposed(out, given, count, m, n), is_one_factor = true;
    size_t bytes = (size_t)larger(count, 1) * sizeof *given;
    struct product_term *terms = working_space(bytes);
    for (int32_t i = 0; i < count; i++) is_one_factor = is_one_factor && given[i].factor == given[0].factor;
    for (int32_t i = 0; i < count; i++) {
        terms[i] = given[i];
        if (transposes) terms[i].a = given[i].b, terms[i].b = given[i].a;
        if (is_one_factor) terms[i].factor = 1;
    }
    struct work w = {.out = out, .addend = addend, .out_row = transposes ? 1 : n, .out_column = transposes ? n : 1,
                     .m = transposes ? n : m, .n = transposes ? m : n, .factor = is_one_factor && count > 0 ? given[0].factor : 1,
                     .unit = units[unit], .native = unit >= PAIRS};
    run_product(w, terms, count);
    graft_release(terms, bytes);
}

bool graft_matmul_on(const char *unit, struct array out, const float *addend, const struct product_term *terms, int32_t count,
                     int64_t m, int64_t n) {
    enum matrix_unit named = matrix_unit_named(unit);
    if (named != NO_MATRIX_UNIT) bf16_product(named, out, addend, terms, count, m, n);
    return named != NO_MATRIX_UNIT;
}
