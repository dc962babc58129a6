import Files
import Layers
import Tensors

/// Continues prompts with a key/value cache, several side by side; one that has ended leaves the batch.
public struct Generator {
    private let model: CausalLM
    private let adapters: [String]
    private let stopTokens: Set<Int32>

    /// Generates under `model` with the named adapters active, until one of `stopTokens`.
    public init(_ model: CausalLM, adapters: [String] = [], stopTokens: Set<Int32>) {
        self.model = model
        self.adapters = adapters
        self.stopTokens = stopTokens
    }

    /// Continues each prompt.
    ///
    /// - Parameters:
    ///   - prompts: token ids, at least one each.
    ///   - maximumTokens: new tokens at most.
    ///   - sampling: how tokens are chosen.
    ///   - onToken: takes the number of a prompt and its next token (stop tokens too); returns false to end that prompt.
    /// - Returns: the new tokens of each prompt, a stop token included.
    /// - Throws: `InputError` for an empty prompt, or one that leaves no room in the model's context.
    public func generate(
        _ prompts: [[Int32]], maximumTokens: Int, sampling: SamplingOptions = .init(),
        onToken: (Int, Int32) -> Bool = { _, _ in true }
    ) throws -> [[Int32]] {
        for prompt in prompts {
            guard !prompt.isEmpty else { throw InputError("a prompt without tokens") }
            guard prompt.count < model.configuration.maximumPositions else {
                throw InputError(
                    "a prompt of \(prompt.count) tokens fills the model's context of \(model.configuration.maximumPositions)"
                )
            }
        }
        var outputs = prompts.map { _ in [Int32]() }
        guard maximumTokens > 0 else { return outputs }
        let sampler = Sampler(sampling)
        let cache = KVCache(model.configuration, sequences: prompts.count)
        var active = Array(prompts.indices)
        var next = prompts
        while !active.isEmpty {
            let logits = step(next, cache)
            var going: [Int] = []
            for (slot, prompt) in active.enumerated() {
                let position = prompts[prompt].count + outputs[prompt].count
                let token = logits[rows: slot..<slot + 1].withFloats {
                    sampler.token(
                        $0, history: prompts[prompt] + outputs[prompt], prompt: prompt, sample: 0, position: position)
                }
                outputs[prompt].append(token)
                let goesOn = onToken(prompt, token)
                if goesOn && !stopTokens.contains(token) && outputs[prompt].count < maximumTokens
                    && position + 1 < model.configuration.maximumPositions
                {
                    going.append(slot)
                }
            }
            cache.keep(going)
            active = going.map { active[$0] }
            next = active.map { [outputs[$0][outputs[$0].count - 1]] }
        }
        return outputs
    }

    /// Reads each sequence's new tokens and returns the logits after the last of each.
    private func step(_ tokens: [[Int32]], _ cache: KVCache) -> Tensor {
        let layout = cache.layout(appending: tokens.map(\.count))
        let context = ForwardContext(
            layout, adapters: adapters, keyValues: cache, isDecoding: tokens.allSatisfy { $0.count == 1 })
        var end: Int32 = 0
        let last = tokens.map { sequence -> Int32 in
            end += Int32(sequence.count)
            return end - 1
        }
        defer { cache.advance() }
        return model.logits(tokens.flatMap { $0 }, rows: last, context)
    }
}
