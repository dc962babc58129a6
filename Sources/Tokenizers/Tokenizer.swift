import Files
import Synchronization

/// Text to token ids and back, exactly as Hugging Face `tokenizers` does it.
///
/// A text goes through five stages: added tokens are cut out, the rest is normalised, cut into pieces, merged piece by piece into
/// tokens, and special tokens are put around. Each stage is a file of this module.
///
/// ```swift
/// let tokenizer = try Tokenizer(file: "model/tokenizer.json")
/// let ids = tokenizer.encode("Hello there")
/// let text = tokenizer.decode(ids)
/// ```
///
/// A value is cheap to copy, and may be used from several threads at once.
public struct Tokenizer: Sendable {
    var pipeline: Pipeline
    /// The id put at the start of a text, if the tokenizer names one.
    public var bosToken: Int32?
    /// The id that ends an answer, if the tokenizer names one.
    public var eosToken: Int32?
    /// The id that fills up a batch, if the tokenizer names one that it has.
    public var padToken: Int32?
    /// The id of what is not in the vocabulary, if the tokenizer names one.
    public var unknownToken: Int32?
    /// The chat template (Jinja source), if there is one.
    public var chatTemplate: String?
    /// Further chat templates by name, `tool_use` for one.
    public var namedChatTemplates: [String: String] = [:]
    /// The files to write beside a model so that others load the same tokenizer: `tokenizer.json` byte for byte as it was read,
    /// or built from the vocabulary of a GGUF file; `tokenizer_config.json`, `special_tokens_map.json`, `chat_template.jinja`,
    /// `additional_chat_templates/…` where there are such.
    public var files: [String: [UInt8]]

    /// One more than the largest id: the least number of rows that an embedding needs.
    public var vocabularySize: Int { pipeline.idBound }

    /// A hash of all the files: equal for equal tokenizers.
    public var contentHash: String {
        let hash = ContentHash()
        for (name, bytes) in files.sorted(by: { $0.key < $1.key }) {
            hash.add(name)
            bytes.withUnsafeBytes { hash.add($0) }
        }
        return hash.hexadecimal
    }

    /// The ids of a text.
    ///
    /// Special tokens written in the text are recognised. `addSpecialTokens` adds those that the tokenizer puts around a text.
    ///
    /// - Throws: ``InputError`` where the text asks too much of one of the tokenizer's regular expressions: its tokens would be others.
    public func encode(_ text: String, addSpecialTokens: Bool = false) throws -> [Int32] {
        try pipeline.encode(text, withOffsets: false, addSpecialTokens: addSpecialTokens).ids
    }

    /// The ids of a text, and for each the bytes of the text's UTF-8 that it stands for.
    ///
    /// A range covers whole characters, and all of the token's: white space at its edges too, whatever `trim_offsets` says in
    /// the file. Two tokens that share a character have overlapping ranges. Special tokens put around have empty ones.
    ///
    /// - Throws: as ``encode(_:addSpecialTokens:)`` does.
    public func encodeWithOffsets(_ text: String, addSpecialTokens: Bool = false) throws -> Encoding {
        try pipeline.encode(text, withOffsets: true, addSpecialTokens: addSpecialTokens)
    }

    /// The text of some ids. Ids without a token are passed over; bytes that are not UTF-8 become U+FFFD.
    public func decode(_ ids: [Int32], skipSpecialTokens: Bool = false) -> String {
        pipeline.decode(ids, skipSpecialTokens: skipSpecialTokens)
    }

    /// The token of an id as the vocabulary writes it, or nil.
    public func token(_ id: Int32) -> String? {
        pipeline.added.token(id)?.content
            ?? pipeline.model.vocabulary.bytes(of: Int(id)).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The id of a token as the vocabulary writes it, or nil.
    public func id(_ token: String) -> Int32? { pipeline.added.id(token) ?? pipeline.model.vocabulary.id(token) }

    /// The bytes that a token adds to a text: for output that streams, where a character can come in parts. Empty for an id
    /// without a token.
    public func bytes(of id: Int32) -> [UInt8] {
        pipeline.decoderInput(id).map { token in
            pipeline.withScratch { pipeline.decoder.bytes(ofToken: token, $0.matching) }
        } ?? []
    }

    /// The ids of the tokens beside the model's vocabulary.
    public var addedTokens: [Int32] { pipeline.added.tokens.map(\.id) }

    /// Whether a token is one that decoding can leave out.
    public func isSpecial(_ id: Int32) -> Bool { pipeline.added.token(id)?.isSpecial ?? false }
}

/// A token to be added to a tokenizer.
public struct NewToken: Hashable, Sendable {
    /// Its text.
    public var content: String
    /// Whether it is a mark and no text: decoding can leave it out, and it is looked for as it is written, before normalisation.
    public var isSpecial: Bool

    /// Names a token.
    public init(_ content: String, isSpecial: Bool) {
        self.content = content
        self.isSpecial = isSpecial
    }
}

extension Tokenizer {
    /// The same tokenizer with further tokens, which get the next ids: transformers' `add_tokens` and `add_special_tokens`.
    ///
    /// - Throws: ``InputError`` for a token that is empty, too long, there already or named twice.
    public func adding(_ tokens: [NewToken]) throws -> Tokenizer {
        guard !tokens.isEmpty else { return self }
        let first = vocabularySize
        var new: [AddedToken] = []
        for token in tokens {
            guard !token.content.isEmpty, token.content.utf8.count <= AddedTokens.longestContent else {
                throw InputError(
                    "a token of \(token.content.utf8.count) bytes cannot be added: from 1 to \(AddedTokens.longestContent) may be"
                )
            }
            if let known = id(token.content) {
                throw InputError("the token \(quoted(token.content)) cannot be added: it is there already, as \(known)")
            }
            guard !new.contains(where: { $0.content.utf8.elementsEqual(token.content.utf8) }) else {
                throw InputError("the token \(quoted(token.content)) is to be added twice")
            }
            new.append(
                AddedToken(
                    content: token.content, id: Int32(first + new.count), isNormalized: !token.isSpecial,
                    isSpecial: token.isSpecial))
        }
        var copy = self
        copy.pipeline = pipeline.adding(new)
        copy.files["tokenizer.json"] = try Self.adding(new, to: files["tokenizer.json"] ?? [])
        return copy
    }

    /// A `tokenizer.json` with further added tokens.
    private static func adding(_ tokens: [AddedToken], to bytes: [UInt8]) throws -> [UInt8] {
        let file = try bytes.withUnsafeBytes { try JSON(parsing: $0, file: "tokenizer.json") }
        var members = file.object ?? [:]
        members["added_tokens"] = .array((file["added_tokens"]?.array ?? []) + tokens.map(\.json))
        return Array(JSON.object(members).text().utf8)
    }
}

/// The tokens of a text and where they stand in it.
public struct Encoding: Equatable, Sendable {
    /// The ids.
    public var ids: [Int32]
    /// For each id the bytes of the text's UTF-8 that it stands for; empty where offsets were not asked for.
    public var offsets: [Range<Int>]

    /// An encoding of given tokens; none by default.
    public init(ids: [Int32] = [], offsets: [Range<Int>] = []) {
        self.ids = ids
        self.offsets = offsets
    }
}

/// The stages of a tokenizer, read-only and shared by all copies of it.
final class Pipeline: Sendable {
    let added: AddedTokens
    let normalizer: Normalizer?
    let preTokenizer: PreTokenizer
    let model: BytePairEncoding
    let postProcessor: PostProcessor
    let decoder: Decoder
    private let scratches = Mutex<[EncodingScratch]>([])

    init(
        added: AddedTokens, normalizer: Normalizer?, preTokenizer: PreTokenizer, model: BytePairEncoding,
        postProcessor: PostProcessor, decoder: Decoder
    ) {
        self.added = added
        self.normalizer = normalizer
        self.preTokenizer = preTokenizer
        self.model = model
        self.postProcessor = postProcessor
        self.decoder = decoder
    }

    /// The same stages with further added tokens.
    func adding(_ tokens: [AddedToken]) -> Pipeline {
        Pipeline(
            added: AddedTokens(added.tokens + tokens, normalizer: normalizer), normalizer: normalizer,
            preTokenizer: preTokenizer, model: model, postProcessor: postProcessor, decoder: decoder)
    }

    /// One more than the largest id.
    var idBound: Int { max(model.vocabulary.idBound, Int(added.tokens.map(\.id).max() ?? -1) + 1) }

    /// Lends a scratch that no other thread has.
    func withScratch<Result>(_ body: (inout EncodingScratch) throws -> Result) rethrows -> Result {
        var scratch = scratches.withLock { $0.popLast() } ?? EncodingScratch()
        defer { scratches.withLock { $0.append(scratch) } }
        return try body(&scratch)
    }

    /// What the decoder is given for an id, or nil where it has no token.
    func decoderInput(_ id: Int32) -> [UInt8]? {
        added.decoderInput(id) ?? model.vocabulary.bytes(of: Int(id)).map { Array($0) }
    }

    func decode(_ ids: [Int32], skipSpecialTokens: Bool) -> String {
        let tokens = ids.compactMap { id in
            skipSpecialTokens && added.token(id)?.isSpecial == true ? nil : decoderInput(id)
        }
        let pieces = withScratch { decoder.decode(tokens, $0.matching) }
        return String(decoding: Array(pieces.joined()), as: UTF8.self)
    }

    func encode(_ text: String, withOffsets: Bool, addSpecialTokens: Bool) throws -> Encoding {
        var text = text
        return try text.withUTF8 { bytes in
            let encoding = try withScratch { scratch in
                var run = EncodingRun(self, withOffsets: withOffsets)
                scratch.matching.fault = nil
                run.encode(bytes, &scratch)
                if let fault = scratch.matching.fault { throw InputError(fault) }
                return run.encoding
            }
            return postProcessor.apply(encoding, textLength: bytes.count, addSpecialTokens: addSpecialTokens)
        }
    }
}
