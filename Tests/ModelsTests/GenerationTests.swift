import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

/// What generation promises whatever else is generated beside a sample.
@Suite("Generation") struct GenerationTests {
    /// Weights drawn from each parameter's own path, large enough that tokens differ.
    private final class RandomWeights: ParameterSource {
        func tensor(_ path: String, shape: [Int]) -> Tensor {
            var generator = RandomGenerator(RandomKey(seed: 1, purpose: path))
            let (mean, deviation) = shape.count == 1 ? (1.0, 0.2) : (0.0, 0.4)
            return Tensor(
                (0..<shape.reduce(1, *)).map { _ in Float(mean + deviation * generator.normal()) }, shape: shape)
        }
    }

    private static func model(
        positions: Int = 1024, _ weights: any ParameterSource = RandomWeights()
    ) throws -> CausalLM {
        var configuration = try ModelRegistry.load(Locations.fixture("models/tiny-llama")).model.configuration
        configuration.vocabularySize = 90
        configuration.maximumPositions = positions
        return try CausalLM(weights, configuration)
    }

    /// Short and long ones, so that both kinds of passes are needed.
    private static let prompts: [[Int32]] = [1, 70, 7, 33, 2, 32, 140].enumerated().map { index, count in
        (0..<count).map { Int32(($0 * $0 + 11 * index + $0) % 90) }
    }

    private static func options(_ temperature: Double = 0, maximum: Int = 40) -> DecodingOptions {
        var options = DecodingOptions(maximumTokens: maximum)
        options.sampling = SamplingOptions(temperature: temperature, topP: 0.95, repetitionPenalty: 1.1, seed: 5)
        return options
    }

    @Test("a token is what a pass over the whole text gives", arguments: [DType.f32, .bf16])
    func cached(_ cacheType: DType) throws {
        let model = try Self.model()
        var options = DecodingOptions(maximumTokens: 300)
        options.cacheType = cacheType
        let answers = try Generator(model, stopTokens: []).generate(Self.prompts, options: options).map { $0[0].tokens }
        for (prompt, answer) in zip(Self.prompts, answers) {
            #expect(answer.count == 300)
            let text = prompt + answer
            let rows = (prompt.count - 1..<text.count - 1).map { Int32($0) }
            let context = ForwardContext(SequenceLayout([.init(count: text.count)]))
            let logits = model.logits(text, rows: rows, context)
            var differing = 0
            for row in rows.indices {
                let best = try #require(logits.largestIndex(row: row))
                let values = logits[rows: row..<row + 1].values
                guard answer[row] != Int32(best) else { continue }
                differing += 1
                // Rounding may turn a near tie, keys in bf16 a somewhat wider one; no more.
                let spread = (values.reduce(0) { $0 + $1 * $1 } / Float(values.count)).squareRoot()
                #expect(
                    values[best] - values[Int(answer[row])] < spread * (cacheType == .f32 ? 1e-4 : 0.1), "token \(row)")
            }
            #expect(differing <= (cacheType == .f32 ? 1 : 20), "\(differing) of 300 tokens")
        }
    }

    @Test("alone = beside others = a few at a time, to the bit", arguments: [0, 1.3])
    func batches(_ temperature: Double) throws {
        let generator = try Generator(Self.model(), stopTokens: [4, 5])
        var options = Self.options(temperature)
        let together = try generator.generate(Self.prompts, options: options)
        #expect(Set(together.map { $0[0].tokens.count }).count > 1, "some end earlier than others")
        for (number, prompt) in Self.prompts.enumerated() {
            #expect(try generator.generate([prompt], numbers: [number], options: options) == [together[number]])
        }
        for (places, tokens) in [(1, 2048), (2, 1), (3, 80)] {
            (options.maximumSequences, options.prefillTokens) = (places, tokens)
            #expect(try generator.generate(Self.prompts, options: options) == together, "\(places) places")
        }
    }

    @Test("samples that share a prompt = samples that do not, to the bit", arguments: [1, 2, 64])
    func samples(_ places: Int) throws {
        let generator = try Generator(Self.model(), stopTokens: [4, 5])
        var options = Self.options(1.3)
        (options.samplesPerPrompt, options.maximumSequences) = (5, places)
        let shared = try generator.generate(Self.prompts, options: options)
        #expect(shared.allSatisfy { $0.count == 5 && Set($0.map(\.tokens)).count > 1 })
        // The first sample is the one that is drawn alone; the same prompt twice is another prompt.
        options.samplesPerPrompt = 1
        #expect(try generator.generate(Self.prompts, options: options).map { $0[0] } == shared.map { $0[0] })
        let again = try generator.generate([Self.prompts[1], Self.prompts[1]], numbers: [1, 9], options: options)
        #expect(again[0][0] == shared[1][0] && again[1][0] != shared[1][0])
    }

    @Test("samples end by a stop token, the limit, the context or the caller")
    func ends() throws {
        let model = try Self.model(positions: 150)
        let free = try Generator(model, stopTokens: []).generate([Self.prompts[1]], options: Self.options())[0][0]
        #expect(free.tokens.count == 40 && !free.isStopped)
        let stop = free.tokens[7]
        let first = try #require(free.tokens.firstIndex(of: stop))
        let generator = Generator(model, stopTokens: [stop])
        let stopped = try generator.generate([Self.prompts[1]], options: Self.options())[0][0]
        #expect(stopped.tokens == Array(free.tokens[...first]) && stopped.isStopped)
        var options = Self.options()
        options.minimumTokens = 30
        let long = try generator.generate([Self.prompts[1]], options: options)[0][0]
        #expect(long.tokens.count >= 30 && !long.tokens.prefix(30).contains(stop))
        let full = try generator.generate([Self.prompts[6]], options: Self.options())[0][0]
        #expect(full.tokens.count <= 10)
        var seen: [GeneratedToken] = []
        let cut = try Generator(model, stopTokens: []).generate([[3, 4], Self.prompts[1]], options: Self.options()) {
            seen.append($0)
            return $0.prompt == 0 || $0.token != free.tokens[2]
        }
        #expect(cut[0][0].tokens.count == 40 && cut[1][0].tokens.count <= 3)
        #expect(seen.filter { $0.prompt == 1 }.map(\.token) == cut[1][0].tokens)
        let none = try generator.generate([[1]], options: DecodingOptions(maximumTokens: 0))[0][0]
        #expect(none.tokens.isEmpty && !none.isStopped)
    }

    @Test("what cannot be continued is an error")
    func faults() throws {
        let generator = try Generator(Self.model(positions: 16), stopTokens: [])
        #expect(throws: InputError("a prompt without tokens")) {
            try generator.generate([[1], []], options: Self.options())
        }
        #expect(throws: InputError("a prompt of 16 tokens fills the model's context of 16")) {
            try generator.generate([Array(repeating: 1, count: 16)], options: Self.options())
        }
        final class NoNumbers: ParameterSource {
            func tensor(_ path: String, shape: [Int]) -> Tensor { Tensor(repeating: .nan, shape: shape) }
        }
        let broken = try Generator(Self.model(NoNumbers()), stopTokens: [])
        #expect(throws: RunError.self) { try broken.generate([[1]], options: Self.options()) }
    }

    /// In a process of its own, so that no other test takes the threads.
    @Test("1 thread = 2 threads = 4 threads, to the bit")
    func threads() async {
        await #expect(processExitsWith: .success) {
            let generator = try Generator(GenerationTests.model(), stopTokens: [4])
            var options = GenerationTests.options(1)
            options.samplesPerPrompt = 3
            let results = try [1, 2, 4].map { count in
                Device.cpu.threads = count
                return try generator.generate(GenerationTests.prompts, options: options)
            }
            #expect(results[1] == results[0] && results[2] == results[0])
        }
    }

    /// In a process of its own, because the count is the process's.
    @Test("a token asks the system for no memory once the largest batch has been seen")
    func systemAllocations() async {
        await #expect(processExitsWith: .success) {
            let generator = try Generator(GenerationTests.model(), stopTokens: [4, 5])
            var options = GenerationTests.options(1, maximum: 700)
            (options.samplesPerPrompt, options.maximumSequences) = (4, 6)
            let counts = try (0..<6).map { _ in
                _ = try generator.generate(GenerationTests.prompts, options: options)
                return Device.cpu.memory.systemAllocations
            }
            // The second run may still find a buffer taken that was free in the first.
            #expect(Set(counts.dropFirst()).count == 1, "\(counts)")
        }
    }
}
