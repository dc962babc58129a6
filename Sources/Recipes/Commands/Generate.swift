import Datasets
import Files
import Models
import Tensors
import Tokenizers

/// What a model is asked to continue, as ``TextGenerator`` takes it.
public typealias Prompt = Datasets.Prompt

/// How text is generated.
public struct GenerationOptions: Sendable {
    /// The most new tokens in an answer.
    public var maximumTokens = 256
    /// New tokens of an answer at least: it cannot end before.
    public var minimumTokens = 0
    /// Answers to each prompt.
    public var samples = 1
    /// How tokens are chosen.
    public var sampling = SamplingOptions()
    /// Whether prompts are continued as they stand, without the chat template.
    public var raw = false
    /// A system message before every prompt that has none.
    public var system: String?
    /// Threads of the kernels; 0 is one a core.
    public var threads = 0

    /// Greedy answers of at most 256 tokens.
    public init() {}

    fileprivate func decoding(cacheType: DType) -> DecodingOptions {
        var options = DecodingOptions(maximumTokens: maximumTokens)
        options.minimumTokens = minimumTokens
        options.samplesPerPrompt = samples
        options.sampling = sampling
        options.cacheType = cacheType
        return options
    }
}

/// How a token is chosen, as ``GenerationOptions`` take it.
public typealias SamplingOptions = Models.SamplingOptions

/// One answer to one prompt.
public struct GeneratedAnswer: Sendable {
    /// The number of the prompt, from 0.
    public var prompt: Int
    /// The number of the answer to that prompt, from 0.
    public var sample: Int
    /// The answer.
    public var text: String
    /// Tokens of the prompt.
    public var promptTokens: Int
    /// Tokens of the answer, the one that ended it too.
    public var newTokens: Int
    /// Whether the model ended it, and not the limit or the model's context.
    public var isStopped: Bool
}

/// The answers and how fast they came.
public struct GenerationReport: Sendable {
    /// Prompt by prompt, and sample by sample.
    public var answers: [GeneratedAnswer]
    /// Tokens and seconds.
    public var statistics: GenerationStatistics
    /// The names of the adapters that were active.
    public var adapters: [String]

    /// New tokens a second, over all of the time.
    public var newTokensPerSecond: Double { Double(statistics.newTokens) / statistics.seconds }
    /// Tokens of prompts a second, over the time in which prompts were read.
    public var promptTokensPerSecond: Double { Double(statistics.promptTokens) / statistics.promptSeconds }

    /// An object for each answer; the speeds are those of all answers together.
    public func json(_ prompts: [Prompt]) -> [JSON] {
        answers.map { answer in
            let asked: (key: String, value: JSON) =
                switch prompts[answer.prompt] {
                case .text(let text): ("prompt", .string(text))
                case .conversation(let conversation): ("messages", .array(conversation.messages.map(\.json)))
                }
            return .object([
                asked.key: asked.value, "adapters": .array(adapters.map { .string($0) }),
                "sample": .integer(answer.sample), "answer": .string(answer.text),
                "prompt_tokens": .integer(answer.promptTokens), "new_tokens": .integer(answer.newTokens),
                "stopped": .bool(answer.isStopped), "prompt_tokens_per_second": .number(promptTokensPerSecond),
                "new_tokens_per_second": .number(newTokensPerSecond),
            ])
        }
    }
}

/// Where tokens and time went, as ``GenerationReport`` holds it.
public typealias GenerationStatistics = Models.GenerationStatistics

/// A model ready to answer prompts.
public final class TextGenerator {
    private let session: ModelSession
    private var stack: AdapterStack
    private let options: GenerationOptions
    private let cacheType: DType

    /// Loads a model with adapters, all of which are active.
    ///
    /// - Throws: ``InputError`` where something cannot be read, or a system message meets a model without a chat template.
    public init(
        _ settings: ModelSettings, adapters: [NamedAdapter] = [], options: GenerationOptions,
        observer: RunObserver = { _ in }
    ) throws {
        Device.cpu.threads = options.threads
        let folders = adapters.map(\.path)
        let settings = try settings.adopting(storageOf: folders, observer: observer)
        session = try ModelSession(settings)
        stack = AdapterStack(adapters.map(\.name), slots: try session.attach(folders, observer: observer))
        self.options = options
        cacheType = settings.weights == .f32 ? .f32 : .bf16
        if session.renderer == nil || options.raw {
            guard options.system == nil else {
                throw InputError("a system message needs a chat template", file: settings.path)
            }
            if !options.raw { observer(.note("the model has no chat template: prompts are continued as they stand")) }
        }
    }

    /// The names of the adapters that are loaded.
    public var adapterNames: [String] { stack.names }

    /// Those of them that are active, in the order in which they apply.
    public var activeAdapters: [String] { stack.active }

    /// Makes some of the loaded adapters active and no other, from the next answer on.
    ///
    /// - Parameter stack: a name, several with `+` between them, or `none` for the model alone.
    /// - Throws: ``InputError`` for a name that none has; what was active is then still so.
    public func activate(_ stack: String) throws { try self.stack.activate(stack) }

    /// Answers prompts, side by side.
    ///
    /// - Parameters:
    ///   - prompts: what to answer.
    ///   - onText: takes the answer in pieces as it grows, where there is one only; nil where nobody reads along.
    /// - Returns: the answers.
    /// - Throws: ``InputError`` where a prompt fills the model's context, or is a conversation and there is no chat template.
    public func generate(_ prompts: [Prompt], onText: ((String) -> Void)? = nil) throws -> GenerationReport {
        let tokens = try prompts.enumerated().map { index, prompt in
            do {
                return try encoded(prompt)
            } catch var error as InputError where prompts.count > 1 {
                error.message = "prompt \(index + 1): " + error.message
                throw error
            }
        }
        let stops = session.stopTokens()
        let generator = Generator(session.model, adapters: stack.activeSlots, stopTokens: stops)
        var growing = GrowingText(session.tokenizer)
        var statistics = GenerationStatistics()
        let isShown = onText != nil && prompts.count == 1 && options.samples == 1
        let samples = try generator.generate(
            tokens, options: options.decoding(cacheType: cacheType), statistics: &statistics
        ) { next in
            if isShown && !stops.contains(next.token), let piece = growing.add(next.token) { onText?(piece) }
            return true
        }
        if isShown, let piece = growing.rest() { onText?(piece) }
        let answers = zip(tokens, samples).enumerated().flatMap { index, pair in
            pair.1.enumerated().map { number, sample in
                GeneratedAnswer(
                    prompt: index, sample: number,
                    text: session.tokenizer.decode(sample.tokens.filter { !stops.contains($0) }),
                    promptTokens: pair.0.count, newTokens: sample.tokens.count, isStopped: sample.isStopped)
            }
        }
        return GenerationReport(answers: answers, statistics: statistics, adapters: stack.active)
    }

    /// Whether prompts are put into a chat template.
    var hasTemplate: Bool { session.renderer != nil && !options.raw }

    private func encoded(_ prompt: Prompt) throws -> [Int32] {
        guard let renderer = session.renderer, !options.raw else {
            guard case .text(let text) = prompt else {
                throw InputError("a conversation needs the chat template")
            }
            return try session.tokenizer.encode(text, addSpecialTokens: true)
        }
        var conversation =
            switch prompt {
            case .text(let text): Conversation([Message(role: "user", content: .string(text))])
            case .conversation(let conversation): conversation
            }
        if let system = options.system, conversation.messages.first?.role != "system" {
            conversation.messages.insert(Message(role: "system", content: .string(system)), at: 0)
        }
        return try session.tokenizer.encodeRendered(
            renderer.prompt(conversation.messages, tools: conversation.tools))
    }
}

/// The text of tokens as they come.
private struct GrowingText {
    private let tokenizer: Tokenizer
    private var tokens: [Int32] = []
    /// In bytes: what follows may join the last character shown, as a combining mark does.
    private var shown = 0

    init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    /// Adds a token; gives what can be shown of the text now. A character of several tokens is whole only with its last byte.
    mutating func add(_ token: Int32) -> String? {
        tokens.append(token)
        let text = tokenizer.decode(tokens)
        return text.unicodeScalars.last == "\u{FFFD}" ? nil : piece(of: text)
    }

    /// What has not been shown at the end.
    mutating func rest() -> String? { piece(of: tokenizer.decode(tokens)) }

    private mutating func piece(of text: String) -> String? {
        guard text.utf8.count > shown else { return nil }
        defer { shown = text.utf8.count }
        return String(decoding: text.utf8.dropFirst(shown), as: UTF8.self)
    }
}

extension Tokenizer {
    /// The ids of a rendered conversation, with BOS once: the tokenizer adds its own only where the template wrote none.
    func encodeRendered(_ text: String) throws -> [Int32] {
        let ids = try encode(text)
        let withSpecial = try encode(text, addSpecialTokens: true)
        guard let bos = bosToken, withSpecial.first == bos, ids.first != bos else { return ids }
        return [bos] + ids
    }
}
