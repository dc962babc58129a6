import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Tokenizers

/// How a LoRA starts, trains and merges.
@Suite("LoRA") struct LoRATests {
    static let tokens: [Int32] = [5, 17, 300, 42, 42, 7, 199, 8, 11, 3]

    private func attached(
        _ base: String = "tiny-llama", seed: UInt64 = 7, _ change: (inout LoRAConfiguration) -> Void = { _ in }
    ) throws -> CausalLM {
        let model = try tinyModel(base)
        var configuration = LoRAConfiguration()
        change(&configuration)
        try attach(configuration, to: model, seed: seed)
        return model
    }

    private func adapter(_ model: CausalLM, _ path: String = "model.layers.0.mlp.down_proj") throws -> LoRAAdapter {
        let layer = model.modules().first { $0.path == path }?.module as? Linear
        return try #require(layer?.adapter("default") as? LoRAAdapter)
    }

    /// The loss's gradients by parameter, for sequences of dataset rows.
    private func gradients(
        _ model: CausalLM, rows: [Int] = [0], dropout: ForwardContext.DropoutStep? = nil, recomputes: Bool = false
    ) -> (logProbabilities: [Float], gradients: [String: [UInt32]]) {
        for (_, parameter) in model.parameters() { parameter.gradient = nil }
        let tape = Tape()
        let layout = SequenceLayout(rows.map { .init(count: Self.tokens.count, row: $0) })
        let context = ForwardContext(
            layout, tape: tape, adapters: ["default"], dropout: dropout, recompute: recomputes ? .layer : .none)
        let count = Self.tokens.count
        let predicting = rows.indices.flatMap { row in (0..<count - 1).map { Int32(row * count + $0) } }
        let (loss, scores) = model.score(
            rows.flatMap { _ in Self.tokens }, rows: predicting, targets: rows.flatMap { _ in Self.tokens.dropFirst() },
            coefficients: predicting.map { _ in -1 }, context)
        if let loss { tape.backward(from: loss) }
        var found: [String: [UInt32]] = [:]
        for (path, parameter) in model.parameters() { found[path] = parameter.gradient?.values.map(\.bitPattern) }
        return (scores.logProbabilities, found)
    }

    // MARK: - the start

    @Test("a new adapter changes nothing, trains alone, and derives from seed and path")
    func start() throws {
        let model = try attached()
        #expect(
            logProbabilities(model, Self.tokens, adapters: ["default"])
                == logProbabilities(try tinyModel(), Self.tokens))
        #expect(model.trainableParameters().count == 28)
        #expect(model.trainableParameters().allSatisfy { $0.path.contains("_proj.default.lora_") })
        #expect(try tensorBits(attached()) == tensorBits(model))
        #expect(try tensorBits(attached(seed: 8)) != tensorBits(model))
        // What else is adapted makes no difference to a layer.
        let alone = try attached { $0.target = TargetModules(.only(.list(["down_proj"]))) }
        #expect(try adapter(alone).a.value.values == adapter(model).a.value.values)
    }

    @Test("A is uniform in ±1/√in, or normal with deviation 1/r; B is zero")
    func initialValues() throws {
        // down_proj has 96 inputs; 64 ranks make 6144 draws.
        let kaiming = try adapter(attached { $0.r = 64 })
        let bound = Float(1 / 96.0.squareRoot())
        let values = kaiming.a.value.values
        #expect(values.allSatisfy { abs($0) <= bound })
        let deviation = (values.reduce(0) { $0 + $1 * $1 } / Float(values.count)).squareRoot()
        #expect(isClose(deviation, bound / Float(3).squareRoot(), relative: 0.03))
        #expect(abs(values.reduce(0, +) / Float(values.count)) < 0.03 * bound)
        #expect(kaiming.b.value.values.allSatisfy { $0 == 0 })

        let gaussian = try adapter(attached { ($0.r, $0.initialization) = (64, .gaussian) })
        let normal = gaussian.a.value.values
        #expect(isClose((normal.reduce(0) { $0 + $1 * $1 } / Float(normal.count)).squareRoot(), 1 / 64, relative: 0.03))
        #expect(normal.contains { abs($0) > 2.5 / 64 })
        #expect(gaussian.b.value.values.allSatisfy { $0 == 0 })

        let random = try adapter(attached { ($0.r, $0.initialization) = (64, .random) }).b.value.values
        #expect(random.allSatisfy { abs($0) <= 1 / 8 })
        #expect(random.contains { abs($0) > 1 / 9 })
    }

    // MARK: - training

    @Test("gradients reach the adapter alone; A's is zero while B is")
    func firstGradients() throws {
        let model = try attached { $0.r = 2 }
        let found = gradients(model).gradients
        #expect(found.keys.sorted() == model.trainableParameters().map(\.path).sorted())
        for (path, bits) in found { #expect(bits.contains { $0 << 1 != 0 } == path.contains("lora_B"), "\(path)") }
    }

    @Test("dropout is a function of seed, step and row, whatever else is in the batch")
    func dropout() throws {
        let model = try attached { ($0.loraDropout, $0.initialization) = (0.5, .random) }
        let step = ForwardContext.DropoutStep(seed: 3, step: 4)
        let first = gradients(model, rows: [6, 9], dropout: step)
        #expect(gradients(model, rows: [6, 9], dropout: step) == first)
        let count = Self.tokens.count - 1
        let (six, nine) = (first.logProbabilities[..<count], first.logProbabilities[count...])
        #expect(Array(six) != Array(nine))
        #expect(gradients(model, rows: [9], dropout: step).logProbabilities == Array(nine))
        #expect(gradients(model, rows: [9, 2, 6], dropout: step).logProbabilities.suffix(count) == six)
        let later = ForwardContext.DropoutStep(seed: 3, step: 5)
        #expect(gradients(model, rows: [6], dropout: later).logProbabilities != Array(six))
        // Without a step nothing is dropped.
        #expect(
            gradients(model, rows: [6]).logProbabilities == logProbabilities(model, Self.tokens, adapters: ["default"]))
    }

    @Test("recomputed layers give the same bits, with dropout too")
    func recomputation() throws {
        let model = try attached { ($0.loraDropout, $0.initialization) = (0.3, .random) }
        let step = ForwardContext.DropoutStep(seed: 3, step: 0)
        let kept = gradients(model, rows: [1, 2], dropout: step)
        #expect(gradients(model, rows: [1, 2], dropout: step, recomputes: true) == kept)
        #expect(gradients(model, rows: [1, 2], recomputes: true) != kept)
    }

    // MARK: - merging

    @Test("two adapters stack, apart and merged")
    func stacking() throws {
        let model = try attached { $0.initialization = .random }
        try attach(fixtureAdapter("tiny-llama/qv"), to: model, name: "second", isTrainable: false)
        #expect(model.trainableParameters().isEmpty)
        let both = logProbabilities(model, Self.tokens, adapters: ["default", "second"])
        #expect(both != logProbabilities(model, Self.tokens, adapters: ["second"]))
        #expect(throws: InputError.self) { try mergeAdapters(named: ["default", "third"], in: model) }
        #expect(logProbabilities(model, Self.tokens, adapters: ["default", "second"]) == both)
        #expect(try mergeAdapters(named: ["default", "second"], in: model).count == 14)
        #expect(distance(logProbabilities(model, Self.tokens), both, relative: 0, absolute: 2e-5) <= 1)
        #expect(throws: InputError.self) { try adapterTensors(of: model) }
    }

    @Test("an adapter of a tied head merges into a head of its own", arguments: bases)
    func tiedHead(base: String) throws {
        let model = try attached(base) {
            ($0.target, $0.initialization) = (TargetModules(.only(.list(["lm_head", "v_proj"]))), .random)
        }
        let loaded = try ModelRegistry.load(Locations.fixture("models/\(base)"))
        try attach(LoRAConfiguration(), to: loaded.model, seed: 1)
        detachAdapter(named: "default", from: loaded.model)
        let on = logProbabilities(model, Self.tokens, adapters: ["default"])
        let tensors = try TemporaryFolder()
        var configuration = LoRAConfiguration()
        configuration.target = TargetModules(.only(.list(["lm_head", "v_proj"])))
        try writeAdapter(configuration, of: model, to: tensors.path, record: AdapterRecord(baseModel: base))
        try attach(AdapterFolder(tensors.path), to: loaded.model, isTrainable: false)
        let names = loaded.model.parameters().filter { !$0.path.contains("lora") }.map(\.path)
        #expect(!names.contains("lm_head.weight"))
        try mergeAdapters(named: ["default"], in: loaded.model)
        #expect(loaded.model.parameters().map(\.path) == names + ["lm_head.weight"])
        #expect(distance(logProbabilities(loaded.model, Self.tokens), on, relative: 0, absolute: 2e-5) <= 1)

        let folder = try TemporaryFolder()
        let tokenizer = try Tokenizer(file: Locations.fixture("models/\(base)/tokenizer.json"))
        try writeHuggingFaceFolder(loaded, tokenizer: tokenizer, to: folder.path, dtype: .f32)
        #expect(try JSON(contentsOf: folder.file("config.json"))["tie_word_embeddings"] == false)
        let again = try ModelRegistry.load(folder.path)
        #expect(logProbabilities(again.model, Self.tokens) == logProbabilities(loaded.model, Self.tokens))
    }

    @Test("an embedding and a head that change alike stay one weight, and part where they do not")
    func ties() throws {
        for (isTied, change) in [
            (
                true,
                {
                    $0.target.include = .only(.list(["embed_tokens"])); $0.ensuresWeightTying = true
                }
            ),
            (true, { ($0.modulesToSave, $0.ensuresWeightTying) = (["lm_head"], true) }),
            (true, { $0.trainableTokens = .embedding([5, 42]) }),
            (true, { $0.target.include = .only(.list(["q_proj"])) }),
            (false, { $0.target.include = .only(.list(["embed_tokens"])) }),
            (false, { $0.modulesToSave = ["embed_tokens"] }),
            (false, { $0.trainableTokens = .tables(["embed_tokens": [5], "lm_head": [42]]) }),
        ] as [(Bool, (inout LoRAConfiguration) -> Void)] {
            let loaded = try ModelRegistry.load(Locations.fixture("models/tiny-llama"))
            var configuration = LoRAConfiguration()
            change(&configuration)
            configuration.initialization = .random
            try attach(configuration, to: loaded.model, seed: 1)
            for (path, parameter) in loaded.model.trainableParameters() {
                let factor: Float = path.contains("lora_embedding_") ? 0.2 : 1
                let values = parameter.value.values.enumerated().map { factor * $1 + Float($0 % 5) / 50 }
                parameter.value = Tensor(values, shape: parameter.value.shape)
            }
            let on = logProbabilities(loaded.model, Self.tokens, adapters: ["default"])
            try mergeAdapters(named: ["default"], in: loaded.model)
            let folder = try TemporaryFolder()
            let tokenizer = try Tokenizer(file: Locations.fixture("models/tiny-llama/tokenizer.json"))
            try writeHuggingFaceFolder(loaded, tokenizer: tokenizer, to: folder.path, dtype: .f32)
            #expect(try JSON(contentsOf: folder.file("config.json"))["tie_word_embeddings"] == .bool(isTied))
            let again = try ModelRegistry.load(folder.path).model
            #expect(distance(logProbabilities(again, Self.tokens), on, relative: 0, absolute: 2e-5) <= 1)
        }
    }

    @Test("PiSSA starts as the best approximation of the weight, rounds come near it, OLoRA as part of its QR")
    func decompositions() throws {
        let weight = try #require(try tinyModel().parameters().first { $0.path.hasSuffix("0.mlp.down_proj.weight") })
        func share(_ initialization: LoRAConfiguration.Initialization) throws -> Double {
            let pair = try adapter(
                attached {
                    ($0.r, $0.loraAlpha, $0.initialization) = (8, 24, initialization)
                    $0.target = TargetModules(.only(.list(["down_proj"])))
                })
            let rest = pair.merged(into: weight.parameter.value)
            #expect(distance(rest.values, weight.parameter.value.values, relative: 0, absolute: 1e-5) <= 1)
            let product = matrixProduct(pair.b.value, pair.a.value)
            let left = weight.parameter.value.copied()
            left.addInPlace(product, factor: -3)
            return left.sumOfSquares / weight.parameter.value.sumOfSquares
        }
        let best = try share(.pissa(rounds: nil))
        let matrix = ColumnMatrix(weight.parameter.value)
        let values = SingularValues(of: matrix, rank: 64).values.map { $0 * $0 }
        #expect(isClose(best, values.dropFirst(8).reduce(0, +) / values.reduce(0, +), relative: 1e-5, absolute: 0))
        #expect(try isClose(share(.pissa(rounds: 40)), best, relative: 1e-3, absolute: 0))
        let rough = try share(.pissa(rounds: 0))
        #expect(rough > best * 1.01 && rough < 1)
        // What is left of W after Q's first columns is orthogonal to them: less than W.
        #expect(try share(.olora) < 10)
    }

    @Test("weights stored in bf16 merge in f32")
    func bf16Base() throws {
        let loaded = try ModelRegistry.load(Locations.fixture("models/tiny-llama"), weights: .bf16)
        try attach(fixtureAdapter("tiny-llama/all-linear"), to: loaded.model, isTrainable: false)
        let on = logProbabilities(loaded.model, Self.tokens, adapters: ["default"])
        try mergeAdapters(named: ["default"], in: loaded.model)
        #expect(distance(logProbabilities(loaded.model, Self.tokens), on, relative: 0, absolute: 2e-5) <= 1)
    }
}
