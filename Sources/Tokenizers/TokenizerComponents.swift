import Files

// The components of a `tokenizer.json` from their JSON: one list of types each.

extension Normalizer {
    private static let types = [
        "Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Prepend", "Replace", "Strip",
        "ByteLevel",
    ]

    /// Reads a normalizer.
    init(_ component: KeyedValue) throws {
        let type = try component.member("type").string()
        switch type {
        case "Sequence": self = .sequence(try component.member("normalizers").elements().map(Normalizer.init))
        case "Lowercase": self = .lowercase
        case "StripAccents": self = .stripAccents
        case "ByteLevel": self = .byteLevel
        case "Prepend": self = .prepend(Array(try component.member("prepend").string().utf8))
        case "Replace":
            self = .replace(try TextPattern(component), with: Array(try component.member("content").string().utf8))
        case "Strip":
            self = .strip(
                left: try component.member("strip_left").bool(), right: try component.member("strip_right").bool())
        default:
            guard let form = UnicodeForm(rawValue: type) else {
                throw try component.unknownType("normalizer", known: Self.types)
            }
            self = .unicode(form)
        }
        guard growth <= Self.mostGrowth else {
            throw component.fault("makes a text more than \(Int(Self.mostGrowth)) times as long")
        }
    }
}

extension TextPattern {
    /// Reads `pattern` of a component: `{"String": …}` or `{"Regex": …}`.
    init(_ component: KeyedValue) throws {
        let pattern = try component.member("pattern")
        if let text = try pattern.optional("String") {
            let bytes = Array(try text.string().utf8)
            guard !bytes.isEmpty else { throw text.fault("must not be empty") }
            guard bytes.count <= AddedTokens.longestContent else {
                throw text.fault("is longer than \(AddedTokens.longestContent) bytes")
            }
            self = .literal(bytes)
        } else {
            let expression = try pattern.member("Regex")
            do { self = .expression(try SplitPattern(expression.string())) } catch let error as InputError {
                throw error.place == nil ? expression.fault(error.message) : error
            }
        }
    }
}

extension PreTokenizer {
    private static let types = [
        "Sequence", "ByteLevel", "Split", "Digits", "Whitespace", "WhitespaceSplit", "Metaspace", "Punctuation",
        "CharDelimiterSplit",
    ]

    /// Reads a pre-tokenizer as its steps.
    static func steps(_ component: KeyedValue) throws -> [Step] {
        switch try component.member("type").string() {
        case "Sequence": return try component.member("pretokenizers").elements().flatMap(steps)
        case "ByteLevel":
            return [
                .byteLevel(
                    addPrefixSpace: try component.bool("add_prefix_space", default: true),
                    useRegex: try component.bool("use_regex", default: true))
            ]
        case "Metaspace": return [try metaspace(component)]
        case "Split":
            let pattern = try TextPattern(component)
            return [
                .split(
                    Splitter(
                        Splitter.Matcher(pattern), try component.member("behavior").choice(Splitter.Behavior.self),
                        inverted: try component.bool("invert", default: false)))
            ]
        case "Digits":
            let individual = try component.bool("individual_digits", default: false)
            return [.split(Splitter(.character(.digit), individual ? .isolated : .contiguous))]
        case "Punctuation":
            let behavior = try component.optional("behavior")?.choice(Splitter.Behavior.self)
            return [.split(Splitter(.character(.punctuation), behavior ?? .isolated))]
        case "Whitespace": return [.split(Splitter(.wordRuns, .removed, inverted: true))]
        case "WhitespaceSplit": return [.split(Splitter(.character(.space), .removed))]
        case "CharDelimiterSplit":
            return [.split(Splitter(.pattern(.literal(try component.member("delimiter").character())), .removed))]
        default: throw try component.unknownType("pre-tokenizer", known: types)
        }
    }

    private static func metaspace(_ component: KeyedValue) throws -> Step {
        let (replacement, scheme) = try metaspaceSettings(component)
        return .metaspace(replacement: replacement, scheme: scheme, split: try component.bool("split", default: true))
    }

    /// What the pre-tokenizer and the decoder `Metaspace` have in common.
    static func metaspaceSettings(_ component: KeyedValue) throws -> (replacement: [UInt8], scheme: PrependScheme) {
        let scheme = try component.optional("prepend_scheme")?.choice(PrependScheme.self)
        // Files from before `prepend_scheme` say it with a boolean.
        let isPrepended = try component.bool("add_prefix_space", default: true)
        if !isPrepended, let scheme, scheme != .never {
            throw component.fault("“add_prefix_space” contradicts “prepend_scheme”")
        }
        return (try component.member("replacement").character(), isPrepended ? scheme ?? .always : .never)
    }
}

extension Splitter.Matcher {
    /// The matcher for a pattern: a scanner where there is one.
    init(_ pattern: TextPattern) {
        if case .expression(let expression) = pattern, let scanner = WordScanner(pattern: expression.source) {
            self = .scanner(scanner)
        } else {
            self = .pattern(pattern)
        }
    }
}

extension Decoder {
    private static let types = [
        "Sequence", "ByteLevel", "ByteFallback", "Fuse", "Replace", "Strip", "Metaspace",
    ]

    /// Reads a decoder.
    init(_ component: KeyedValue) throws {
        switch try component.member("type").string() {
        case "Sequence": self = .sequence(try component.member("decoders").elements().map(Decoder.init))
        case "ByteLevel": self = .byteLevel
        case "ByteFallback": self = .byteFallback
        case "Fuse": self = .fuse
        case "Replace":
            self = .replace(try TextPattern(component), with: Array(try component.member("content").string().utf8))
        case "Strip":
            let counts = 0..<1 << 20
            self = .strip(
                character: try component.member("content").character(),
                start: try component.member("start").integer(in: counts),
                stop: try component.member("stop").integer(in: counts))
        case "Metaspace":
            let (replacement, scheme) = try PreTokenizer.metaspaceSettings(component)
            self = .metaspace(replacement: replacement, isPrepended: scheme != .never)
        default: throw try component.unknownType("decoder", known: Self.types)
        }
        guard growth <= Normalizer.mostGrowth else {
            throw component.fault("makes a text more than \(Int(Normalizer.mostGrowth)) times as long")
        }
    }
}

extension PostProcessor {
    private static let types = ["Sequence", "ByteLevel", "TemplateProcessing"]

    /// Reads a post-processor.
    init(_ component: KeyedValue) throws {
        switch try component.member("type").string() {
        case "Sequence":
            self = try component.member("processors").elements().map { try PostProcessor($0) }
                .reduce(PostProcessor()) { $0.followed(by: $1) }
        // It trims offsets, which here always cover all of a token.
        case "ByteLevel": self.init()
        case "TemplateProcessing": try self.init(template: component)
        default: throw try component.unknownType("post-processor", known: Self.types)
        }
    }

    private init(template component: KeyedValue) throws {
        let specials = try component.member("special_tokens")
        pieces = try component.member("single").elements().map { piece in
            if let sequence = try piece.optional("Sequence") {
                guard try sequence.member("id").string() == "A" else { throw sequence.fault("names a second text") }
                return .text
            }
            let token = try piece.member("SpecialToken").member("id")
            guard let special = try specials.optional(token.string()) else {
                throw token.fault("names a token that is not in “special_tokens”")
            }
            return .special(
                try special.member("ids").elements().map { Int32(try $0.integer(in: 0..<Vocabulary.idLimit)) })
        }
        isStated = true
    }
}
