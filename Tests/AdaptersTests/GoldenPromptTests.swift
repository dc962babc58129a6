import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// Prompts and prefixes that PEFT saved, as PEFT applies them: `Tests/Fixtures/prompts`.
@Suite("Prompts and prefixes agree with PEFT") struct GoldenPromptTests {
    /// One adapter of the fixtures.
    struct Variant: Sendable, CustomTestStringConvertible {
        var base: String
        var name: String
        var testDescription: String { "\(base)/\(name)" }

        func golden() throws -> JSON { try JSON(contentsOf: Locations.fixture("prompts/\(base)/golden.json")) }
        func folder() throws -> AdapterFolder { try AdapterFolder(Locations.fixture("prompts/\(testDescription)")) }
    }

    static let names = [
        "prompt", "prompt-long", "prompt-text", "prompt-text-repeated", "prefix", "prefix-long", "prefix-projection",
    ]
    static let variants = bases.flatMap { base in names.map { Variant(base: base, name: $0) } }

    @Test("every variant of the fixtures is tested", arguments: bases)
    func allVariants(base: String) throws {
        let golden = try Variant(base: base, name: "").golden()
        #expect(golden["variants"]?.object?.keys.sorted() == Self.names.sorted())
    }

    @Test("log-probabilities, that of the first token too, packed and alone", arguments: variants)
    func numbers(_ variant: Variant) throws {
        let golden = try variant.golden()
        let model = try tinyModel(variant.base)
        try attach(variant.folder(), to: model, isTrainable: false)
        let sequences = try #require(golden["sequences"]?.array).map(\.ids)
        let expected = try #require(golden["variants"]?[variant.name]?["adapted"]?.array)
        var layout: [SequenceLayout.Sequence] = []
        var (rows, targets, values): ([Int32], [Int32], [Float]) = ([], [], [])
        for (index, tokens) in sequences.enumerated() {
            let rest = expected[index]["rest"]?.floats ?? []
            #expect(
                distance(logProbabilities(model, tokens, adapters: ["default"]), rest, relative: 0, absolute: 2e-5) <= 1
            )
            let off = golden["base"]?.array?[index].floats ?? []
            #expect(distance(logProbabilities(model, tokens), off, relative: 0, absolute: 2e-5) <= 1)
            // An adapter that is forgotten must show.
            #expect(distance(rest, off, relative: 0, absolute: 1e-2) > 1)
            let start = Int32(layout.reduce(0) { $0 + $1.count })
            if let first = expected[index]["first"]?.number {
                rows.append(-1)
                targets.append(tokens[0])
                values.append(Float(first))
            }
            rows += (0..<Int32(tokens.count - 1)).map { start + $0 }
            targets += tokens.dropFirst()
            values += rest
            layout.append(.init(count: tokens.count))
        }
        #expect((rows.first == -1) == variant.name.hasPrefix("prompt"))
        let packed = model.score(
            sequences.flatMap { $0 }, rows: rows, targets: targets,
            ForwardContext(SequenceLayout(layout), adapters: ["default"]))
        #expect(distance(packed.scores.logProbabilities, values, relative: 0, absolute: 2e-5) <= 1)
    }

    @Test("greedy continuations, with a cache that begins with the virtual tokens", arguments: variants)
    func continued(_ variant: Variant) throws {
        let golden = try variant.golden()
        let model = try tinyModel(variant.base)
        try attach(variant.folder(), to: model, isTrainable: false)
        let sequences = try #require(golden["sequences"]?.array).map(\.ids)
        let expected = golden["variants"]?[variant.name]?["continued"]?.ids ?? []
        let generator = Generator(model, adapters: ["default"], stopTokens: [])
        let options = DecodingOptions(maximumTokens: expected.count)
        #expect(try generator.generate([sequences[0]], options: options)[0][0].tokens == expected)
        // The second prompt is long enough for the ordinary products; both share the virtual tokens.
        let both = try generator.generate([sequences[0], sequences[1]], options: options)
        #expect(both[0][0].tokens == expected)
        #expect(expected.count == 12 && both[1][0].tokens.count == 12)
    }

    @Test("what is written has PEFT's keys and the same bits", arguments: variants)
    func roundTrip(_ variant: Variant) throws {
        let (model, folder) = (try tinyModel(variant.base), try variant.folder())
        #expect(folder.notes.isEmpty)
        try attach(folder, to: model, isTrainable: true)
        let output = try TemporaryFolder()
        let record = AdapterRecord(baseModel: folder.baseModel)
        try writeAdapter(folder.configuration, of: model, to: output.path, record: record)
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            let theirs = try ByteSource(folder.path + "/" + name).readAll()
            #expect(try ByteSource(output.file(name)).readAll() == theirs, "\(name)")
        }
    }

    @Test("a text's tokens are the start that PEFT makes of them", arguments: bases)
    func text(base: String) throws {
        for (name, count) in [("prompt-text", 9), ("prompt-text-repeated", 15)] {
            let variant = Variant(base: base, name: name)
            var configuration = PromptTuningConfiguration(virtualTokens: count)
            (configuration.initialization, configuration.text) = (.text, "Answer in one word:")
            configuration.textTokens = try #require(try variant.golden()["text_tokens"]).ids
            let (fresh, saved) = (try tinyModel(base), try tinyModel(base))
            try attach(configuration, to: fresh, seed: 1)
            try attach(variant.folder(), to: saved, isTrainable: false)
            #expect(try tensorBits(fresh) == tensorBits(saved))
        }
    }
}
