import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// What must come out equal, to the bit or to rounding, whichever way a run is cut. Dropout is on throughout.
@Suite("Equalities of training") struct EqualityTests {
    @Test("recomputed = kept activations, to the bit", arguments: [Recompute.layer, .attention], Precision.allCases)
    func recomputation(_ recompute: Recompute, _ precision: Precision) throws {
        var run = TinyRun()
        run.precision = precision
        let kept = try run.result()
        run.options.recompute = recompute
        #expect(try run.result().isIdentical(to: kept))
    }

    @Test("a batch in several passes = in one, to rounding")
    func passes() throws {
        var run = TinyRun()
        run.size = .rows(8)
        let whole = try run.result()
        for tokens in [1, 250, 1000] {
            run.options.tokensPerPass = tokens
            let parts = try run.result()
            #expect(!parts.isSameModel(as: whole) || tokens == 1000)
            #expect(parts.difference(from: whole) < 1e-5, "\(tokens) tokens a pass")
            #expect(
                zip(parts.steps, whole.steps).allSatisfy { $0.tokens == $1.tokens && abs($0.loss - $1.loss) < 1e-6 })
        }
    }

    @Test("dropout acts, and goes by the seed")
    func dropout() throws {
        var run = TinyRun()
        let dropped = try run.result()
        run.options.seed += 1
        #expect(try run.result().difference(from: dropped) > 1e-3)
        run.options.seed -= 1
        run.dropout = 0
        #expect(try run.result().difference(from: dropped) > 1e-3)
    }

    /// In a process of its own, so that no other test takes the threads.
    @Test("1 thread = 2 threads = 4 threads, to the bit", arguments: [false, true])
    func threads(_ inBF16: Bool) async {
        await #expect(processExitsWith: .success) { [inBF16 = inBF16 as Bool] in
            var run = TinyRun()
            run.precision = inBF16 ? .bf16 : .f32
            run.size = .rows(8)
            let results = try [1, 2, 4, 3].map { count in
                Device.cpu.threads = count
                #expect(Device.cpu.threads == count)
                return try run.result()
            }
            for result in results.dropFirst() { #expect(result.isIdentical(to: results[0])) }
        }
    }

    @Test("packed = alone: log-probabilities to the bit", arguments: Precision.allCases)
    func packedForward(_ precision: Precision) throws {
        var run = TinyRun()
        run.precision = precision
        let model = try run.adaptedModel()
        let rows = TinyRun.rows
        let alone = rows.flatMap { scores(model, [$0]) }
        for order in [rows, rows.reversed(), Array(rows[7...] + rows[..<7])] {
            for count in [2, 5, rows.count] {
                let packed = stride(from: 0, to: rows.count, by: count).flatMap {
                    scores(model, Array(order[$0..<min($0 + count, rows.count)]))
                }.sorted { $0.row < $1.row }
                #expect(packed.map(\.logp) == alone.map(\.logp), "\(count) rows a batch")
            }
        }
    }

    @Test("packed = alone: a row's gradient to rounding")
    func packedGradient() throws {
        let model = try TinyRun().adaptedModel()
        for chosen in [0, 11, 23] {
            let alone = gradients(model, [TinyRun.rows[chosen]], of: chosen)
            let packed = gradients(model, TinyRun.rows, of: chosen)
            #expect(alone.count == 28 && alone.keys == packed.keys)
            for (path, gradient) in alone {
                #expect(relativeDifference(packed[path] ?? [], gradient) < 1e-5, "\(path)")
            }
        }
    }

    /// With plain gradient descent and no clipping, a difference of weights is the difference of gradients.
    @Test("8 × 1 = 1 × 8 = 2 × 4 rows a step, to rounding", arguments: [(1, 8), (2, 4), (3, 3)])
    func accumulation(_ rows: Int, _ batches: Int) throws {
        var run = TinyRun()
        run.makeOptimizer = { SGD(momentum: 0.9) }
        run.options.maxGradientNorm = nil
        run.options.totalSteps = 3
        run.rows = Array(TinyRun.rows.prefix(rows * batches)).enumerated().map { index, row in
            // Rows count differently, so that means of means would show.
            var row = row
            for place in row.isTarget.indices where place > 20 * (index % 3 + 1) { row.isTarget[place] = false }
            return row
        }
        run.size = .rows(rows * batches)
        let whole = try run.result()
        (run.size, run.accumulation) = (.rows(rows), batches)
        let accumulated = try run.result()
        #expect(accumulated.difference(from: whole) < 1e-5)
        #expect(isClose(accumulated.steps.map(\.loss), whole.steps.map(\.loss), relative: 1e-5, absolute: 0))
        let norms = (accumulated.steps.map(\.gradientNorm), whole.steps.map(\.gradientNorm))
        #expect(isClose(norms.0, norms.1, relative: 1e-5, absolute: 0))
        #expect(accumulated.steps.map(\.trainedTokens) == whole.steps.map(\.trainedTokens))
    }

    @Test("frozen weights do not change by a bit")
    func frozenWeights() throws {
        let run = TinyRun()
        let model = try run.adaptedModel()
        func weights(trainable: Bool) -> [[UInt32]] {
            model.parameters().filter { $0.parameter.isTrainable == trainable }.map {
                $0.parameter.value.values.map(\.bitPattern)
            }
        }
        let (frozen, trained) = (weights(trainable: false), weights(trainable: true))
        #expect(try run.loop(model, AdamW(weightDecay: 0.1)).run() == .finished)
        #expect(frozen.count == 20 && weights(trainable: false) == frozen)
        #expect(zip(weights(trainable: true), trained).allSatisfy { $0 != $1 })
    }

    /// In a process of its own, because the count is the process's.
    @Test("a step asks the system for no memory once the largest batch has been seen", arguments: [false, true])
    func systemAllocations(_ recomputes: Bool) async {
        await #expect(processExitsWith: .success) { [recomputes = recomputes as Bool] in
            var run = TinyRun()
            // The longest rows first: 8 of them, then fewer and shorter ones.
            let rows = TinyRun.rows.sorted { $0.tokens.count > $1.tokens.count }
            run.rows = Array(rows.prefix(8)) + rows.suffix(13)
            run.size = .rows(8)
            run.options.recompute = recomputes ? .layer : .none
            let model = try run.adaptedModel()
            _ = Evaluator(model, adapters: ["default"]).evaluate(run.rows)
            var counts: [Int] = []
            let hooks = TrainingHooks(didStep: { _ in counts.append(Device.cpu.memory.systemAllocations) })
            #expect(try run.loop(model, AdamW(), hooks: hooks).run() == .finished)
            #expect(counts.count == 6)
            #expect(counts == Array(repeating: counts[0], count: 6), "\(counts)")
        }
    }

    private func scores(_ model: CausalLM, _ rows: [Example]) -> [(row: Int, logp: [Float])] {
        let (tokens, positions, targets, layout) = flat(rows)
        let context = ForwardContext(layout, adapters: ["default"], dropout: .init(seed: 3, step: 5))
        var logp = model.score(tokens, rows: positions, targets: targets, context).scores.logProbabilities[...]
        return rows.map { row in
            defer { logp = logp.dropFirst(row.tokens.count - 1) }
            return (row.row, Array(logp.prefix(row.tokens.count - 1)))
        }
    }

    /// The gradient of one row's summed log-probability in a batch with others.
    private func gradients(_ model: CausalLM, _ rows: [Example], of chosen: Int) -> [String: [Float]] {
        let (tokens, positions, targets, layout) = flat(rows)
        let tape = Tape()
        let context = ForwardContext(layout, tape: tape, adapters: ["default"], dropout: .init(seed: 3, step: 5))
        let coefficients = positions.map { layout.rowKeys[Int($0)] == Int64(chosen) ? -1 : 0 as Float }
        let loss = model.score(tokens, rows: positions, targets: targets, coefficients: coefficients, context).loss
        if let loss { tape.backward(from: loss) }
        let result = model.trainableParameters().map { ($0.path, $0.parameter.gradient?.values ?? []) }
        for (_, parameter) in model.trainableParameters() { parameter.gradient = nil }
        return Dictionary(result, uniquingKeysWith: { $1 })
    }

    /// All tokens but the first of each row predicted.
    private func flat(
        _ rows: [Example]
    ) -> (tokens: [Int32], positions: [Int32], targets: [Int32], layout: SequenceLayout) {
        var (tokens, positions, targets): ([Int32], [Int32], [Int32]) = ([], [], [])
        for row in rows {
            positions += (0..<row.tokens.count - 1).map { Int32(tokens.count + $0) }
            targets += row.tokens.dropFirst()
            tokens += row.tokens
        }
        let layout = SequenceLayout(rows.map { .init(count: $0.tokens.count, row: $0.row) })
        return (tokens, positions, targets, layout)
    }
}
