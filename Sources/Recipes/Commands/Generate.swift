import Datasets
import Files
import Models
import Tensors
import Tokenizers

/// How text is generated.
public struct GenerationOptions: Sendable {
    /// New tokens at most.
    public var maximumTokens: Int
    /// How tokens are chosen.
    public var sampling: SamplingOptions
    /// Whether the prompt is continued as it stands, without the chat template.
    public var raw: Bool
    /// A system message before the prompt.
    public var system: String?

    /// Makes options; see ``SamplingOptions`` for what the numbers do.
    public init(
        maximumTokens: Int = 256, temperature: Double = 0, topK: Int? = nil, topP: Double = 1, minP: Double = 0,
        repetitionPenalty: Double = 1, seed: UInt64 = 42, raw: Bool = false, system: String? = nil
    ) {
        self.maximumTokens = maximumTokens
        sampling = SamplingOptions(
            temperature: temperature, topK: topK, topP: topP, minP: minP, repetitionPenalty: repetitionPenalty,
            seed: seed)
        self.raw = raw
        self.system = system
    }
}

/// A model ready to talk: one conversation, or prompts one by one.
public final class Conversing {
    private let session: ModelSession
    private let adapters: [String]
    private let options: GenerationOptions
    private var messages: [Message]

    /// Loads a model with adapters.
    ///
    /// - Throws: ``InputError`` where something cannot be read, or a system message meets a model without a chat template.
    public init(
        _ settings: ModelSettings, adapters: [String] = [], options: GenerationOptions, observer: RunObserver = { _ in }
    ) throws {
        session = try ModelSession(settings.adopting(storageOf: adapters, observer: observer))
        self.adapters = try session.attach(adapters, observer: observer)
        self.options = options
        messages = options.system.map { [Message(role: "system", content: .string($0))] } ?? []
        if session.renderer == nil || options.raw {
            guard options.system == nil else {
                throw InputError("a system message needs a chat template", file: settings.path)
            }
            if !options.raw { observer(.note("the model has no chat template: prompts are continued as they stand")) }
        }
    }

    /// Answers a prompt by itself.
    ///
    /// - Parameters:
    ///   - prompt: the user's words, or the text to continue.
    ///   - onText: takes the answer in pieces as it grows.
    /// - Returns: the whole answer.
    /// - Throws: ``InputError`` where the prompt fills the model's context.
    public func answer(_ prompt: String, onText: (String) -> Void = { _ in }) throws -> String {
        guard let renderer = session.renderer, !options.raw else {
            return try generate(session.tokenizer.encode(prompt, addSpecialTokens: true), onText)
        }
        let text = try renderer.prompt(messages + [Message(role: "user", content: .string(prompt))])
        return try generate(session.tokenizer.encodeRendered(text), onText)
    }

    /// Answers the next turn of the conversation and remembers both.
    public func reply(to turn: String, onText: (String) -> Void = { _ in }) throws -> String {
        let answer = try answer(turn, onText: onText)
        messages += [
            Message(role: "user", content: .string(turn)), Message(role: "assistant", content: .string(answer)),
        ]
        return answer
    }

    private func generate(_ tokens: [Int32], _ onText: (String) -> Void) throws -> String {
        let stops = session.stopTokens()
        var answer: [Int32] = []
        var shown = 0
        // In bytes: what follows may join the last character shown, as a combining mark does.
        func show(_ text: String) {
            guard text.utf8.count > shown else { return }
            onText(String(decoding: text.utf8.dropFirst(shown), as: UTF8.self))
            shown = text.utf8.count
        }
        let generator = Generator(session.model, adapters: adapters, stopTokens: stops)
        _ = try generator.generate([tokens], maximumTokens: options.maximumTokens, sampling: options.sampling) {
            _, token in
            guard !stops.contains(token) else { return true }
            answer.append(token)
            let text = session.tokenizer.decode(answer)
            // A character of several tokens is complete only once its last byte is there.
            if text.unicodeScalars.last != "\u{FFFD}" { show(text) }
            return true
        }
        let text = session.tokenizer.decode(answer)
        show(text)
        return text
    }
}

extension Tokenizer {
    /// The ids of a rendered conversation, with BOS once: the tokenizer adds its own only where the template wrote none.
    func encodeRendered(_ text: String) -> [Int32] {
        let ids = encode(text)
        let withSpecial = encode(text, addSpecialTokens: true)
        guard let bos = bosToken, withSpecial.first == bos, ids.first != bos else { return ids }
        return [bos] + ids
    }
}
