import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// Models as transformers computes them: `Tests/Fixtures/models`.
@Suite("Models agree with transformers") struct GoldenModelTests {
    /// A model's path beside the numbers it must give.
    struct Golden: Sendable, CustomTestStringConvertible {
        var model: String
        var numbers: String
        var testDescription: String { model }
    }

    static let folders = [
        "tiny-llama", "tiny-llama-untied", "tiny-llama3-rope", "tiny-linear-rope", "tiny-yarn", "tiny-qwen2",
    ].map { Golden(model: "models/\($0)", numbers: "models/\($0)/golden.json") }

    static let files =
        ["tiny-llama", "tiny-llama-untied", "tiny-llama3-rope", "tiny-linear-rope", "tiny-qwen2"].map {
            Golden(model: "gguf/\($0).gguf", numbers: "models/\($0)/golden.json")
        } + [
            Golden(model: "gguf/tiny-yarn.gguf", numbers: "models/tiny-yarn/golden.defaults.json"),
            Golden(model: "gguf/tiny-llama-q8_0.gguf", numbers: "gguf/tiny-llama-q8_0.json"),
        ]

    @Test("log-probabilities, from Hugging Face folders and GGUF files", arguments: folders + files)
    func folder(_ golden: Golden) throws {
        let model = try ModelRegistry.load(Locations.fixture(golden.model)).model
        try check(model, Locations.fixture(golden.numbers))
    }

    @Test("configurations as older transformers wrote them give the same numbers", arguments: folders)
    func olderConfigurations(_ golden: Golden) throws {
        let older = Locations.fixture(golden.model) + "/config.hub.json"
        guard case .file = PathKind(older) else { return }
        let model = try loaded(golden.model, configuration: older)
        try check(model, Locations.fixture(golden.numbers))
    }

    @Test("YaRN's attention factor has a default")
    func yarnDefaults() throws {
        let folder = "models/tiny-yarn"
        let model = try loaded(folder, configuration: Locations.fixture("\(folder)/config.defaults.json"))
        try check(model, Locations.fixture("\(folder)/golden.defaults.json"))
    }

    @Test("a sliding window is refused, not ignored")
    func slidingWindow() throws {
        let folder = "models/tiny-qwen2"
        let error = #expect(throws: InputError.self) {
            try loaded(folder, configuration: Locations.fixture("\(folder)/config.window.json"))
        }
        #expect(error?.description.contains("sliding-window") == true)
    }

    @Test("config.json written for a GGUF model gives the same numbers", arguments: files)
    func writtenConfiguration(_ golden: Golden) throws {
        let source = try ModelRegistry.load(Locations.fixture(golden.model))
        let json = source.family.huggingFaceConfiguration(source.model.configuration)
        let again = try source.family.configuration(huggingFace: json, file: "config.json")
        #expect(again == source.model.configuration)
    }

    /// A fixture's weights under another configuration.
    private func loaded(_ folder: String, configuration: String) throws -> CausalLM {
        let temporary = try TemporaryFolder()
        for name in Locations.files(under: "Tests/Fixtures/" + folder, ending: "") {
            let file = name.split(separator: "/").last.map(String.init) ?? name
            let source = file == "config.json" ? configuration : Locations.inRepository(name)
            try temporary.write(ByteSource(source).readAll(), to: file)
        }
        return try ModelRegistry.load(temporary.path).model
    }

    private func check(_ model: CausalLM, _ numbers: String) throws {
        let sequences = try JSON(contentsOf: numbers)["sequences"]?.array ?? []
        #expect(sequences.count >= 2)
        for sequence in sequences {
            let tokens = (sequence["tokens"]?.array ?? []).compactMap { $0.integer.map(Int32.init) }
            let expected = (sequence["logprobs"]?.array ?? []).compactMap(\.number)
            #expect(
                distance(logProbabilities(model, tokens).map(Double.init), expected, relative: 0, absolute: 2e-5) <= 1)
        }
    }
}

/// The log-probability of every token but the first, given those before it.
func logProbabilities(_ model: CausalLM, _ tokens: [Int32]) -> [Float] {
    let rows = Array(0..<Int32(tokens.count - 1))
    return model.score(
        tokens, rows: rows, targets: Array(tokens.dropFirst()),
        ForwardContext(SequenceLayout([.init(count: tokens.count)]))
    ).scores.logProbabilities
}
