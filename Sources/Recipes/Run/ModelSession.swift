import Adapters
import Datasets
import Files
import Foundation
import Models
import Tensors
import Tokenizers

/// A model's tokenizer and chat template, without its weights.
struct TokenizerSession {
    let tokenizer: Tokenizer
    /// The chat template; nil where the model has none.
    let renderer: ChatRenderer?
    /// The model's files.
    let checkpoint: any Checkpoint

    /// The tokens that were added to the model's own.
    let newTokens: Range<Int32>

    /// Reads the model's tokenizer, or that of the adapter that the settings name, and adds the settings' tokens.
    init(_ settings: ModelSettings) throws {
        checkpoint = try openCheckpoint(settings.path)
        let known = try settings.tokenizerFolder.map { try Tokenizer(file: $0 + "/tokenizer.json") }
        let base = try known ?? checkpoint.tokenizer()
        let tokenizer: Tokenizer
        do { tokenizer = try base.adding(settings.newTokens) } catch var fault as InputError {
            fault.message = "`model.add_tokens`: " + fault.message
            throw fault
        }
        self.tokenizer = tokenizer
        newTokens = Int32(base.vocabularySize)..<Int32(tokenizer.vocabularySize)
        do {
            renderer = try tokenizer.chatTemplate.map { try ChatRenderer($0, tokenizer: tokenizer) }
        } catch var error as InputError {
            // The template names itself only; whose it is, is known here.
            error.file = [checkpoint.path, error.file].compactMap { $0 }.joined(separator: ": ")
            throw error
        }
    }
}

/// A model with its tokenizer and chat template: what most commands begin with.
struct ModelSession {
    let loaded: LoadedModel
    let tokenizer: Tokenizer
    /// The chat template; nil where the model has none.
    let renderer: ChatRenderer?
    /// The tokens that the settings added.
    let newTokens: Range<Int32>
    private let takesAnyBase: Bool

    var model: CausalLM { loaded.model }

    /// Loads a model as a recipe's section or a command's flags say, and remarks on what quantising it lost.
    ///
    /// - Parameters:
    ///   - settings: the model and how it is kept in memory.
    ///   - trainable: the weights of its own that will be trained, if any.
    ///   - task: what its head is to say.
    ///   - observer: takes the remark.
    /// - Throws: `InputError` where the model cannot be read, or a pattern is not valid.
    init(
        _ settings: ModelSettings, trainable: TrainableParameters? = nil, task: ModelTask = .languageModel,
        observer: RunObserver = { _ in }
    ) throws {
        takesAnyBase = settings.anyBase
        let selector = try trainable?.selector()
        let text = try TokenizerSession(settings)
        let grows = !text.newTokens.isEmpty || settings.tokenizerFolder != nil
        loaded = try ModelRegistry.load(
            settings.path, weights: settings.storage, skipping: settings.skipModules,
            precision: settings.precision, vocabulary: grows ? text.tokenizer.vocabularySize : 0, task: task
        ) {
            try selector?.selects($0, layers: $1) ?? false
        }
        if !loaded.quantizationErrors.isEmpty {
            let errors = loaded.quantizationErrors.map {
                "\($0.kind) \(String(format: "%.2f", 100 * $0.relative)) %"
            }
            observer(
                .note("weights kept as \(settings.storage.inWords), off by (RMS): \(errors.joined(separator: ", "))"))
        }
        tokenizer = text.tokenizer
        renderer = text.renderer
        newTokens = text.newTokens
        if !newTokens.isEmpty {
            observer(
                .note(
                    "\(newTokens.count) tokens added, from \(newTokens.lowerBound) on: the model knows "
                        + "\(loaded.model.configuration.vocabularySize)"))
        }
        let (known, used) = (model.configuration.vocabularySize, tokenizer.vocabularySize)
        guard used <= known else {
            throw InputError("the tokenizer has \(used) tokens, the model knows \(known)", file: loaded.checkpoint.path)
        }
    }

    /// The hash of the chat template's source; of nothing where there is none.
    var templateHash: String {
        let hash = ContentHash()
        hash.add(tokenizer.chatTemplate ?? "")
        return hash.hexadecimal
    }

    /// The tokens that end an answer: the configuration's, the tokenizer's, and the one that the template ends a turn with.
    func stopTokens() -> Set<Int32> {
        var tokens: Set<Int32> = []
        let checkpoint = loaded.checkpoint
        let configured = checkpoint.generationConfiguration?["eos_token_id"] ?? checkpoint.configuration["eos_token_id"]
        for id in configured?.array ?? configured.map({ [$0] }) ?? [] {
            if let id = id.integer { tokens.insert(Int32(clamping: id)) }
        }
        if let eos = tokenizer.eosToken { tokens.insert(eos) }
        if let end = renderer?.endOfTurnToken(tokenizer) { tokens.insert(end) }
        return tokens
    }

    /// Loads adapters onto the model, frozen, in order.
    ///
    /// - Returns: the names under which they are active.
    /// - Throws: `InputError` where one was made for another model.
    func attach(_ folders: [String], observer: RunObserver = { _ in }) throws -> [String] {
        guard !folders.isEmpty else { return [] }
        let hash = try loaded.checkpoint.contentHash()
        return try folders.enumerated().map { index, path in
            let folder = try AdapterFolder(path)
            folder.notes.forEach { observer(.note($0)) }
            try check(folder)
            let name = "\(index)"
            try Adapters.attach(folder, to: model, name: name, isTrainable: false, baseHash: hash)
            try check(folder, baseHash: hash, observer: observer)
            remarkOnOrder(folder, after: folders.prefix(index), observer)
            return name
        }
    }
}

extension ModelSession {
    /// Fails for a reward adapter on a model that is to say which token comes next.
    private func check(_ folder: AdapterFolder) throws {
        guard folder.isReward, model.scoreHead == nil else { return }
        throw InputError(
            "the adapter is a reward model (task_type SEQ_CLS): it scores answers, and does not say which token comes next",
            file: folder.path,
            hint: "`graft evaluate` scores preference pairs with it, `graft merge` makes it a model of its own")
    }

    /// Fails where an adapter's file says that it was trained on other weights, unless such are taken.
    func check(_ folder: AdapterFolder, baseHash: String, observer: RunObserver = { _ in }) throws {
        guard let recorded = folder.metadata[AdapterRecord.baseHash], recorded != baseHash else { return }
        let message = "was trained on other weights than those of \(loaded.checkpoint.path)"
        guard takesAnyBase else {
            throw InputError(
                message + ": the hashes differ", file: folder.path,
                hint:
                    "Where it is the same model in another format or precision, --any-base takes it, in a recipe `model.any_base: true`"
            )
        }
        observer(.note("\(folder.path) \(message)"))
    }

    /// An adapter that was trained on top of others needs them below it.
    private func remarkOnOrder(
        _ folder: AdapterFolder, after others: ArraySlice<String>, _ observer: RunObserver
    ) {
        let below = folder.below
        guard !below.isEmpty, below.count != others.count else { return }
        observer(
            .note(
                "\(folder.path) was trained on top of \(below.joined(separator: ", ")): name those first, in this order"
            ))
    }
}

extension ModelSettings {
    /// These settings, with the storage that the adapters were trained on where none was asked for, or that of a folder in NF4.
    func adopting(storageOf adapters: [String], observer: RunObserver) throws -> ModelSettings {
        try adoptingTokens(of: adapters).adoptingStorage(of: adapters, observer: observer)
    }

    /// These settings, with the tokenizer of an adapter that has more tokens than the model.
    private func adoptingTokens(of adapters: [String]) throws -> ModelSettings {
        let folders = try adapters.filter { path in
            let metadata = try AdapterFolder(path).metadata
            guard metadata[AdapterRecord.version] == nil else { return metadata[AdapterRecord.addedTokens] != nil }
            // Another program's says nothing of it.
            return if case .file = PathKind(path + "/tokenizer.json") { true } else { false }
        }
        guard !folders.isEmpty else { return self }
        let known = try openCheckpoint(path).tokenizer().vocabularySize
        let tokenizers = try folders.map { (path: $0, tokenizer: try Tokenizer(file: $0 + "/tokenizer.json")) }
            .filter { $0.tokenizer.vocabularySize > known }
        guard let first = tokenizers.first else { return self }
        func tokens(_ tokenizer: Tokenizer) -> [String?] {
            (known..<tokenizer.vocabularySize).map { tokenizer.token(Int32($0)) }
        }
        if let other = tokenizers.first(where: { tokens($0.tokenizer) != tokens(first.tokenizer) }) {
            throw InputError(
                "adds other tokens to the model than \(first.path): the two cannot be used together", file: other.path)
        }
        var copy = self
        copy.tokenizerFolder = first.path
        return copy
    }

    private func adoptingStorage(of adapters: [String], observer: RunObserver) throws -> ModelSettings {
        guard !isStorageGiven else { return self }
        let records = try adapters.compactMap { path in
            try RecordedStorage(AdapterFolder(path).metadata).map { (path: path, storage: $0) }
        }
        var copy = self
        let reason: String
        if let (path, recorded) = records.first {
            copy.storage = recorded.type
            copy.skipModules = recorded.skipModules
            reason = "\(path) was trained on \(copy.inWords) weights: the model is loaded so"
            for (other, storage) in records where storage != recorded {
                observer(
                    .note(
                        "\(other) was trained on \(storage.type.inWords) weights, \(path) on \(recorded.type.inWords) ones"
                    ))
            }
        } else if let held = try openCheckpoint(path).quantization {
            copy.storage = held
            reason = "\(path) holds \(held.inWords) weights: they are kept so"
        } else {
            return self
        }
        guard copy.storage != storage || copy.skipModules != skipModules else { return self }
        observer(.note(reason))
        return copy
    }

    /// The storage as a recipe names it, with what is quantised beyond the usual.
    private var inWords: String {
        guard storage.isQuantized, skipModules != .standard else { return storage.inWords }
        return "\(storage.inWords) (modules skipped: \(skipModules.inWords))"
    }
}

/// How the base of an adapter was stored while it was trained.
struct RecordedStorage: Equatable {
    let type: DType
    let skipModules: SkippedModules

    /// What an adapter's file says; nil where it says nothing.
    init?(_ metadata: [String: String]) {
        guard let type = metadata[AdapterRecord.baseStorage].flatMap(DType.init) else { return nil }
        let names = metadata[AdapterRecord.baseSkippedModules].flatMap { try? JSON(parsing: $0) }?.array
        self.type = type
        skipModules = names.map { SkippedModules($0.compactMap(\.string)) } ?? .standard
    }

    /// How a model is stored.
    init(_ loaded: LoadedModel) {
        type = loaded.weights
        skipModules = SkippedModules(loaded.skipped.names)
    }

    /// The entries of an adapter's file that say so.
    var metadata: [String: String] {
        var entries = [AdapterRecord.baseStorage: type.rawValue]
        if type.isQuantized, skipModules != .standard {
            entries[AdapterRecord.baseSkippedModules] = JSON.array(skipModules.names.map { .string($0) }).text()
        }
        return entries
    }
}
