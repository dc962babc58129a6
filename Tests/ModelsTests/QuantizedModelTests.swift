import Files
import Foundation
import Models
import Tensors
import TestSupport
import Testing

/// Models whose linear layers are kept as int8 or NF4, against transformers with the numbers that bitsandbytes gives back:
/// `Tests/Fixtures/quantization`.
@Suite("Quantised models") struct QuantizedModelTests {
    static let types: [DType] = [.int8, .nf4, .nf4DoubleQuant]

    @Test(
        "log-probabilities are those of bitsandbytes' numbers, and to the bit those of the same model in f32",
        arguments: types)
    func tiny(_ type: DType) throws {
        let golden = try JSON(contentsOf: Locations.fixture("quantization/tiny-llama.json"))[type.rawValue]?.array ?? []
        let sequences =
            try JSON(contentsOf: Locations.fixture("models/tiny-llama/golden.json"))["sequences"]?.array ?? []
        try check(
            Locations.fixture("models/tiny-llama"), type, sequences.map { ids($0["tokens"]) }, golden, within: 2e-5)
    }

    @Test(
        "SmolLM2: the same, and what is stored is bitsandbytes' to the bit",
        .enabled(if: Locations.model != nil, "needs Models/SmolLM2-135M-Instruct.gguf (make model)"), arguments: types)
    func smolLM2(_ type: DType) throws {
        let golden = try JSON(contentsOf: Locations.fixture("quantization/smollm2.json"))
        let texts = try JSON(contentsOf: Locations.fixture("models/smollm2.json"))["texts"]?.array ?? []
        let model = try check(
            #require(Locations.model), type, texts.map { ids($0["tokens"]) },
            golden["logprobs"]?[type.rawValue]?.array ?? [], within: 1e-4)
        let lanes = Device.cpu.path == "avx512" ? 16 : 8
        for (kind, hashes) in golden["hashes"]?.object ?? [:] {
            let (codes, absmax, nested) = (ContentHash(), ContentHash(), ContentHash())
            for (path, parameter) in model.parameters() where path.contains(kind) && parameter.value.dtype == type {
                let parts = parameter.value.quantizedParts
                parts.codes.withUnsafeBytes { codes.add($0) }
                parts.scales.withUnsafeBytes { absmax.add($0) }
                parts.nestedCodes.withUnsafeBytes { nested.add($0) }
                parts.nestedScales.withUnsafeBytes { nested.add($0) }
                withUnsafeBytes(of: parts.offset) { nested.add($0) }
            }
            if type != .int8 { #expect(codes.hexadecimal == hashes["codes"]?.string) }
            if type == .nf4 { #expect(absmax.hexadecimal == hashes["absmax"]?.string) }
            if type == .nf4DoubleQuant { #expect(nested.hexadecimal == hashes["nested.\(lanes)"]?.string) }
        }
    }

    @Test("linear layers are quantised; embeddings, head, norms and biases are not", arguments: Precision.allCases)
    func layers(_ precision: Precision) throws {
        for (name, checkpointInBF16) in [("tiny-llama-untied", false), ("tiny-qwen2", true)] {
            let loaded = try ModelRegistry.load(
                Locations.fixture("models/\(name)"), weights: .nf4DoubleQuant, precision: precision)
            for (path, parameter) in loaded.model.parameters() {
                let isTable = path.contains("embed_tokens") || path.contains("lm_head")
                let table: DType = checkpointInBF16 || precision == .bf16 ? .bf16 : .f32
                let expected: DType =
                    parameter.value.shape.count == 1 ? .f32 : isTable ? table : .nf4DoubleQuant
                #expect(parameter.value.dtype == expected, "\(path)")
            }
        }
    }

    @Test(
        "what is skipped is as one says: head and embeddings are quantised where they are not, a single layer where it is",
        arguments: [
            ("tiny-llama", DType.int8, []), ("tiny-llama", .nf4, ["lm_head"]), ("tiny-llama", .nf4, ["embed_tokens"]),
            ("tiny-llama-untied", .nf4DoubleQuant, []), ("tiny-llama-untied", .nf4, ["lm_head"]),
            ("tiny-qwen2", .nf4DoubleQuant, ["layers.0", "layers.1.mlp.down_proj"]),
        ])
    func skipped(_ name: String, _ type: DType, _ names: [String]) throws {
        let folder = Locations.fixture("models/\(name)")
        let loaded = try ModelRegistry.load(folder, weights: type, skipping: SkippedModules(names))
        let isTied = loaded.model.head?.weight === loaded.model.model.embedding.weight
        var kinds: Set<String> = []
        for (path, parameter) in loaded.model.parameters() where parameter.value.shape.count == 2 {
            let isTable = path.contains("embed_tokens") || path.contains("lm_head")
            let isSkipped =
                names.contains { path.contains($0) }
                || isTied && isTable && names.contains { $0.contains("_") && !$0.contains(".") }
            #expect(parameter.value.dtype.isQuantized == !isSkipped, "\(path)")
            if !isSkipped { kinds.insert(path.split(separator: ".").dropLast().last.map(String.init) ?? "") }
        }
        #expect(Set(loaded.quantizationErrors.map(\.kind)) == kinds)
        #expect(loaded.quantizationErrors.allSatisfy { (0.001...0.15).contains($0.relative) })
        // Rows are looked up and logits computed from what is stored, to the bit.
        let plain = try ModelRegistry.load(folder).model
        for ((_, target), (_, source)) in zip(plain.parameters(), loaded.model.parameters()) {
            target.value = source.value.converted(to: .f32)
        }
        let tokens: [Int32] = [5, 17, 300, 42, 42, 7, 199, 8]
        #expect(logProbabilities(loaded.model, tokens) == logProbabilities(plain, tokens))
        let error = #expect(throws: InputError.self) {
            try ModelRegistry.load(folder, weights: type, skipping: SkippedModules(["lm_haed"]))
        }
        #expect(error?.description.contains("Did you mean lm_head?") == true)
    }

    @Test("loading says what was lost, by kind of layer")
    func errors() throws {
        let folder = Locations.fixture("models/tiny-llama")
        #expect(try ModelRegistry.load(folder, weights: .bf16).quantizationErrors.isEmpty)
        let original = try ModelRegistry.load(folder).model.parameters()
        let loaded = try ModelRegistry.load(folder, weights: .nf4)
        let stored = Dictionary(
            loaded.model.parameters().map { ($0.path, $0.parameter.value) }, uniquingKeysWith: { $1 })
        #expect(
            loaded.quantizationErrors.map(\.kind) == [
                "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
            ])
        for error in loaded.quantizationErrors {
            var (lost, total) = (0.0, 0.0)
            for (path, parameter) in original where path.contains(error.kind) {
                for (a, b) in zip(parameter.value.values, stored[path]?.values ?? []) {
                    lost += Double(a - b) * Double(a - b)
                    total += Double(a) * Double(a)
                }
            }
            #expect(isClose(error.relative, (lost / total).squareRoot(), relative: 1e-6))
            #expect((0.05...0.15).contains(error.relative))
        }
    }

    /// Checks a model stored so against golden log-probabilities, and against itself in f32 with the numbers that come back.
    @discardableResult
    private func check(
        _ path: String, _ type: DType, _ sequences: [[Int32]], _ golden: [JSON], within tolerance: Double
    ) throws -> CausalLM {
        let model = try ModelRegistry.load(path, weights: type).model
        let plain = try ModelRegistry.load(path).model
        for ((_, target), (_, source)) in zip(plain.parameters(), model.parameters()) {
            target.value = source.value.converted(to: .f32)
        }
        #expect(sequences.count >= 4 && golden.count == sequences.count)
        for (tokens, expected) in zip(sequences, golden) {
            let ours = logProbabilities(model, tokens)
            #expect(ours == logProbabilities(plain, tokens))
            let numbers = (expected.array ?? []).compactMap(\.number)
            #expect(distance(ours.map(Double.init), numbers, relative: 0, absolute: tolerance) <= 1)
        }
        return model
    }

    private func ids(_ json: JSON?) -> [Int32] { (json?.array ?? []).compactMap { $0.integer.map(Int32.init) } }
}
