import Files

extension Tokenizer {
    /// Reads a `tokenizer.json` and what lies beside it.
    ///
    /// `tokenizer_config.json` (or else `special_tokens_map.json`) names the BOS, EOS, padding and unknown tokens; the chat template
    /// comes from `chat_template.jinja`, or else from the configuration. `add_bos_token` and `add_eos_token` count where
    /// `tokenizer.json` itself does not say what is added to a text.
    ///
    /// - Throws: ``InputError`` naming the file and the key path of what is missing, malformed or not supported.
    public init(file path: String) throws {
        let bytes = try readFile(path)
        do {
            var file = try bytes.withUnsafeBytes { try TokenizerFile(parsing: $0) }
            let folder = TokenizerFolder(holding: path)
            let configuration = try folder.readConfiguration()
            try configuration.addSpecialTokens(to: &file)
            self.init(
                file, try configuration.specialTokens(in: file),
                files: configuration.files.merging(["tokenizer.json": bytes]) { $1 })
            (chatTemplate, namedChatTemplates) = try configuration.chatTemplates()
        } catch let error as InputError {
            throw error.inFile(path)
        }
    }

    /// A tokenizer of a file's parts.
    init(_ file: TokenizerFile, _ special: SpecialTokens, files: [String: [UInt8]]) {
        pipeline = file.makePipeline()
        (bosToken, eosToken, padToken, unknownToken) = (special.bos, special.eos, special.padding, special.unknown)
        self.files = files
    }
}

/// The ids of the tokens that have a role.
struct SpecialTokens {
    var bos: Int32?
    var eos: Int32?
    var padding: Int32?
    var unknown: Int32?
}

/// The files beside a `tokenizer.json`.
struct TokenizerFolder {
    private let path: String

    init(holding file: String) { path = file.lastIndex(of: "/").map { String(file[...$0]) } ?? "" }

    /// Reads those that are there.
    func readConfiguration() throws -> TokenizerConfiguration {
        var configuration = TokenizerConfiguration(folder: path)
        for name in TokenizerConfiguration.jsonNames + [TokenizerConfiguration.templateName] {
            guard case .file = PathKind(path + name) else { continue }
            configuration.files[name] = try readFile(path + name)
        }
        let additional = TokenizerConfiguration.additionalTemplates
        for name in try folderNames(path + additional) where name.hasSuffix(".jinja") {
            configuration.files["\(additional)/\(name)"] = try readFile("\(path)\(additional)/\(name)")
        }
        return configuration
    }
}

/// What the files beside a `tokenizer.json` say.
struct TokenizerConfiguration {
    /// The configuration, and the older file that names special tokens.
    static let jsonNames = ["tokenizer_config.json", "special_tokens_map.json"]
    /// The file of the default chat template.
    static let templateName = "chat_template.jinja"
    /// The folder of further chat templates.
    static let additionalTemplates = "additional_chat_templates"

    let folder: String
    var files: [String: [UInt8]] = [:]

    init(folder: String) { self.folder = folder }

    /// The ids of the tokens that have a role.
    ///
    /// - Throws: ``InputError`` for a BOS, EOS or unknown token that the tokenizer does not have. A padding token that it does not
    ///   have is passed over: files name such, and nothing here pads.
    func specialTokens(in file: TokenizerFile) throws -> SpecialTokens {
        func id(_ role: String) throws -> Int32? {
            guard let named = try namedToken(role) else { return nil }
            if let id = file.added.id(named.content) ?? file.model.vocabulary.id(named.content) { return id }
            if role == "pad_token" { return nil }
            throw InputError("\(quoted(named.content)) is no token of this tokenizer", file: named.file, place: role)
        }
        return SpecialTokens(
            bos: try id("bos_token"), eos: try id("eos_token"), padding: try id("pad_token"),
            unknown: try id("unk_token"))
    }

    /// Lets `add_bos_token` and `add_eos_token` add tokens where the file does not say what is added.
    func addSpecialTokens(to file: inout TokenizerFile) throws {
        guard !file.postProcessor.isStated, let configuration = try json(Self.jsonNames[0]) else { return }
        let special = try specialTokens(in: file)
        func ids(_ key: String, _ token: Int32?) throws -> [PostProcessor.Piece] {
            do {
                guard try configuration.bool(key, default: false) else { return [] }
                guard let token else { throw configuration.fault("“\(key)” is true, but no such token is named") }
                return [.special([token])]
            } catch let error as InputError { throw error.inFile(folder + Self.jsonNames[0]) }
        }
        file.postProcessor.pieces =
            try ids("add_bos_token", special.bos) + file.postProcessor.pieces + ids("add_eos_token", special.eos)
    }

    /// The default chat template and the others by name.
    func chatTemplates() throws -> (String?, [String: String]) {
        var named: [String: String] = [:]
        do {
            if let template = try json(Self.jsonNames[0])?.optional("chat_template") {
                if template.value.array != nil {
                    for entry in try template.elements() {
                        named[try entry.member("name").string()] = try entry.member("template").string()
                    }
                } else {
                    named["default"] = try template.string()
                }
            }
        } catch let error as InputError { throw error.inFile(folder + Self.jsonNames[0]) }
        for (name, bytes) in files where name.hasPrefix(Self.additionalTemplates) {
            named[String(name.dropFirst(Self.additionalTemplates.count + 1).dropLast(".jinja".count))] = try text(
                bytes, name)
        }
        if let bytes = files[Self.templateName] { named["default"] = try text(bytes, Self.templateName) }
        return (named.removeValue(forKey: "default"), named)
    }

    /// The text of a role's token, a string or an object with a `content`, and the file that names it.
    private func namedToken(_ role: String) throws -> (content: String, file: String)? {
        for name in Self.jsonNames {
            do {
                guard let token = try json(name)?.optional(role) else { continue }
                let content = try token.value.object == nil ? token : token.member("content")
                return (try content.string(), folder + name)
            } catch let error as InputError { throw error.inFile(folder + name) }
        }
        return nil
    }

    private func json(_ name: String) throws -> KeyedValue? {
        guard let bytes = files[name] else { return nil }
        return KeyedValue(value: try bytes.withUnsafeBytes { try JSON(parsing: $0, file: folder + name) }, path: "")
    }

    private func text(_ bytes: [UInt8], _ name: String) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw InputError("is not valid UTF-8", file: folder + name)
        }
        return text
    }
}

/// The bytes of a file.
private func readFile(_ path: String) throws -> [UInt8] { try MappedFile(path).withBytes { Array($0) } }
